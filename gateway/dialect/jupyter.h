/* Jupyter Server's REST API and kernel WebSocket: the handlers of the rows in jupyter.c, and what
 * they share. Source: jupyter_server services/, jupyter kernel_gateway; the models are theirs. */
#ifndef WARMCELL_GATEWAY_DIALECT_JUPYTER_H
#define WARMCELL_GATEWAY_DIALECT_JUPYTER_H

#include "gateway/core/core.h"
#include "gateway/core/kernel.h"
#include "gateway/net/route.h"

#define JUPYTER_BODY_LIMIT_BYTES (1024 * 1024)

/* {"id", "name", "last_activity", "execution_state", "connections"[, "reason"]}; a new reference.
 */
json_t *jupyter_kernel_model(const struct kernel *k);

/* The body as an object; an empty body is {}. NULL with e 400 or 413. */
json_t *jupyter_body(const struct exchange *x, struct err *e);

/* Adds "Location: <base>/<path>/<id>". */
void jupyter_add_location(struct exchange *x, const char *path, const char *id);

/* Answers 403 when kernels and sessions are not to be listed. */
bool jupyter_may_list(struct exchange *x, const struct core *c);

void jupyter_kernels_list(struct exchange *x, void *core);
void jupyter_kernels_start(struct exchange *x, void *core);
void jupyter_kernel_show(struct exchange *x, void *core);
void jupyter_kernel_delete(struct exchange *x, void *core);
void jupyter_kernel_interrupt(struct exchange *x, void *core);
void jupyter_kernel_restart(struct exchange *x, void *core);
void jupyter_channels_open(struct exchange *x, void *core);

void jupyter_kernelspecs_list(struct exchange *x, void *core);
void jupyter_kernelspec_show(struct exchange *x, void *core);
void jupyter_kernelspec_file(struct exchange *x, void *core);

void jupyter_sessions_list(struct exchange *x, void *core);
void jupyter_sessions_add(struct exchange *x, void *core);
void jupyter_session_show(struct exchange *x, void *core);
void jupyter_session_change(struct exchange *x, void *core);
void jupyter_session_delete(struct exchange *x, void *core);

void jupyter_version(struct exchange *x, void *core);
void jupyter_status(struct exchange *x, void *core);
void jupyter_resolve_path(struct exchange *x, void *core);
void jupyter_swagger_json(struct exchange *x, void *core);
void jupyter_swagger_yaml(struct exchange *x, void *core);

#endif
