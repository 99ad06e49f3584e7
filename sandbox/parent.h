/* One process of the fork server, from its exec to its end. It imports and warms up, then forks
 * when it is told to; docs/keeper.md says what passes. */
#ifndef WARMCELL_SANDBOX_PARENT_H
#define WARMCELL_SANDBOX_PARENT_H

#include "sandbox/start.h"

#define PARENT_WINDOW     32 /* forks that are asked for and not answered */
#define PARENT_SILENCE_MS 2000

enum parent_phase {
    PARENT_WARMING,
    PARENT_READY,
    PARENT_RETIRED, /* answers what it was asked, then ends */
    PARENT_LOST,    /* closed its socket, and is about to end */
    PARENT_KILLED,
};

struct parent;

struct parent_events {
    void (*on_warm)(void *data, struct parent *p);
    /* The answer to parent_ask: pid, or 0 and why not. */
    void (*on_answer)(void *data, struct parent *p, struct start *s, pid_t pid, const char *why);
    void (*on_stale)(void *data, struct parent *p, const char *why);
    void *data;
};

/* Owned by its fork server. */
struct parent {
    struct parent *next; /* the fork server's */
    struct keeper *keeper;
    struct parent_events events;
    enum parent_phase phase;
    pid_t pid;
    unsigned generation;
    int64_t born_ms;
    int64_t forks;
    json_t *preloaded; /* owned; names of modules, as it said; NULL: it did not yet */
    struct {
        uint32_t number;
        struct start *start; /* borrowed */
    } asked[PARENT_WINDOW];
    size_t asked_count;
    uint32_t last_number;
    char why[400]; /* it was killed, or could not start: why; "" */

    int fd; /* -1: closed */
    struct watch *watch;
    int control; /* of sandbox/exec.h; -1 */
    struct watch *control_watch;
    int words_fd; /* what it writes to descriptors 1 and 2 */
    struct watch *words_watch;
    struct buffer words; /* the end of that */
    struct timer *overdue;
};

/* NULL: 503. */
struct parent *parent_start(struct keeper *k, char *const *argv, unsigned generation,
                            const struct parent_events *events, struct err *e);
/* False: its window is full or it cannot be spoken to (e). */
bool parent_ask(struct parent *p, struct start *s, struct err *e);
void parent_retire(struct parent *p);
void parent_kill(struct parent *p, const char *why);
/* It has ended: what it still said is told, and what it wrote last is added to why. */
void parent_reap(struct parent *p);
void parent_free(struct parent *p);

#endif
