/* The REST dialect of `sandbox_sdk` (sdb-x), below /api: what the files sdbx_*.c share.
 *
 * Its clients write members in camelCase or in snake_case, and read the one or the other: both are
 * taken, and both are given. Errors are {"message"}, as Jupyter's are. It translates, and calls
 * core as /v1 does: who may see what, limits and paths are core's.
 *
 * A sandbox of it is one of /v1 with labels: SDBX_LABEL "name" and "metadata.N" (JSON, in pieces),
 * "template", "started". */
#ifndef WARMCELL_GATEWAY_DIALECT_SDBX_H
#define WARMCELL_GATEWAY_DIALECT_SDBX_H

#include "gateway/core/context.h"
#include "gateway/core/core.h"
#include "gateway/core/naming.h"
#include "gateway/core/template.h"
#include "gateway/net/route.h"

#define SDBX_LABEL           "sandbox_sdk/"
#define SDBX_WORKSPACE       "/workspace" /* what its folder is called inside */
#define SDBX_BODY_BYTES      (16 * 1024 * 1024)
#define SDBX_FILE_BYTES      (16 * 1024 * 1024) /* of a file that is read as JSON */
#define SDBX_TIMEOUT_MOST_MS (INT64_C(7) * 24 * 3600 * 1000)

/* A body whose own members have their names in camelCase; an absent one is {}. Given; NULL: the
 * exchange was answered: 400 (also for one that is there in both cases), 413. */
json_t *sdbx_body(struct exchange *x);

/* Puts value (taken) under name, which is camelCase, and under the same in snake_case. */
void sdbx_set(json_t *object, const char *name, json_t *value);
void sdbx_set_time(json_t *object, const char *name, struct timespec at);

/* {"message": text}. */
void sdbx_reply_message(struct exchange *x, int status, const char *text);
/* Answers a DELETE when what it names has ended. user: the exchange. */
void sdbx_removed(void *user, const struct err *e);

/* The sandbox of the path, paused or not; NULL: the exchange was answered (404). */
struct sandbox *sdbx_sandbox_any(struct exchange *x, struct core *c);
/* One that is not paused (409). */
struct sandbox *sdbx_sandbox(struct exchange *x, struct core *c);

/* What a template is to a client: {"name", "language", "version", ...}; t NULL: the usual one, or
 * that of a language (NULL: Python). Given. */
json_t *sdbx_template_config(const struct template *t, const char *language);
/* The name of the usual one, "python-3.11". */
extern const char sdbx_template_usual[];
/* A name that its clients have for the usual one: "python", "python3", "python-3.11", with
 * "python:" and "-slim" as for images, too. */
bool sdbx_template_is_usual(const char *name);

/* What core calls the language that a client calls so ("node": "javascript"); a name that is not
 * known here stays, and is for core to refuse. NULL: not said. */
const char *sdbx_language(const char *name);

/* The label in which the working directory of a context stands; out has LABEL_NAME_LIMIT + 1. */
void sdbx_cwd_label(const char *context, char *out);

void sdbx_health(struct exchange *x, void *core);
void sdbx_register(struct exchange *x, void *core);
void sdbx_sandboxes_create(struct exchange *x, void *core);
void sdbx_sandboxes_list(struct exchange *x, void *core);
void sdbx_sandbox_status(struct exchange *x, void *core);
void sdbx_sandbox_delete(struct exchange *x, void *core);
void sdbx_execute(struct exchange *x, void *core);
void sdbx_terminal(struct exchange *x, void *core);
void sdbx_file_read(struct exchange *x, void *core);
void sdbx_file_write(struct exchange *x, void *core);
void sdbx_file_delete(struct exchange *x, void *core);
void sdbx_files_list(struct exchange *x, void *core);
void sdbx_contexts_create(struct exchange *x, void *core);
void sdbx_contexts_list(struct exchange *x, void *core);
void sdbx_context_delete(struct exchange *x, void *core);
void sdbx_templates_list(struct exchange *x, void *core);
void sdbx_template_show(struct exchange *x, void *core);
void sdbx_templates_create(struct exchange *x, void *core);

#endif
