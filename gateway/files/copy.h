/* A file, or a folder with all below it, copied in steps. Files appear whole; each stays what it
 * was until its copy is. Called with the identity of the sandbox (identity.h), on one thread at a
 * time. */
#ifndef WARMCELL_GATEWAY_FILES_COPY_H
#define WARMCELL_GATEWAY_FILES_COPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/files/room.h"
#include "gateway/files/touched.h"

struct copy_plan {
    const char *from, *to; /* clean (path.h); borrowed for the copy's life */
    bool overwrite;        /* files that are there; what is in a folder that is there stays */
    int64_t file_limit_bytes;
    struct touched *touched; /* what must be synced; borrowed likewise; NULL: nobody asks */
};

struct copy;

/* A link is copied as a link. NULL: 403, 404, 409 something is there, a folder is to be copied into
 * itself, or it is neither file, folder nor link; 413, 507. *created: nothing was there. Some of
 * it is copied already. */
struct copy *copy_open(int root, const struct copy_plan *plan, struct room *room, bool *created,
                       struct err *e);

/* Goes on until it is *done, or the room is used. Errors as above; what was copied so far stays. */
bool copy_step(struct copy *c, int root, struct room *room, bool *done, struct err *e);
void copy_free(struct copy *c); /* a file that is not whole leaves nothing */

#endif
