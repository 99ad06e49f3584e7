/* Folders from and to a sandbox's workspace, with all below them, as a tar that no side holds. */
#ifndef WARMCELL_GATEWAY_CLI_FOLDER_H
#define WARMCELL_GATEWAY_CLI_FOLDER_H

#include "gateway/cli/cli.h"

/* What is in the local folder, into that at `path` (encoded, "/v1/sandboxes/…/files/…"), which is
 * made. *bytes is that of the files. A link that leads out of the folder is named on stderr, and
 * not copied. CLI_FAILED: also when something had to be left out so. */
bool folder_up(const struct cli *cli, const char *local, const char *path, int64_t *bytes,
               struct err *e);

/* The other way; the local folder is made. The tar is one of a sandbox, and as such not trusted:
 * nothing leaves the folder, no link is followed, and what else means harm is refused. */
bool folder_down(const struct cli *cli, const char *path, const char *local, int64_t *bytes,
                 struct err *e);

#endif
