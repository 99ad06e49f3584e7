/* The governor's inside, for shares and for tests; others use sandbox/limits.h. */
#ifndef WARMCELL_SANDBOX_GOVERNOR_H
#define WARMCELL_SANDBOX_GOVERNOR_H

#include "sandbox/cgroup.h"
#include "sandbox/limits.h"

#define GOVERNOR_FOLDER    "warmcell" /* below our own cgroup; then NAME, then a share's id */
#define GOVERNOR_LEAF      "warmcell-supervisors" /* where our own processes go in version 2 */
#define GOVERNOR_NAME_MOST 64                     /* characters of a name or an id */

/* One mounted hierarchy in which we have a folder. */
struct hierarchy {
    const struct cgroup_kind *kind;
    unsigned controllers;
    int own;  /* our own cgroup; owned */
    int base; /* warmcell/NAME below it, locked; owned */
};

/* A group that could not be removed yet, because a process in it is still ending. */
struct leaving {
    struct leaving *next;
    char id[GOVERNOR_NAME_MOST + 1];
};

struct governor {
    char name[GOVERNOR_NAME_MOST + 4]; /* with ".2" when another keeper holds the first */
    struct hierarchy hierarchies[CGROUP_PLACES_MOST];
    size_t count;
    unsigned controllers; /* of all hierarchies together */
    json_t *missing;      /* sentences; owned */
    struct leaving *leaving;
    int64_t walk_us;         /* how long workspaces may still be walked now, for all shares */
    int64_t walk_granted_us; /* monotonic; when that was last topped up */
};

/* governor_open with the texts of /proc/self/cgroup and /proc/self/mountinfo. */
struct governor *governor_open_from(const char *name, const char *delegated,
                                    const char *self_cgroup, const char *mountinfo);

/* Up to GOVERNOR_NAME_MOST letters, digits, '-', '_' and '.', and no '.' first. */
bool governor_name_valid(const char *name);

/* Kills what is in the group of that id and removes it, now or when governor_sweep is called later:
 * a killed process takes a while to end. */
void governor_remove(struct governor *g, const char *id);
void governor_sweep(struct governor *g);

/* The same for at most wait_ms; true: it is gone. */
bool governor_remove_now(struct governor *g, const char *id, int wait_ms);

#endif
