/* A walk through a folder and all below it, in order: by names as bytes, what is in a folder right
 * behind the folder itself. Links are told and not followed. Called with the identity of the
 * sandbox (identity.h), on one thread at a time.
 *
 * Each step goes from a folder that is held open to a name in it, so nothing leads out, and what is
 * moved meanwhile is at worst told twice or not at all. Memory is bounded, whatever is there. */
#ifndef WARMCELL_GATEWAY_FILES_WALK_H
#define WARMCELL_GATEWAY_FILES_WALK_H

#include <stdbool.h>
#include <sys/stat.h>

#include "protocol/err.h"

#define WALK_DEPTH_MOST 128 /* folders in each other; each holds a descriptor */

/* Views live until the next step. */
struct walk_entry {
    const char *path; /* below where the walk began */
    const char *name; /* the last part of it */
    int dir;          /* the folder that it lies in; borrowed */
    struct stat st;
    bool known;         /* st is: a folder may let its names be read and nothing else */
    const char *closed; /* why the walk does not go into this folder; NULL: it does, or is none */
    bool too_deep;      /* that is why */
};

struct walk;

/* fd: of the folder, O_PATH is enough; borrowed for the call. 403, 404, 503. */
struct walk *walk_open(int fd, struct err *e);
void walk_free(struct walk *w);

/* Goes on behind what a walk told as `after`, also if it has gone meanwhile. Before the first step.
 */
void walk_seek(struct walk *w, const char *after);

/* False: e is empty at the end; 503. */
bool walk_next(struct walk *w, struct walk_entry *out, struct err *e);

/* What is in the folder that was told last is left out. */
void walk_skip(struct walk *w);

#endif
