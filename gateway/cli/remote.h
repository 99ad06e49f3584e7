/* Words of a command line that name a place in a sandbox's workspace: SANDBOX:PATH. */
#ifndef WARMCELL_GATEWAY_CLI_REMOTE_H
#define WARMCELL_GATEWAY_CLI_REMOTE_H

#include "gateway/cli/call.h"

/* The path behind "SANDBOX:"; NULL: the word names a local file. "./a:b" is one, too. */
const char *remote_path(const char *word);

/* What word names as a path of the API, "/v1/sandboxes/…/files/…", encoded; without a colon the
 * whole workspace. A path in /workspace may be said whole. from: one that is empty or ends in a
 * slash gets the last name of this; NULL: none. Given; NULL: CLI_USAGE, or as of cli_sandbox_find.
 */
char *remote_api_path(const struct target *t, const char *word, const char *from, struct err *e);

/* The same of a path in the workspace, without the sandbox; given, not encoded. */
char *remote_inner_path(const char *path, struct err *e);

/* Whether it is a folder. False: as of call_json. */
bool remote_is_folder(const struct target *t, const char *api_path, bool *folder, struct err *e);

#endif
