/* The history of inputs: IPython's own file and schema, written by a thread of its own, outside the
 * path of a cell, without losing a row: each row stands in a journal (journal.h) before the cell's
 * reply goes out. Source: IPython core/history.py. */
#ifndef WARMCELL_KERNEL_HOST_HISTORY_H
#define WARMCELL_KERNEL_HOST_HISTORY_H

#include "kernel/host/history_query.h"
#include "sandbox/loop.h"

struct history_events {
    /* The number of the session that begins; 0: the file cannot be used (reported once). */
    void (*on_session)(void *data, int64_t session);
    /* The content of the history_reply to history_ask(number); borrowed. */
    void (*on_answer)(void *data, uint64_t number, struct bytes content);
    void *data;
};

struct history;

/* file: the SQLite file, made with its directory when it is not there.
 *
 * own: it is this kernel's alone and ends with it. Then its journals stand beside it, nothing waits
 * for the disk, and the file comes to be with its first row: the first session of a file that is
 * not there yet is 1. */
struct history *history_open(struct loop *loop, const char *file, bool own,
                             const struct history_events *events);
void history_free(
    struct history *h); /* writes what is pending, and ends the session's row; NULL is legal */

/* A new session: a row in `sessions`; answered by on_session, perhaps before this returns. */
void history_begin_session(struct history *h);

/* One row of the present session. It is in the journal when this returns. */
void history_add(struct history *h, int64_t line, struct bytes source, struct bytes source_raw);

/* Answered by on_answer, with every row that was added before. */
void history_ask(struct history *h, uint64_t number, const struct history_query *query);

/* "~/.ipython/profile_default/history.sqlite", or below $IPYTHONDIR. Given to the caller; NULL: no
 * home directory. */
char *history_default_file(void);

#endif
