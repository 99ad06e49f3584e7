/* Small files of a workspace in one piece, for client APIs whose JSON carries their content. What
 * core/file.h says of paths and errors holds here, too. */
#ifndef WARMCELL_GATEWAY_CORE_FILE_WHOLE_H
#define WARMCELL_GATEWAY_CORE_FILE_WHOLE_H

#include "gateway/core/file.h"

/* done is called once, at once or later: content is borrowed for the call. 409: it is no file; 413:
 * it is longer than limit_bytes (or grew beyond as it was read). */
void file_whole_read(struct sandbox *s, const char *path, size_t limit_bytes,
                     void (*done)(void *user, struct bytes content, const struct err *e),
                     void *user);

/* Replaces the file, or makes it and the folders on the way. content is borrowed until done: e:
 * NULL, or 409 a folder is there; 413 (--file-limit); 507. */
void file_whole_write(struct sandbox *s, const char *path, struct bytes content,
                      void (*done)(void *user, const struct err *e), void *user);

#endif
