/* In which language `warmcell run` runs what it was given, and in which context. */
#ifndef WARMCELL_GATEWAY_CLI_LANGUAGE_H
#define WARMCELL_GATEWAY_CLI_LANGUAGE_H

#include "gateway/cli/call.h"
#include "gateway/cli/notebook.h"

/* What is asked for: told (of --language), what the notebook says of itself, or by the extension of
 * the file's name what the gateway has. Given in *out; NULL: none of these says anything. */
bool cli_language_choose(const struct target *t, const char *told, const struct code *code,
                         const char *file, char **out, struct err *e);
/* The id of the sandbox's first context of that language, which is made where there is none. Given;
 * NULL: e. */
char *cli_language_context(const struct target *t, const char *sandbox, const char *language,
                           struct err *e);

#endif
