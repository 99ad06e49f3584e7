/* Looks for what runs changed in the workspace of a sandbox, off the loop: a walk that is compared
 * with what was known before, and the bytes of what is new, kept once by SHA-256.
 *
 * Nothing is looked at before a run or while it goes on: a change is a run's by the time of it, the
 * ctime, which only the kernel sets. docs/gateway.md, "Files that a run changed", has the rules. */
#ifndef WARMCELL_GATEWAY_CORE_WORKSPACE_SCAN_H
#define WARMCELL_GATEWAY_CORE_WORKSPACE_SCAN_H

#include "gateway/files/entry.h"
#include "gateway/store/workspace_table.h"

enum workspace_limits {
    WORKSPACE_FILES_MOST = 100000,    /* names in a workspace */
    WORKSPACE_DEPTH_MOST = 64,        /* folders in folders */
    WORKSPACE_CHANGES_MOST = 1000,    /* recorded of one run */
    WORKSPACE_FILE_MIB = 512,         /* kept of one file, */
    WORKSPACE_RUN_MIB = 2 * 1024,     /* of one run, */
    WORKSPACE_SANDBOX_MIB = 8 * 1024, /* and of one sandbox */
    WORKSPACE_LOOK_MIB = 1024,        /* read in one scan of what belongs to no run: what holes of
                                         files stand for costs nobody a disk */
};

struct scan_run {
    char id[UUID_TEXT];
    bool is_command;
    char *kernel_id;                        /* owned; "": of a command */
    int64_t asked_ns, started_ns, ended_ns; /* CLOCK_REALTIME; started 0: it never ran */
};

/* What the files API did. */
struct scan_note {
    char *path;           /* owned */
    char etag[ETAG_TEXT]; /* of the file that it put there; "": it moved or removed what is at path
                             and below, or put more than one file there */
    int64_t until_ns;     /* by the coarse clock, as file systems use it */
};

struct workspace_scan {
    /* in; all owned */
    char *state_dir, *workspace, *sandbox_id, *principal;
    struct scan_run *runs; /* in the order of their ends */
    size_t run_count;
    int64_t *others; /* when the runs began that have not ended */
    size_t other_count;
    struct scan_note *notes;
    size_t note_count;
    int64_t kept_bytes; /* of the sandbox; counted on */
    /* in and out */
    struct workspace_files known; /* by path; without one for "" it was never looked at */
    /* out; owned: taken by the caller */
    struct settlement *settlement;
};
void workspace_scan_clear(struct workspace_scan *scan); /* what it owns */

/* On any thread. Of each run it makes one of the settlement, in the same order. `known` is then
 * what the settlement will have made of it in the store. */
void workspace_scan_run(struct workspace_scan *scan);

/* Now, as file systems write it. */
int64_t workspace_now_ns(void);

#endif
