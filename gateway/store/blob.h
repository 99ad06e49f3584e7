/* Bytes kept once under their SHA-256: STATE/blobs/ab/cdef... Usable from any thread. */
#ifndef WARMCELL_GATEWAY_STORE_BLOB_H
#define WARMCELL_GATEWAY_STORE_BLOB_H

#include "protocol/bytes.h"
#include "protocol/err.h"

#define BLOB_NAME_TEXT 65 /* 64 hexadecimal digits and a NUL */

struct blob;

/* Makes the folders of a state folder, and removes what writers that were killed left: *left files.
 */
bool blob_prepare(const char *state_dir, size_t *left, struct err *e);

/* Begins to write one, into a temporary file. 503. */
struct blob *blob_begin(const char *state_dir, struct err *e);
bool blob_write(struct blob *b, struct bytes data, struct err *e);

/* Syncs the file, gives it its name, syncs that too, and releases b, also on failure. */
bool blob_finish(struct blob *b, char name[BLOB_NAME_TEXT], int64_t *size_bytes, struct err *e);
void blob_abandon(struct blob *b); /* NULL is fine */

/* Removes one that nobody has stored for young_s seconds; *size_bytes of it. False: it is younger,
 * or not there. dry_run: nothing is removed. */
bool blob_drop(const char *state_dir, const char *name, int64_t young_s, bool dry_run,
               int64_t *size_bytes);

/* Where the bytes of a name are; given to the caller. */
char *blob_path(const char *state_dir, const char *name);

#endif
