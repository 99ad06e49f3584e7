/* A tar, or a gzipped one, unpacked into a folder as it comes. Nothing leaves that folder: no link
 * is followed, neither one of the tar nor one that is there. Files appear whole, one after the
 * other; they replace files and links, and folders that are there stay. Called with the identity of
 * the sandbox (identity.h), on one thread at a time. */
#ifndef WARMCELL_GATEWAY_FILES_UNPACK_H
#define WARMCELL_GATEWAY_FILES_UNPACK_H

#include "gateway/files/room.h"
#include "gateway/files/touched.h"
#include "protocol/bytes.h"

struct unpack_result {
    int64_t files, folders, symlinks; /* that the tar had */
    int64_t bytes;                    /* of the files */
    int64_t left_out;                 /* by who packed it, as pack.h says it */
    bool gzip;                        /* it came so */
};

struct unpack;

/* path (clean) is made if need be. file_limit_bytes: of all files together. t: what must be synced
 * comes there, step by step; borrowed for its life; NULL: nobody asks. NULL: 403, 409, 507. */
struct unpack *unpack_open(int root, const char *path, int64_t file_limit_bytes, struct room *room,
                           struct touched *t, struct err *e);
/* One that puts nothing anywhere: its steps refuse what a tar may not have, and count the rest. */
struct unpack *unpack_look(int64_t file_limit_bytes);
/* From now on as tar_reader_skip_links has it. */
void unpack_skip_links(struct unpack *u,
                       void (*skip)(void *user, const char *path, const char *target), void *user);
/* A file that is not whole leaves nothing. NULL is legal. */
void unpack_free(struct unpack *u);

/* Takes from input until it is empty or the step has done enough (*again). 400 not gzip, or as of
 * tar_reader_next, with the entry's name; 403, 409 something that cannot be replaced is there, 413,
 * 507. What was unpacked stays. */
bool unpack_step(struct unpack *u, struct bytes *input, struct room *room, bool *again,
                 struct err *e);

/* The input is over. 400: the tar is not. */
bool unpack_finish(struct unpack *u, struct unpack_result *out, struct err *e);

#endif
