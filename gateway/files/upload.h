/* A file that is being written: unseen until it is whole and takes its place at once, or appended
 * to. Called with the identity of the sandbox (identity.h), on one thread at a time. */
#ifndef WARMCELL_GATEWAY_FILES_UPLOAD_H
#define WARMCELL_GATEWAY_FILES_UPLOAD_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/files/condition.h"
#include "gateway/files/entry.h"
#include "gateway/files/touched.h"
#include "protocol/bytes.h"
#include "protocol/err.h"

#define UPLOAD_MODE 0644

struct upload_plan {
    char *path;  /* owned; clean (path.h) */
    bool append; /* to the file that a link at path leads to, too; made if it is not there */
    int mode;    /* permissions; -1: those of what is replaced, else UPLOAD_MODE */
    struct condition condition;
    bool dated; /* modified is what it shall say */
    struct timespec modified;
};
void upload_plan_free(struct upload_plan *plan); /* what it owns */

struct upload;

/* Folders on the way are made; made counts them. plan is borrowed for the upload's life. NULL: 403,
 * 404, 409 a folder or something else that is no file is there, 412, 503, 507. */
struct upload *upload_open(int root, const struct upload_plan *plan, size_t *made, struct err *e);

/* One write where the system takes it in one: what is appended at a time is not mixed with what
 * others append. 413, 507. */
bool upload_write(struct upload *u, struct bytes data, struct err *e);

/* The next bytes of another file, inside the system where that is possible. *put: how many, 0 at
 * its end. 403, 413, 507. */
bool upload_copy(struct upload *u, int from_fd, int64_t most, int64_t *put, struct err *e);

struct upload_result {
    bool created; /* nothing was there before */
    int64_t replaced_bytes;
    char etag[ETAG_TEXT];
};

/* The file takes its place. A link at path is replaced, not followed; the condition is looked at
 * once more, and two uploads cannot both find that it holds. What replaces a file is on the disk
 * first, so that a power cut leaves the one or the other. 403, 404 the folder has gone, 409,
 * 412, 507. */
bool upload_commit(struct upload *u, struct upload_result *out, struct err *e);

/* After the commit: adds to t what must be synced for it to survive a power cut: the file, its
 * folder, and the folders above as far as `made` were new. */
void upload_touched(const struct upload *u, int root, size_t made, struct touched *t);

/* Without a commit nothing stays but what was appended, and folders. NULL is legal. */
void upload_free(struct upload *u);

#endif
