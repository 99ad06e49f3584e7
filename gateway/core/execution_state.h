/* The inside of executions, shared by core/execution*.c and the few places of core that tell them
 * what happens to a kernel. */
#ifndef WARMCELL_GATEWAY_CORE_EXECUTION_STATE_H
#define WARMCELL_GATEWAY_CORE_EXECUTION_STATE_H

#include "gateway/core/execution.h"
#include "gateway/core/journal.h"
#include "gateway/store/execution_table.h"

/* Someone who waits for a point of an execution. */
struct execution_waiter {
    enum execution_point point;
    void (*done)(void *user, const struct err *e);
    void *user;
    struct execution_waiter *next;
};

/* Open: in the list of its kernel, which keeps it; not ended. Those that are not open came from the
 * store, or are kept by who holds them. */
struct execution {
    struct core *core;
    int references;
    struct execution_row row;   /* its status is the present one */
    struct kernel *kernel;      /* borrowed; NULL: not open */
    struct execution *next;     /* of the same kernel, in the order in which they were asked for */
    struct journal_cursor from; /* where row.first_sequence stands; next is 0: not known */
    uint64_t events;
    bool unstored;      /* its row is not on its way yet: it may end before */
    int delays;         /* for so long */
    bool stored;        /* its row is committed */
    bool settled;       /* its end is committed */
    bool taken_up;      /* from an earlier gateway: it is not known yet whether the kernel has it */
    struct err problem; /* of the store: status != 0 */
    struct buffer input_header; /* of the input_request that it waits in; empty: it does not */
    struct buffer outcome;      /* as its reply said; empty: no reply yet */
    char reply_status[EXECUTION_STATUS_TEXT];
    struct execution_waiter *waiters;
};

/* execution.c */
struct execution *execution_new(struct core *c, const struct execution_row *row); /* row: copied */
struct execution *execution_open_find(const struct core *c, const char *id); /* NULL: not open */
void execution_open(struct execution *x, struct kernel *k); /* the list keeps one reference */
/* Tells the kernel to run it. env: of this run; NULL. False: e is filled. */
bool execution_dispatch(struct execution *x, json_t *env, struct err *e);
void execution_store(struct execution *x);   /* its row, if it is unstored */
void executions_store_later(struct core *c); /* of all that are */
void execution_tell(struct execution *x);    /* the waiters for whom it is time */
bool execution_awaits(const struct execution *x, enum execution_point point); /* somebody does */

/* execution_fold.c: what the journal's records make of the open ones */
void executions_take(struct kernel *k, const struct journal_record *record);
/* The same of one that need not be open. */
void execution_take(struct execution *x, const struct journal_record *record);
/* What was taken is in the journal: the ends among it are stored. */
void executions_batch_stored(struct kernel *k);
/* Ends one without a word of its kernel. outcome: JSON object, or NULL: cause and reason only. */
void execution_end(struct execution *x, const char *status, const char *cause, const char *reason);

/* The mark for a segment that begins; false: none is needed. */
bool executions_mark(const struct kernel *k, struct buffer *out);
/* The number in a mark for that id; 0: it is not in it. */
uint64_t execution_marked(struct bytes mark, const char *id);

/* execution_record.c */
void execution_strip_ansi(struct bytes json, struct buffer *out); /* json: raw, of any value */

/* execution_adopt.c */
void executions_load(struct core *c); /* after core_adopt */
/* STATE: which executions the host has, and the last sequence that it gave out. */
void executions_known(struct kernel *k, json_t *state, uint64_t last);
void executions_caught_up(struct kernel *k); /* a batch was taken */

/* The kernel is being freed: it ended, or (keep) only this gateway does. */
void executions_kernel_gone(struct kernel *k, bool keep);

#endif
