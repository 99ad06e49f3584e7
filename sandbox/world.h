/* The inside of struct world, for the files that make boundaries; everybody else uses boundary.h.
 */
#ifndef WARMCELL_SANDBOX_WORLD_H
#define WARMCELL_SANDBOX_WORLD_H

#include <stdbool.h>
#include <sys/types.h>

#include "sandbox/probe.h"

/* The folders of the keeper's own root; a sandbox sees none of them. */
#define WORLD_TEMPLATE "/template" /* a mount: the read-only root */
#define WORLD_NEXT     "/next"     /* where a process that leaves puts together its root */
#define WORLD_STATE    "/state"    /* the sandboxes' folders */

struct world {
    bool confined;   /* false: best-effort on a machine without namespaces; nothing was entered */
    bool privileged; /* real root, in the initial user namespace */
    uid_t
        owner; /* of the sandboxes' user namespaces, and the fork server's: as the keeper counts */
    gid_t owner_gid;
    char **hidden;   /* owned: see root.h */
    char *state_dir; /* owned: WORLD_STATE, or the host's path when not confined */
    struct probe probe;
};

/* A child of the caller in new namespaces: flags are CLONE_NEW* and others of clone, without a
 * signal. Like fork, but glibc's handlers of fork are not run. */
pid_t world_clone(unsigned long flags);

#endif
