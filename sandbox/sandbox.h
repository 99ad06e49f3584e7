/* The sandboxes that a keeper holds: each a boundary with a share of the machine, the connections
 * that hold it, and the processes that were started inside. */
#ifndef WARMCELL_SANDBOX_SANDBOX_H
#define WARMCELL_SANDBOX_SANDBOX_H

#include "sandbox/asker.h"
#include "sandbox/boundary.h"
#include "sandbox/limits.h"

struct opening;
struct waiter;

struct sandbox {
    struct sandbox *next;
    struct keeper *keeper;
    char *id;     /* owned */
    char *former; /* owned; the name that it was made with; NULL: the same */
    uid_t uid;    /* the host's; 0: the shared one of an ordinary user */
    struct boundary boundary;
    struct share *share;
    char *breach;            /* owned; the limit for which everything inside was killed; NULL */
    int64_t breached_ms;     /* monotonic */
    bool proxied;            /* it has a way to the hosts of its list */
    bool full;               /* it has a way to the outside */
    struct opening *opening; /* owned; that way is being opened (opening.h); NULL */
    size_t holders;
    bool spare; /* made ahead (stock.h) */
    bool ending;
    bool init_gone;
    struct waiter *waiters; /* whose CLOSE is answered when all is gone */
};

/* Makes it, or joins the one that is there; the asker then holds it. body is that of OPEN. 400,
 * 409: it is just ending, or its uid is another's; 501, 503. *created tells which. */
struct sandbox *sandbox_open(struct asker *a, json_t *body, bool *created, struct err *e);
json_t *sandbox_opened(const struct sandbox *s, bool created); /* the answer to OPEN; given */

/* One for the stock, under a name of its own. */
bool sandbox_make_spare(struct keeper *k, struct err *e);

/* NULL: 404. */
struct sandbox *sandbox_find(struct keeper *k, const char *id, struct err *e);
bool sandbox_is_held(const struct asker *a, const struct sandbox *s);

/* Something that the asker started may be there when all that it holds alone has ended. */
bool sandboxes_outlive(const struct asker *a);
/* The asker has left. */
void sandboxes_release(struct asker *a);

/* Kills everything inside. When it is reaped, it is gone with all it had; then those who wait are
 * answered. */
void sandbox_end(struct sandbox *s);
void sandbox_wait_for_end(struct sandbox *s, struct asker *a, uint32_t number);
void sandboxes_end(struct keeper *k);

/* Those whose network is "full" end, with that as the reason: there is no way to it any more. */
void sandboxes_lose_network(struct keeper *k);

/* Kills every process inside but its init; 503. */
bool sandbox_kill(struct sandbox *s, struct err *e);

/* It is another's from now on: found by either name. Its folder is the asker's to rename. 400: id
 * cannot be a name; 409: another has it. */
bool sandbox_rename(struct sandbox *s, const char *id, struct err *e);

/* Why something inside was just killed: {"oom": bool, "limit_bytes": n, "peak_bytes": n, "breach":
 * sentence or null}. An end for want of memory is told once. Given. */
json_t *sandbox_cause(struct sandbox *s);

/* A process will begin inside: unless what was killed for a limit still ends, that is over. */
void sandbox_forget_breach(struct sandbox *s);

/* What a process inside takes on: the boundary's part, the share's, and its mark (lineage.h). */
void sandbox_confine(const struct sandbox *s, uint32_t mark, struct confine *out);
/* {"uid": n, "gid": n, "landlock": bool, "seccomp": bool, "rlimits": [[n, n, n], ...]}; given. */
json_t *sandbox_confine_json(const struct sandbox *s, uint32_t mark);
/* NULL: this machine has none, and forks cannot join. */
const int *sandbox_namespaces(const struct sandbox *s);

/* A child that can be waited for. True: it was an init, and is reaped. */
bool sandbox_reap(struct keeper *k, pid_t pid);
bool sandbox_has(const struct keeper *k, pid_t pid);
/* A process inside has been reaped. */
void sandbox_settle(struct sandbox *s);

/* [{"sandbox": id, "uid": n, "processes": n, "holders": n}, ...]; given. */
json_t *sandboxes_status(const struct keeper *k);

/* The timer of SHARE_TICK_MS, while there is a sandbox. */
void sandboxes_tick(struct keeper *k);

#endif
