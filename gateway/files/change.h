/* Folders made, things moved and removed. Paths are clean (path.h). Called with the identity of the
 * sandbox (identity.h), on any thread. */
#ifndef WARMCELL_GATEWAY_FILES_CHANGE_H
#define WARMCELL_GATEWAY_FILES_CHANGE_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/files/condition.h"
#include "protocol/err.h"

/* Makes the folder and those on the way; *made counts them all. One that is there stays as it is,
 * unless absent forbids it (412). 403, 409 something else is there, 507. */
bool change_make_folder(int root, const char *path, bool absent, size_t *made, struct err *e);

/* Moves a file, a folder, or a link itself; folders on the way to `to` are made and counted.
 * *replaced: something was there. 403, 404, 409 something is there and overwrite is not allowed, or
 * it is a folder and cannot be replaced; 507. */
bool change_move(int root, const char *from, const char *to, bool overwrite, bool *replaced,
                 size_t *made, struct err *e);

/* A link with this text, whole at once; folders on the way are made and counted. overwrite: what is
 * there, but for a folder. 403, 409, 507. */
bool change_make_link(int root, const char *path, const char *target, bool overwrite, size_t *made,
                      struct err *e);

/* The permissions of a file or folder, also of what a link leads to. condition may be NULL. 403,
 * 404, 412. */
bool change_mode(int root, const char *path, mode_t mode, const struct condition *condition,
                 struct err *e);

/* Removes a file, or a link itself; a folder with all that is in it, if recursive. The condition is
 * that of a file. 403 it may not be removed, or not all that is in it: the rest is gone then; 404,
 * 409 a folder and not recursive, the workspace, or folders deeper than REMOVE_DEPTH_MOST; 412. */
#define REMOVE_DEPTH_MOST 200
bool change_remove(int root, const char *path, bool recursive, const struct condition *condition,
                   struct err *e);

#endif
