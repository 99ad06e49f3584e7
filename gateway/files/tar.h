/* Tar as it is on the wire: ustar, with long names and large sizes as GNU tar and POSIX's pax write
 * them. Opens nothing and allocates within TAR_META_MOST; whose paths these are is not its concern.
 * Sources: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Extended Header"; the GNU tar
 * manual, "Basic Tar Format". */
#ifndef WARMCELL_GATEWAY_FILES_TAR_H
#define WARMCELL_GATEWAY_FILES_TAR_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "protocol/bytes.h"
#include "protocol/err.h"

#define TAR_BLOCK        512
#define TAR_META_MOST    (64 * 1024)        /* bytes of one long name or extended header */
#define TAR_ENTRIES_MOST 1000000            /* headers of any kind in one tar */
#define TAR_REST_MOST    (64 * 1024 * 1024) /* bytes behind the end, which mean nothing */

enum tar_kind { TAR_FILE, TAR_FOLDER, TAR_SYMLINK };

struct tar_entry {
    enum tar_kind kind;
    const char *path;   /* clean (path.h), never "" */
    const char *target; /* of a symlink, as it stands there; NULL otherwise */
    unsigned mode;      /* the permissions, without set-uid and the like */
    struct timespec modified;
    int64_t size_bytes; /* of a file; else 0 */
    int64_t uid, gid;   /* for writing alone; 0: root's, as if nobody's */
};

/* A part of a file that is no hole. */
struct tar_piece {
    int64_t at, bytes;
};

/* Does a link at path lead out of the place that path is below, by its text? */
bool tar_leads_out(const char *path, const char *target);

/* --- reading */

enum tar_step {
    TAR_NEEDS,    /* more input */
    TAR_ENTRY,    /* entry was filled */
    TAR_DATA,     /* data is the next of its bytes, borrowed from the input */
    TAR_COMPLETE, /* all bytes of the file were told; also of an empty one */
    TAR_REFUSED,  /* e says why, and names the entry; nothing more may be asked for */
};

struct tar_reader;
struct tar_reader *tar_reader_new(int64_t file_limit_bytes); /* of all files together */
void tar_reader_free(struct tar_reader *r);

/* From now on a symlink that leads out is told to skip and passed over, and no reason to refuse;
 * path and target are borrowed during that. */
void tar_reader_skip_links(struct tar_reader *r,
                           void (*skip)(void *user, const char *path, const char *target),
                           void *user);

/* The next thing of what is in input, from which is taken what was used. entry lives until the step
 * after TAR_COMPLETE of a file, or the next step of another.
 *
 * 400: it is no tar; a path is absolute, has a "." or ".." in the middle, or is too long; a symlink
 * is absolute or leads out of where the tar is unpacked; a hard link, a device, a FIFO, a sparse
 * file, or what we do not know. 413: more than TAR_ENTRIES_MOST, or the limit. */
enum tar_step tar_reader_next(struct tar_reader *r, struct bytes *input, struct tar_entry *entry,
                              struct bytes *data, struct err *e);

/* The input is over. 400: in the middle of something, or before anything came. */
bool tar_reader_finish(const struct tar_reader *r, struct err *e);

/* How many comments "left out: …" came (pack.h). */
int64_t tar_reader_left_out(const struct tar_reader *r);

/* --- writing */

void tar_add_header(struct buffer *out, const struct tar_entry *entry);
/* A file of which only these pieces follow, one behind the other; the rest is holes. Given: how
 * many bytes they have together. Source: the GNU tar manual, "PAX Format, Version 1.0" of sparse
 * files. */
int64_t tar_add_sparse(struct buffer *out, const struct tar_entry *entry,
                       const struct tar_piece *pieces, size_t count);
/* What fills the last block of so many bytes. */
void tar_add_padding(struct buffer *out, int64_t size_bytes);
/* A remark that every reader passes over: a global extended header with "comment=<text>". */
void tar_add_comment(struct buffer *out, const char *text);
void tar_add_end(struct buffer *out);

#endif
