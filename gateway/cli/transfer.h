/* Files from and to a sandbox's workspace, streamed. */
#ifndef WARMCELL_GATEWAY_CLI_TRANSFER_H
#define WARMCELL_GATEWAY_CLI_TRANSFER_H

#include "gateway/cli/call.h"

/* Writes what `path` (encoded, "/v1/sandboxes/…/files/…") has to the local file, which appears
 * whole or not at all; local "-": to stdout. *bytes (may be NULL) is how many. */
bool transfer_down(const struct target *t, const char *path, const char *local, int64_t *bytes,
                   struct err *e);

/* The other way; local "-": stdin. */
bool transfer_up(const struct target *t, const char *local, const char *path, int64_t *bytes,
                 struct err *e);

#endif
