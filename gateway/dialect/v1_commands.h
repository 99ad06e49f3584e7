/* What the files of /v1/sandboxes/{id}/commands share. */
#ifndef WARMCELL_GATEWAY_DIALECT_V1_COMMANDS_H
#define WARMCELL_GATEWAY_DIALECT_V1_COMMANDS_H

#include "gateway/core/command_run.h"
#include "gateway/core/core.h"
#include "gateway/dialect/v1_executions.h"
#include "gateway/net/exchange.h"

/* The command that the path names. NULL: the exchange was answered. */
struct command_run *v1_command_find(struct exchange *x, struct core *core);

/* "text" (default) or "base64", of a query or a body; text NULL: not said. 400. */
bool v1_command_encoding(const char *text, bool *base64, struct err *e);
void v1_base64(struct buffer *out, struct bytes data); /* appends */

/* status, exit_code, signal, reason, bytes, started, ended, run_ms: of the model and of the event
 * of its end. Given. */
json_t *v1_command_outcome(const struct command_run *r);

/* Answers with the events behind `after`, or the bytes of stdout or stderr, to the end of the
 * command; without follow those that are there now. */
void v1_command_stream(struct exchange *x, struct command_run *r, enum v1_stream form, bool base64,
                       uint64_t after, bool follow, int status);

/* GET …/events, GET …/output */
void v1_command_events(struct exchange *x, void *core);
void v1_command_output(struct exchange *x, void *core);

#endif
