/* What bash, zsh and fish complete after `warmcell`, made from the list of verbs. */
#ifndef WARMCELL_GATEWAY_CLI_COMPLETION_H
#define WARMCELL_GATEWAY_CLI_COMPLETION_H

#include "gateway/option.h"

/* A subcommand that is no client of a gateway. All borrowed. */
struct completion_other {
    const char *name;
    const char *help;
    const struct option_table *options; /* NULL: none that are completed */
};

/* Appends the script of "bash", "zsh" or "fish". False: another shell. */
bool completion_script(const char *shell, const struct completion_other *others, size_t count,
                       struct buffer *out);

#endif
