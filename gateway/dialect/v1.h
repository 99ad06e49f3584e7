/* The native API: the handlers of the rows in v1.c. */
#ifndef WARMCELL_GATEWAY_DIALECT_V1_H
#define WARMCELL_GATEWAY_DIALECT_V1_H

#include "gateway/core/core.h"
#include "gateway/core/execution_numbers.h"
#include "gateway/core/sandbox.h"
#include "gateway/net/route.h"

/* A body may be absent: it is then {}. A member that a closed schema of the route's doc has not is
 * 400. Given; NULL: the exchange was answered. */
json_t *v1_body(struct exchange *x);
/* One that may be so large: 413. */
json_t *v1_body_within(struct exchange *x, size_t limit_bytes);
/* Its Idempotency-Key as once.h has it; NULL: it has none. Given. 400. */
bool v1_once(const struct exchange *x, const struct core *c, json_t **out, struct err *e);
#define V1_FILES_BODY_BYTES (8 * 1024 * 1024) /* of one that has files of a workspace in it */

/* The query's decimal number of that name within low..high; out is left alone when it is absent.
 * 400. */
bool v1_query_number(const struct exchange *x, const char *name, int64_t low, int64_t high,
                     int64_t *out, struct err *e);

/* Answers a DELETE when what it names has ended: 204, or e. user: the exchange. */
void v1_removed(void *user, const struct err *e);

void v1_readyz(struct exchange *x, void *core);

void v1_sandboxes_create(struct exchange *x, void *core);
void v1_sandboxes_list(struct exchange *x, void *core);
void v1_sandbox_show(struct exchange *x, void *core);
void v1_sandbox_change(struct exchange *x, void *core);
void v1_sandbox_delete(struct exchange *x, void *core);
void v1_sandbox_interrupt(struct exchange *x, void *core);
void v1_sandbox_restart(struct exchange *x, void *core);

void v1_contexts_create(struct exchange *x, void *core);
void v1_contexts_list(struct exchange *x, void *core);
void v1_context_show(struct exchange *x, void *core);
void v1_context_delete(struct exchange *x, void *core);
json_t *v1_contexts_model(const struct sandbox *s); /* an array; given */

void v1_executions_create(struct exchange *x, void *core);
void v1_executions_list(struct exchange *x, void *core);
void v1_execution_show(struct exchange *x, void *core);
void v1_execution_events(struct exchange *x, void *core);
void v1_execution_output(struct exchange *x, void *core);
void v1_execution_cancel(struct exchange *x, void *core);
void v1_execution_input(struct exchange *x, void *core);

void v1_snapshots_create(struct exchange *x, void *core);
void v1_snapshots_list(struct exchange *x, void *core);
void v1_sandbox_pause(struct exchange *x, void *core);
void v1_sandbox_resume(struct exchange *x, void *core);
void v1_sandbox_fork(struct exchange *x, void *core);
json_t *v1_sandbox_model(const struct sandbox *s); /* given */

void v1_metrics(struct exchange *x, void *core);
void v1_sandbox_metrics(struct exchange *x, void *core);
json_t *v1_code_cache_model(const struct code_cache *cache); /* null: not known; given */

void v1_artifacts_list(struct exchange *x, void *core);
void v1_sandbox_artifacts_list(struct exchange *x, void *core);
void v1_sandbox_artifacts_tar(struct exchange *x, void *core);
void v1_execution_artifacts_tar(struct exchange *x, void *core);
void v1_execution_artifacts(struct exchange *x, void *core);
void v1_execution_changes(struct exchange *x, void *core);
void v1_artifact_show(struct exchange *x, void *core);
void v1_artifact_delete(struct exchange *x, void *core);
void v1_artifact_content(struct exchange *x, void *core);

#endif
