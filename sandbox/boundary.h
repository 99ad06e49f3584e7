/* A sandbox's boundary: its namespaces, its file system and its init. Made by the keeper before
 * anything of a user runs inside. */
#ifndef WARMCELL_SANDBOX_BOUNDARY_H
#define WARMCELL_SANDBOX_BOUNDARY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/err.h"
#include "sandbox/confine.h"
#include "sandbox/wire.h"

#define BOUNDARY_UID 1000 /* of the code inside; also the gid */

/* --- the keeper's own place (world.c) */

struct world_plan {
    const char *state_dir;        /* sandbox ID's workspace is state_dir/ID/workspace */
    const char *const *read_only; /* further absolute paths that are seen inside; NULL at the end */
    bool required;                /* the policy; false: best-effort */
    uid_t first_uid, last_uid;    /* as root: host uids of ours; first_uid is the fork server's */
};

struct world;

/* Forks the keeper as PID 1 of a PID namespace, in a root of its own: the read-only root of the
 * template, with nothing of the host but what is needed, and state_dir at a place that only the
 * keeper sees. In the caller: true, *keeper is its pid (as the caller counts). In the keeper: true,
 * *keeper is 0, and *out is given. Descriptors that are open stay open in the keeper. 501 names
 * what the machine lacks and the remedy (policy required); 503. */
bool world_enter(const struct world_plan *plan, pid_t *keeper, struct world **out, struct err *e);

void world_free(struct world *w); /* what was entered stays; NULL is legal */

/* {"profile": "sandbox", "user_namespaces": true, "seccomp": true, "landlock": 7, "missing": []} */
json_t *world_report(const struct world *w);

/* True: as root, each sandbox has a host uid of its own. */
bool world_has_uids(const struct world *w);
/* The folder of the sandbox's workspace, as the keeper sees it; given. */
char *world_workspace(const struct world *w, const char *id);
const char *world_state(const struct world *w); /* the state folder; borrowed */

/* The plan of confinement for the fork server itself (its own uid, no capability, no network), for
 * a child of the keeper to call before it execs: 0, or -1 with errno and *step. Afterwards it may
 * still join the sandboxes that boundary_make made: it is the owner of their user namespaces. */
int world_confine_fork_server(struct world *w, const char **step);

/* --- one sandbox (boundary.c) */

struct boundary_plan {
    const char *id;
    uid_t uid; /* host uid, as root; 0: the shared one of an ordinary user */
    int64_t tmp_bytes, home_bytes, shm_bytes;
    int64_t tmp_inodes;
    const int *doors; /* of the share that the init enters (limits.h) */
    size_t door_count;
};

struct boundary {
    pid_t init; /* a child of the keeper */
    int init_pidfd;
    int namespaces[WIRE_NAMESPACES]; /* user, mnt, pid, net, ipc, uts; owned */
    uid_t uid;                       /* of the code, as it sees itself: BOUNDARY_UID */
    char *folder;                    /* owned: the workspace, as the code sees it: "/workspace" */
};

bool boundary_check_id(const char *id, struct err *e); /* 400 */

/* Makes the namespaces, the mounts (/workspace, /tmp, /dev/shm, HOME, /proc) and the init;
 * about 1.3 ms. The workspace folder is made when it is absent and belongs to the sandbox's uid.
 * 400: the id; 501: the machine does not allow it; 503.
 *
 * Best-effort on a machine without namespaces: all namespaces are -1, the init is a process that
 * sleeps and whose end ends nobody else, folder is the host's path and uid the host's. Then only
 * programs that the keeper itself starts can be confined: a fork server cannot become the sandbox's
 * uid; and as root the folders above the state folder must let the sandbox's uid pass. */
bool boundary_make(struct world *w, const struct boundary_plan *plan, struct boundary *out,
                   struct err *e);

/* The workspace folder of a boundary that was made for an id becomes that of another one, which has
 * none yet: state_dir/FROM is renamed. False: there is one, or it cannot be (errno). */
bool boundary_rename(const struct world *w, const char *from, const char *to);

/* Removes the folders of a workspace in which nothing is. */
void boundary_forget(const struct world *w, const char *id);

/* Kills the init, and so everything inside, at once. The keeper reaps it; what b owns is released.
 */
void boundary_end(struct boundary *b);

/* Fills the part of confine that the boundary decides: uid, gid, workspace, landlock, seccomp. */
void boundary_confine(const struct world *w, const struct boundary *b, struct confine *out);

#endif
