/* The database (SQLite, WAL) in the state folder, behind a thread of its own.
 *
 * Work is handed over as jobs; all that wait are run in one transaction, and their done is called
 * on the loop's thread after it was committed. A process killed at any instant leaves what was
 * committed; of what was committed a power cut leaves all but the last 100 ms, or all where
 * `full` was asked for. Only the files of this folder see SQLite. */
#ifndef WARMCELL_GATEWAY_STORE_STORE_H
#define WARMCELL_GATEWAY_STORE_STORE_H

#include <uv.h>

#include "gateway/store/sync.h"
#include "protocol/err.h"

struct store;
struct database;

/* The first member of what each table file hands over. done frees it. */
struct store_job {
    void (*run)(struct store_job *job, struct database *db); /* on the store's thread */
    void (*done)(struct store_job *job);                     /* on the loop's thread */
    struct err error;                                        /* status 0: it went well */
    struct store_job *next;
};

/* Opens STATE/warmcell.db, bringing an older schema forward. full: what was said to the store's
 * sync before a job was submitted, and the job's own changes, are on the disk when it is done. 503:
 * it cannot be opened, is of a newer schema, or is damaged. */
struct store *store_open(const char *state_dir, bool full, uv_loop_t *loop, struct err *e);

/* Runs what waits, then closes; the done of all jobs have been called when closed is. store may not
 * be used after. */
void store_close(struct store *s, void (*closed)(void *user), void *user);

const char *store_dir(const struct store *s);   /* the state folder */
struct sync *store_sync(const struct store *s); /* borrowed */

/* Calls done when all that was said to the sync is on the disk; at once unless `full`. e: NULL, or
 * 503. */
void store_settle(struct store *s, void (*done)(void *user, const struct err *e), void *user);

/* Did the last commit fail? Then whether it can be written now, which changes nothing, is found out
 * by store_probe. done is called once; e: NULL, or 503. */
bool store_failing(const struct store *s);
void store_probe(struct store *s, void (*done)(void *user, const struct err *e), void *user);

void store_submit(struct store *s, struct store_job *job);
/* The same, waiting for it: only while the gateway starts. done is not called. */
void store_wait(struct store *s, struct store_job *job);

#endif
