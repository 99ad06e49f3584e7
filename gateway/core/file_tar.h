/* Folders of a sandbox's workspace as tars, piece by piece, on libuv's threads (files/pack.h,
 * files/unpack.h). The rules and errors of core/file.h hold. */
#ifndef WARMCELL_GATEWAY_CORE_FILE_TAR_H
#define WARMCELL_GATEWAY_CORE_FILE_TAR_H

#include "gateway/core/sandbox.h"
#include "gateway/files/unpack.h"
#include "protocol/bytes.h"

/* --- out. Its owner calls one function at a time, awaits its done, and ends it by free. */

struct file_pack;

/* done gets it, or NULL and why. 409: neither file nor folder. */
void file_pack_open(struct sandbox *s, const char *path, bool gzip,
                    void (*done)(void *user, struct file_pack *p, const struct err *e), void *user);
/* piece is about FILE_PACK_BYTES, borrowed until the next call; last: no more follows. */
#define FILE_PACK_BYTES (512 * 1024)
void file_pack_next(struct file_pack *p,
                    void (*done)(void *user, struct bytes piece, bool last, const struct err *e),
                    void *user);
/* Also while a piece is awaited: its done does not come then. */
void file_pack_free(struct file_pack *p);

/* --- in. Its owner calls one function at a time, awaits its done, and ends it by free. */

struct file_unpack;

/* Never fails by itself: the folder is looked for as the first bytes come. NULL: 400, the path. */
struct file_unpack *file_unpack_new(struct sandbox *s, const char *path, struct err *e);
/* data is borrowed until done, which gets the result with the last. 400 of the tar; 413; 507. */
void file_unpack_write(struct file_unpack *u, struct bytes data, bool last,
                       void (*done)(void *user, const struct unpack_result *result,
                                    const struct err *e),
                       void *user);
void file_unpack_free(struct file_unpack *u); /* not while a done is awaited; NULL is legal */

#endif
