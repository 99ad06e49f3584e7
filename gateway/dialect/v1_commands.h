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

/* The body of POST …/commands: fills in what it says, and input, which the request borrows from.
 * 400. */
bool v1_command_request_read(json_t *body, struct command_request *out, struct buffer *input,
                             bool *base64, struct err *e);
/* A string, or {"base64": "…"}, appended. 400. */
bool v1_command_input_read(json_t *value, struct buffer *out, struct err *e);
/* {"signal": "SIGTERM"}, "TERM" or its number. 400. */
bool v1_command_signal_read(json_t *body, int *number, struct err *e);

/* One event as a JSON object. offset: of text in its stream. */
void v1_command_event_write(struct buffer *out, const struct command_run *r,
                            const struct record *record, struct bytes text, uint64_t offset,
                            bool base64);
/* The event behind the last one of the log, when the command is settled: its number, and itself. */
uint64_t v1_command_settled_number(const struct command_run *r);
void v1_command_settled_write(struct buffer *out, const struct command_run *r);

/* The beginnings of what a command wrote, as it was when they were begun: read so many bytes a
 * turn, as one of the two may be short and far behind in the log. */
#define V1_COMMAND_INLINE_BYTES (4 * 1024 * 1024) /* of each; events have all of it */
struct v1_command_outputs {
    struct command_run *run; /* borrowed: its watch tells when it goes */
    struct run_cursor cursor;
    uint64_t known[2];     /* bytes of stdout and stderr */
    struct buffer text[2]; /* owned */
};
void v1_command_outputs_begin(struct v1_command_outputs *o, struct command_run *r);
bool v1_command_outputs_read(struct v1_command_outputs *o);      /* true: there they are */
bool v1_command_outputs_cut(const struct v1_command_outputs *o); /* there was more of one */
void v1_command_outputs_free(struct v1_command_outputs *o);      /* what it owns */

/* Why a command is gone that somebody waited for: 503 the gateway ends, 404 it was forgotten. */
void v1_command_gone(const struct core *core, struct err *e);

/* status, exit_code, signal, reason, bytes, started, ended, run_ms: of the model and of the event
 * of its end. Given. */
json_t *v1_command_outcome(const struct command_run *r);

/* What of a command is streamed. */
struct v1_command_stream {
    enum v1_stream form; /* events, or the bytes of stdout or stderr */
    bool base64;
    uint64_t after; /* events with higher numbers */
    bool follow;    /* to the end of the command; else those that are there now */
    bool settled;   /* and to the event behind it */
    int status;     /* of the reply */
};
void v1_command_stream(struct exchange *x, struct command_run *r,
                       const struct v1_command_stream *what);

/* GET …/events, GET …/output */
void v1_command_events(struct exchange *x, void *core);
void v1_command_output(struct exchange *x, void *core);
/* GET …/artifacts, …/artifacts.tar, …/changes */
void v1_command_artifacts(struct exchange *x, void *core);
void v1_command_artifacts_tar(struct exchange *x, void *core);
void v1_command_changes(struct exchange *x, void *core);

#endif
