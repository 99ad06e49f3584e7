/* What the files of /v1/sandboxes/{id}/executions share: events and outputs as JSON, and streams.
 *
 * An event is {"number", "type", "time", ...}; the members of each type are in docs/gateway.md,
 * "Executions". What the kernel wrote is spliced in as it wrote it. */
#ifndef WARMCELL_GATEWAY_DIALECT_V1_EXECUTIONS_H
#define WARMCELL_GATEWAY_DIALECT_V1_EXECUTIONS_H

#include "gateway/core/execution_event.h"
#include "gateway/net/exchange.h"

/* Adds the text of a `stream` message if it is of that name. */
void v1_event_write_text(const struct execution_event *event, bool of_stderr, struct buffer *out);

/* One event that is not the last, on one line, without an end of the line. */
void v1_event_write(const struct execution_event *event, struct buffer *out);
/* The last one, "end", which has the record. */
void v1_event_write_end(const struct execution *x, struct buffer *out);

/* The one behind the last, "artifacts_settled": execution_settled gave something. */
void v1_event_write_settled(const struct execution *x, struct buffer *out);

/* ?settled=1: what is awaited goes on until that event; 400. */
bool v1_settled_wanted(const struct exchange *x, bool *out, struct err *e);
/* The same of any such word of the query: absent or 0 is false; 400 names it. */
bool v1_wanted(const struct exchange *x, const char *name, bool *out, struct err *e);

/* The record and what came out, gathered, about limit_bytes of it: {..., "outputs": {...}}.
 * settled: with what was found since its end, if that is there. */
#define V1_OUTPUTS_BYTES (8 * 1024 * 1024)
void v1_execution_write_whole(struct execution *x, size_t limit_bytes, bool settled,
                              struct buffer *out);

/* What the head of a request says; then what its body, or an item of a batch, does: 400. */
void v1_execution_request_begin(const struct exchange *x, struct execution_request *out);
bool v1_execution_request_read(json_t *body, struct execution_request *out, bool *detach,
                               struct err *e);

/* Answers a body with "items". body is borrowed. */
void v1_batch_create(struct exchange *x, struct core *c, json_t *body);

/* How the client wants what comes: by Accept. */
enum v1_stream { STREAM_NONE, STREAM_LINES, STREAM_EVENTS, STREAM_STDOUT, STREAM_STDERR };
enum v1_stream v1_stream_wanted(const struct exchange *x);

/* Answers with the events behind `after` as they come, and the record last, or, if that is asked
 * for, artifacts_settled; or with the text of stdout or stderr alone. Ends the exchange. */
void v1_stream_reply(struct exchange *x, struct execution *execution, enum v1_stream form,
                     uint64_t after, bool settled);

/* Of a stream message, in one pass over what may be long: its raw text, borrowed. */
struct bytes v1_event_raw_text(const struct message *m, bool *of_stderr);

/* Takes the ends of lines out of the JSON behind `from`: in raw JSON they stand between its tokens
 * only, and hardly ever. */
void v1_join_lines(struct buffer *out, size_t from);

/* The lines of JSON of another dialect: each function adds whole ones with their ends, or nothing.
 */
struct v1_stream_words {
    void (*event)(const struct execution_event *event, struct buffer *out);
    void (*end)(const struct execution *x, struct buffer *out);
    void (*problem)(const struct err *e, struct buffer *out); /* instead of the end */
};
/* As v1_stream_reply, from the first event on, in those words; they are borrowed for ever. */
void v1_stream_reply_as(struct exchange *x, struct execution *execution,
                        const struct v1_stream_words *words);

/* ?after=, or what an EventSource says as it comes back, whichever is further; 400. */
bool v1_events_after(const struct exchange *x, uint64_t *after, struct err *e);

/* A JSON text of ours as the reply. */
void v1_reply_text(struct exchange *x, int status, struct buffer *text);

#endif
