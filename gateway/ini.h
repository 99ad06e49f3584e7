/* Ini files: lines "key = value". */
#ifndef WARMCELL_GATEWAY_INI_H
#define WARMCELL_GATEWAY_INI_H

#include "protocol/bytes.h"
#include "protocol/err.h"

#define INI_LIMIT_BYTES (256 * 1024)

/* Walks the pairs in order, their views trimmed of blanks. Sections are passed over; # and ; at the
 * start of a line begin a comment. Stops with false when on_pair does, or with 400 "line 3: ...".
 */
bool ini_parse(struct bytes text,
               bool (*on_pair)(void *user, struct bytes key, struct bytes value, int line,
                               struct err *e),
               void *user, struct err *e);

/* Reads a file whole, at most INI_LIMIT_BYTES. *found is false, and the result true, when there is
 * none. */
bool ini_read(const char *path, struct buffer *out, bool *found, struct err *e);

#endif
