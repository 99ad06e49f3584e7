/* What every verb that names a sandbox shares. */
#ifndef WARMCELL_GATEWAY_CLI_SANDBOX_H
#define WARMCELL_GATEWAY_CLI_SANDBOX_H

#include "gateway/cli/call.h"

#define SANDBOX_ID_TEXT 104

/* The whole id of the sandbox that word names: its id, its name, or the first four or more
 * characters of its id, if no other begins so. CLI_FAILED: there is none, or there are several. */
bool cli_sandbox_find(const struct target *t, const char *word, char id[SANDBOX_ID_TEXT],
                      struct err *e);

/* body is borrowed (NULL: all as usual); the model is given to the caller. */
json_t *cli_sandbox_make(const struct target *t, const json_t *body, struct err *e);
bool cli_sandbox_end(const struct target *t, const char *id, struct err *e);

#endif
