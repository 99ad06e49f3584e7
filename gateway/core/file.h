/* The files of a sandbox's workspace, from outside: read, written, listed, moved and removed as the
 * sandbox itself could (gateway/files), on libuv's threads.
 *
 * Paths are any bytes but NUL, relative to the workspace; "" is the workspace. Everything given is
 * copied unless it says otherwise. Each done is called once, at once or later, and also when the
 * sandbox is gone by then. Errors of all: 400 the path; 403 the sandbox may not, or a link leads
 * out; 404; 409; 500; 503. */
#ifndef WARMCELL_GATEWAY_CORE_FILE_H
#define WARMCELL_GATEWAY_CORE_FILE_H

#include "gateway/core/sandbox.h"
#include "gateway/core/use.h"
#include "gateway/files/entry.h"
#include "gateway/files/upload.h"
#include "protocol/bytes.h"

/* --- reading */

struct file_request {
    const char *path;
    bool look;         /* tell what the entry is, a link itself too; neither open nor list it */
    const char *after; /* of a folder: names behind this one; "": all */
    size_t limit;      /* and so many */
    bool tree;         /* of a folder: all below it, by paths below it (files/tree.h) */
    const char *glob;  /* of that, what this pattern matches (files/glob.h); NULL: all */
};

struct file_found {
    struct entry entry;
    char *path;              /* as it was asked for, without needless slashes */
    int fd;                  /* of a regular file, for reading; may be taken (and set to -1) */
    struct sandbox_use *use; /* with it; may be taken (and set to NULL) with fd; NULL */
    struct listing listing;  /* of a folder */
};

/* 400: the pattern; 409: it is neither file nor folder, or no folder where a tree is asked for, or
 * one of more than WALK_DEPTH_MOST in each other. found is released after done; NULL with e. */
void file_read(struct sandbox *s, const struct file_request *request,
               void (*done)(void *user, struct file_found *found, const struct err *e), void *user);

/* --- writing */

/* A file that comes piece by piece. Its owner calls one function at a time, awaits its done, and
 * ends it by commit or abort. */
struct file_upload;

/* plan: taken; its path need not be clean. bytes: how many will come; -1: not known. done gets the
 * upload, or NULL and why; 412; 507 the workspace's limits. */
void file_upload_open(struct sandbox *s, struct upload_plan *plan, int64_t bytes,
                      void (*done)(void *user, struct file_upload *u, const struct err *e),
                      void *user);
/* data is borrowed until done. 404 the sandbox has ended; 507. */
void file_upload_write(struct file_upload *u, struct bytes data,
                       void (*done)(void *user, const struct err *e), void *user);
/* 412; 404 the sandbox or the folder has gone. result: NULL with e. u is gone in any case. */
void file_upload_commit(struct file_upload *u,
                        void (*done)(void *user, const struct upload_result *result,
                                     const struct err *e),
                        void *user);
void file_upload_abort(
    struct file_upload *u); /* u is gone; nothing stays of a plan not to append */

/* --- changing */

struct file_change {
    enum { CHANGE_MAKE_FOLDER, CHANGE_MODE, CHANGE_MOVE, CHANGE_REMOVE } what;
    const char *path;
    const char *to; /* of a move */
    unsigned mode;  /* the permissions to be set */
    bool overwrite, recursive;
    struct condition condition; /* of a folder to be made, absent alone; not of a move */
};

/* created: something is there now that was not before. 412; 507. */
void file_change(struct sandbox *s, const struct file_change *change,
                 void (*done)(void *user, bool created, const struct err *e), void *user);

/* A file, a folder with all that is in it, or a link itself; folders on the way are made. created:
 * nothing was there. 409: something is there, and overwrite is not allowed; 413; 507; what was
 * copied until then stays. */
void file_copy(struct sandbox *s, const char *from, const char *to, bool overwrite,
               void (*done)(void *user, bool created, const struct err *e), void *user);

#endif
