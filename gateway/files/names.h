/* The names in a folder, in order, a bounded number at a time. */
#ifndef WARMCELL_GATEWAY_FILES_NAMES_H
#define WARMCELL_GATEWAY_FILES_NAMES_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>

struct names {
    char **name; /* by their bytes; owned */
    size_t count;
    bool more; /* there are names after the last */
};

void names_free(struct names *n); /* what it owns */

/* The first `limit` names after `after` ("": from the start), without "." and "..". The folder is
 * read from its start, in memory of twice `limit` names. False with errno: what could be read is in
 * out. */
bool names_read(DIR *folder, const char *after, size_t limit, struct names *out);

#endif
