/* A folder and all below it as a tar, piece by piece. Called with the identity of the sandbox
 * (identity.h), on one thread at a time. */
#ifndef WARMCELL_GATEWAY_FILES_PACK_H
#define WARMCELL_GATEWAY_FILES_PACK_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/bytes.h"
#include "protocol/err.h"

struct pack;

/* Paths in it are below path (clean); of a file, its name. What cannot be packed, such as a socket,
 * or what the sandbox itself may not read, is left out, and a comment in the tar says so
 * (tar_add_comment: "left out: PATH: WHY")
 * before the next entry, or an entry "./". NULL: 403, 404, 409 neither file nor folder. */
#define PACK_PLAIN_BYTES (16 * 1024 * 1024)

struct pack *pack_open(int root, const char *path, bool gzip, struct err *e);
/* Asked for each path from now on: as what it is packed, or NULL: not at all, nor what is below. */
void pack_choose(struct pack *p, const char *(*choose)(void *user, const char *path), void *user);
/* From now on symlinks that lead out of what is packed, by their text, are told to skip, and not
 * packed: who unpacks refuses them. */
void pack_skip_links(struct pack *p, void (*skip)(void *user, const char *path, const char *target),
                     void *user);
/* For who will restore it as root: from now on entries have their owners, and files their holes: of
 * them only what is no hole is read, however large they are. A file in more than PACK_PIECES_MOST
 * pieces is left out. Such a tar is none for tar_reader_next. */
#define PACK_PIECES_MOST 65536
void pack_keep(struct pack *p);
void pack_free(struct pack *p); /* NULL is legal */

/* Appends at least `least` bytes, and little more, unless it is at its end (*last), or what was
 * compressed of PACK_PLAIN_BYTES is less, perhaps nothing: holes of files are not read without end.
 * 503. */
bool pack_read(struct pack *p, struct buffer *out, size_t least, bool *last, struct err *e);

/* How much was left out until now. */
size_t pack_left_out(const struct pack *p);

#endif
