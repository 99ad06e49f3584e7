/* What the files of artifacts and of changed files share. */
#ifndef WARMCELL_GATEWAY_DIALECT_V1_ARTIFACTS_H
#define WARMCELL_GATEWAY_DIALECT_V1_ARTIFACTS_H

#include "gateway/dialect/v1.h"
#include "gateway/core/artifact.h"

/* The filters and the place that a list was asked for with; 400. Borrowed from x. */
bool v1_artifacts_query(const struct exchange *x, struct artifact_query *out, struct err *e);

/* Answers with the page. */
void v1_artifacts_reply(struct exchange *x, struct core *c, const struct artifact_query *query);

/* Answers with the page of what a run changed that x asks for. settled: what is told of it as JSON;
 * NULL: nothing yet. All are borrowed for the call. */
void v1_changes_reply(struct exchange *x, struct core *c, const char *sandbox_id,
                      const char *run_id, const char *settled);

/* Answers with all of them as a tar. */
void v1_artifacts_send_tar(struct exchange *x, struct core *c, const struct artifact_query *query);

#endif
