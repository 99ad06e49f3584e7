/* Moves what an installer has unpacked into the workspace of the sandbox that it is for. */
#ifndef WARMCELL_GATEWAY_CORE_PACKAGE_TREE_H
#define WARMCELL_GATEWAY_CORE_PACKAGE_TREE_H

#include "gateway/core/sandbox.h"

/* The folder workspace/out of the sandbox `from`, in which nothing runs any more, becomes the
 * folder `name` of the workspace of s, whose files then belong to that. It holds files and folders
 * alone, none with a second name; 422 names what else there is. 507 it does not fit into the
 * workspace's limits; 503. done is called once, later, also when s ended meanwhile. */
void package_tree_move(struct sandbox *s, const char *from, const char *name,
                       void (*done)(void *user, const struct err *e), void *user);

#endif
