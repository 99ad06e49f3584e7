/* The REST API of cloud_sandbox: what its files share.
 *
 * A session is a sandbox of ours: the same id, and what the session has besides is in labels of the
 * sandbox whose names begin with CLOUD_LABEL. Errors are {"error": sentence}; a 401 is {"error":
 * "unauthorized", "message": sentence}. */
#ifndef WARMCELL_GATEWAY_DIALECT_CLOUD_H
#define WARMCELL_GATEWAY_DIALECT_CLOUD_H

#include "gateway/core/core.h"
#include "gateway/core/sandbox.h"
#include "gateway/net/doc.h"
#include "gateway/net/route.h"

#define CLOUD_ISSUER         "cloud-sandbox"
#define CLOUD_REFRESH_ISSUER "cloud-sandbox-refresh"
#define CLOUD_ACCESS_S       (24 * 3600)
#define CLOUD_REFRESH_S      (7 * 24 * 3600)
#define CLOUD_LABEL          "cloud/"
#define CLOUD_TAG            "cloud_sandbox"

void cloud_token(struct exchange *x, void *core);
void cloud_sessions_create(struct exchange *x, void *core);
void cloud_sessions_list(struct exchange *x, void *core);
void cloud_session_show(struct exchange *x, void *core);
void cloud_session_delete(struct exchange *x, void *core);
void cloud_session_pause(struct exchange *x, void *core);
void cloud_session_resume(struct exchange *x, void *core);
void cloud_session_touch(struct exchange *x, void *core);
void cloud_session_bind(struct exchange *x, void *core);
void cloud_sandbox_acquire(struct exchange *x, void *core);
void cloud_sandbox_release(struct exchange *x, void *core);
void cloud_sandbox_stats(struct exchange *x, void *core);
void cloud_execute(struct exchange *x, void *core);
void cloud_files_list(struct exchange *x, void *core);
void cloud_file_put(struct exchange *x, void *core);
void cloud_file_delete(struct exchange *x, void *core);

extern const struct doc_schema cloud_success_schema; /* {"success": true} */
extern const struct doc cloud_token_doc, cloud_sessions_create_doc, cloud_sessions_list_doc,
    cloud_session_show_doc, cloud_session_delete_doc, cloud_session_pause_doc,
    cloud_session_resume_doc, cloud_session_touch_doc, cloud_session_bind_doc,
    cloud_sandbox_acquire_doc, cloud_sandbox_release_doc, cloud_sandbox_stats_doc,
    cloud_execute_doc, cloud_files_list_doc, cloud_file_put_doc, cloud_file_delete_doc;

#endif
