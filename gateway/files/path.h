/* Paths in a workspace, below a descriptor of its folder, where code that we do not trust makes
 * links and renames folders as we walk.
 *
 * Nothing here leads out: openat2 resolves with RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS. Links
 * are followed, but for the last name where that is said. A link to /workspace/... means the
 * workspace, as it does to the code inside. */
#ifndef WARMCELL_GATEWAY_FILES_PATH_H
#define WARMCELL_GATEWAY_FILES_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "protocol/err.h"

#define PATH_WORKSPACE "/workspace" /* what the folder is called inside */
#define PATH_BESIDE    ".warmcell-" /* begins the name of what is not in its place yet */
#define PATH_MODE      0755         /* of folders that are made on the way */

/* The path without needless slashes; "" is the workspace itself. Given; NULL: 400, a name in it is
 * "." or "..", or it is too long. */
char *path_clean(const char *text, struct err *e);

/* path lies somewhere in folder; both clean. */
bool path_is_below(const char *path, const char *folder);

/* The folder itself, O_PATH. -1: 404 it is not there; 503. */
int path_root(const char *folder, struct err *e);

/* O_PATH descriptor of what is at path (clean). follow: also a link in the last place. -1: 403 it
 * may not be reached, or leads out; 404; 503. */
int path_open(int root, const char *path, bool follow, struct err *e);

/* O_PATH descriptor of the folder that path (clean, not "") lies in; *name is the last part of
 * path, borrowed from it. make: folders that are missing are made, *made (may be NULL) counts them.
 * -1: 403, 404, 409 something on the way is no folder; 503, 507. */
int path_open_parent(int root, const char *path, bool make, const char **name, size_t *made,
                     struct err *e);

/* The folder at path (clean) below `from`, with no link on the way or in the last place; what is
 * missing is made, *made counts it. -1: 403, 409 a link, or what is no folder, is on the way; 503,
 * 507. */
int path_make_plain(int from, const char *path, size_t *made, struct err *e);

/* Another descriptor of the same object with these flags (O_RDONLY ...), never by its name: what is
 * there now cannot have been put in its place. -1 with errno. */
int path_reopen(int fd, int flags);

/* By it the file system that a folder lies in can be synced: the folder, or the one above it where
 * its mode keeps us out. -1 with errno. */
int path_filesystem(const char *folder);

/* The answer for errno as it was after something that was done at path. False. */
bool path_fail(struct err *e, const char *path);

#endif
