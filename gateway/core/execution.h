/* Executions: one run of one piece of code in one context, from its request to the record of how
 * it ended.
 *
 * An execution is one execute_request, whose msg_id is its id. What comes out of it is in the
 * kernel's journal alone (core/execution_event.h); the record is a row of the store. It is told to
 * the kernel at once and acknowledged after the commit of its row; its end is told after the commit
 * of that. A gateway that comes back takes up what had not ended and reads in the journal what it
 * missed. */
#ifndef WARMCELL_GATEWAY_CORE_EXECUTION_H
#define WARMCELL_GATEWAY_CORE_EXECUTION_H

#include "gateway/core/context.h"

#define EXECUTION_CODE_LIMIT_BYTES (8 * 1024 * 1024)
#define EXECUTIONS_OPEN_LIMIT      1000 /* of one context: queued, and the one that runs */
#define EXECUTIONS_OPEN_LIMIT_BYTES                                                                \
    (64 * 1024 * 1024)                 /* of their code, which is kept until they have ended */
#define EXECUTION_KEY_LIMIT        255 /* bytes of an idempotency key */
#define EXECUTION_DEADLINE_MOST_MS (INT64_C(30) * 24 * 3600 * 1000)

struct execution; /* counted; found ones are borrowed until control returns to the loop */
struct execution *execution_keep(struct execution *x); /* given to the caller */
void execution_release(struct execution *x);           /* NULL is legal */

/* All borrowed; NULL: not said. */
struct execution_request {
    const char *context; /* the id or name of a context; NULL: the first one */
    const char *code;
    json_t *env;         /* {"NAME": "value" or null} for this run alone */
    const char *cwd;     /* for this run alone */
    json_t *argv;        /* the run is that of a program: its name and words; Python alone */
    json_t *labels;      /* {"name": "text"} */
    int64_t deadline_ms; /* 0: none of its own */
    bool stop_on_error;  /* what waits behind it does not run if it fails */
    bool store_history, silent, allow_input;
    const char *traceparent; /* W3C trace context */
    const char *key;         /* idempotency */
    struct bytes body;       /* that came with the key */
};

/* Runs code. done is called once, at once or later, with an execution (borrowed for the call, for
 * a known key that of the first request with it) or NULL and why: 400 names the member; 404 no such
 * context; 409 the context is dead, or argv is nothing to its language; 422 the key came with
 * another body before; 429 too many are open; 503. It is not acknowledged before execution_await
 * says STORED. */
void executions_create(struct sandbox *s, const struct execution_request *request,
                       void (*done)(void *user, struct execution *x, const struct err *e),
                       void *user);

enum execution_point {
    EXECUTION_STORED,      /* its row is committed, which is begun at once */
    EXECUTION_STORED_SOON, /* the same within milliseconds, or with its end when that is earlier */
    EXECUTION_ENDED,       /* its end is committed */
    EXECUTION_SETTLED,     /* its artifacts are, too: displays and files */
};

/* done is called once, at once or later: e: NULL, or 503: the database, or the gateway ends. */
void execution_await(struct execution *x, enum execution_point point,
                     void (*done)(void *user, const struct err *e), void *user);

/* Begins at once what is begun within milliseconds anyway. */
void execution_hurry(struct execution *x);

/* done is called once, at once or later, with x borrowed for the call, or NULL: 404; 503. */
void executions_find(struct sandbox *s, const char *id,
                     void (*done)(void *user, struct execution *x, const struct err *e),
                     void *user);

/* All borrowed; NULL: any. */
struct execution_filter {
    const char *context; /* id */
    const char *status;
    int64_t after, limit;
};

/* Oldest first, without code, and none behind 4 MiB of them. list is borrowed for the call of done.
 * more: there are some behind the last. */
void executions_list(struct sandbox *s, const struct execution_filter *filter,
                     void (*done)(void *user, struct execution *const *list, size_t count,
                                  bool more, const struct err *e),
                     void *user);

/* True for a word that execution_status can give. */
bool execution_status_known(const char *status);
const char *execution_status_word(size_t index); /* NULL: there are no more */
bool execution_status_ends(size_t index);        /* and is not that of one that waits or runs */

/* The record, as one JSON object (docs/gateway.md, "Executions"). with_code: the code too. */
void execution_write(const struct execution *x, bool with_code, struct buffer *out);
/* The same as it was at its end, whatever was found since. */
void execution_write_ended(const struct execution *x, bool with_code, struct buffer *out);
/* An error as `"name": ..., "value": ..., "traceback": [...], "traceback_ansi": [...]`: content is
 * that of an `error` or of a reply. bounded: as a record has it, name and value of at most 1 and
 * 64 KiB of JSON, each traceback of 256, and then `"truncated": true` behind them. */
void execution_error_write(struct bytes content, bool bounded, struct buffer *out);
const char *execution_id(const struct execution *x);
const char *execution_status(const struct execution *x);
const char *execution_sandbox_id(const struct execution *x);
int64_t execution_position(const struct execution *x);
bool execution_ended(const struct execution *x); /* and it is committed */
/* What was found when it was settled, as a JSON object (docs/gateway.md, "Files that a run
 * changed"): {"settled", "artifacts", "files_changed"}; borrowed; NULL: it is not yet. */
const char *execution_settled(const struct execution *x);

/* Ends it: one that waits is taken out of the queue, one that runs is interrupted. done is called
 * once; e: NULL also when it has ended already; 409, 502, 503. */
void execution_cancel(struct execution *x, void (*done)(void *user, const struct err *e),
                      void *user);

/* Answers the input() that it waits in. 409: it does not wait for one; 503. */
bool execution_answer_input(struct execution *x, const char *value, struct err *e);

#endif
