/* What is known of a file or folder, and the names in a folder. Called with the identity of the
 * sandbox (identity.h), on any thread. */
#ifndef WARMCELL_GATEWAY_FILES_ENTRY_H
#define WARMCELL_GATEWAY_FILES_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "protocol/err.h"

#define ETAG_TEXT 72 /* "\"ino-size-mtime\"" and a NUL */

enum entry_kind { ENTRY_FILE, ENTRY_FOLDER, ENTRY_SYMLINK, ENTRY_OTHER };

struct entry {
    char *name; /* owned; any bytes but NUL; of a folder's list its name, of a tree's its path below
                   it; "" for the workspace */
    enum entry_kind kind;
    bool known; /* the rest is: a folder may let its names be read and nothing else */
    int64_t size_bytes;
    struct timespec modified;
    unsigned mode;        /* the permissions */
    char *target;         /* of a link; owned; NULL otherwise */
    char etag[ETAG_TEXT]; /* of a file; "" otherwise */
};

void entry_free(struct entry *entry); /* what it owns */

/* Of an open (also O_PATH) descriptor. 503. */
bool entry_read(int fd, const char *name, struct entry *out, struct err *e);

/* Changes when the file is replaced, grows, shrinks or is written to: its inode, size and time of
 * modification. */
void entry_etag(const struct stat *st, char out[ETAG_TEXT]);

/* `path` in dir; st: NULL when nothing but its names may be read. */
void entry_fill(struct entry *out, int dir, const char *name, const char *path,
                const struct stat *st);

struct listing {
    struct entry *entries; /* by name, as bytes; owned */
    size_t count;
    char *next; /* where to go on behind; owned; NULL: that was all */
};

void listing_free(struct listing *l); /* what it owns */

/* The first `limit` names after `after` ("": from the start) of the folder fd (O_PATH). Memory is
 * bounded by limit, whatever is in the folder. 403, 503. */
bool listing_read(int fd, const char *after, size_t limit, struct listing *out, struct err *e);

#endif
