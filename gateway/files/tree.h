/* All that is below a folder, or what of it a pattern matches, a page at a time. Called with the
 * identity of the sandbox (identity.h), on any thread. */
#ifndef WARMCELL_GATEWAY_FILES_TREE_H
#define WARMCELL_GATEWAY_FILES_TREE_H

#include "gateway/files/entry.h"
#include "gateway/files/glob.h"

#define TREE_LOOKS_MOST                                                                            \
    100000 /* names looked at for one page; one whose path and pattern are long                    \
              counts for several */

/* Like listing_read, in the order of a walk (walk.h); names are paths below fd. A page may have
 * fewer than `limit` entries, and more follow: TREE_LOOKS_MOST. glob: NULL for all. 409: folders
 * are too deep in each other. */
bool tree_read(int fd, const struct glob *glob, const char *after, size_t limit,
               struct listing *out, struct err *e);

#endif
