/* The names in a workspace and what the file system knows of each, without opening a file. Called
 * with the identity of the sandbox (files/identity.h), on any thread. */
#ifndef WARMCELL_GATEWAY_CORE_WORKSPACE_WALK_H
#define WARMCELL_GATEWAY_CORE_WORKSPACE_WALK_H

#include <sys/stat.h>

#include "gateway/store/workspace_table.h"
#include "protocol/err.h"

/* Files, links and whatever else is no folder, by path; and the workspace itself, "". Nothing is
 * followed, and no other file system entered. Folders that the sandbox cannot read itself, what
 * lies too deep, and __pycache__ are passed over. False: 413 there are more names than are looked
 * at; 503. */
bool workspace_walk(int root, struct workspace_files *out, struct err *e);

void workspace_file_fill(struct workspace_file *file, const struct stat *st);

#endif
