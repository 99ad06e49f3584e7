/* Folders from and to a sandbox's workspace, with all below them, as a tar that no side holds. */
#ifndef WARMCELL_GATEWAY_CLI_FOLDER_H
#define WARMCELL_GATEWAY_CLI_FOLDER_H

#include "gateway/cli/call.h"

/* What is in the local folder, into that at `path` (encoded, "/v1/sandboxes/…/files/…"), which is
 * made. *bytes is that of the files. CLI_FAILED: also when something had to be left out. */
bool folder_up(const struct target *t, const char *local, const char *path, int64_t *bytes,
               struct err *e);

/* The other way; the local folder is made. The tar is one of a sandbox, and as such not trusted:
 * nothing leaves the folder, no link is followed, and what means harm is refused. */
bool folder_down(const struct target *t, const char *path, const char *local, int64_t *bytes,
                 struct err *e);

#endif
