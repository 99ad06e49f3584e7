/* One START: a process from the asking to its end. */
#ifndef WARMCELL_SANDBOX_START_H
#define WARMCELL_SANDBOX_START_H

#include "sandbox/asker.h"

enum start_phase {
    START_ASKED, /* a fork server has been asked, or will be when it is ready */
    START_COLD,  /* a child is on its way to exec */
    START_RUNS,
    START_FAILED, /* it was told; the child is still to be reaped */
};

struct start {
    struct start *next;
    struct keeper *keeper;
    struct asker *asker;     /* NULL: it has left */
    struct sandbox *sandbox; /* borrowed; NULL: unconfined. It waits for its starts to end */
    uint32_t number;
    enum start_phase phase;
    int fds[START_FDS]; /* owned, until the process has them */
    char **argv;        /* owned */
    char *cwd;          /* owned; NULL: the keeper's */
    mode_t umask;
    pid_t pid;          /* 0: none yet */
    char *cold_because; /* owned; NULL: it is a fork, or none was asked for */
    bool warm;
    bool command; /* any program, which speaks no link */
    int control;  /* of sandbox/exec.h; -1 */
    struct watch *control_watch;
};

/* Takes the descriptors of m, also on failure. 400: what is wrong with it; 503. */
bool start_begin(struct asker *a, struct wire_message *m, struct err *e);

/* The answers of the fork server. pid must be a child of the keeper; of a start that nobody waits
 * for any more the child is killed. */
void start_forked(struct start *s, pid_t pid);
void start_cold(struct start *s, const char *because); /* because: NULL, or why it is no fork */

/* A child that can be waited for. True: it was a start's, and is reaped. */
bool start_reap(struct keeper *k, pid_t pid);
struct start *start_of(struct keeper *k, pid_t pid); /* NULL */

/* False: its asker has left, or its sandbox is ending; start_cold() then only says so. */
bool start_is_wanted(const struct start *s);
void start_kill(struct start *s);    /* its process group, if it has one already */
void start_abandon(struct start *s); /* its asker has left */

#endif
