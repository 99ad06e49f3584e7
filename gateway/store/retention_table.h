/* What is kept for how long: the rules, and the pass that forgets the rest. */
#ifndef WARMCELL_GATEWAY_STORE_RETENTION_TABLE_H
#define WARMCELL_GATEWAY_STORE_RETENTION_TABLE_H

#include "gateway/store/store.h"

/* Of each rule 0 means: none. */
struct retention {
    int64_t executions_days; /* since they ended */
    int64_t artifacts_days;  /* since they were made */
    int64_t artifacts_most;  /* the newest */
    int64_t artifacts_bytes; /* of the newest */
};

struct retention_report {
    int64_t executions; /* too old, or of sandboxes that are gone */
    int64_t kernels;    /* records of kernels that ended so long ago as executions */
    int64_t artifacts;
    int64_t blobs, blob_bytes; /* files that nothing names any more */
};

/* Forgets what the rules say, and removes blobs that no row names and that are older than an hour.
 * sandboxes: a JSON array of the ids of those that exist, whose executions alone stay; copied;
 * NULL: not known. dry_run: only counts. e: NULL or 503. */
void retention_run(struct store *s, const struct retention *rules, const char *sandboxes,
                   bool dry_run,
                   void (*done)(void *user, const struct retention_report *report,
                                const struct err *e),
                   void *user);

/* The same on the state folder of a gateway that does not run. 409: one does; 503. */
bool retention_run_offline(const char *state_dir, const struct retention *rules, bool dry_run,
                           struct retention_report *report, struct err *e);

#endif
