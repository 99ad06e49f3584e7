/* `warmcell keys rotate`: another key for what is sealed from now on (store/vault.h). */
#include <stdio.h>

#include "gateway/cli/cli.h"
#include "gateway/store/vault.h"
#include "protocol/json.h"

struct rotate_options {
    struct cli_options common;
    char *state_dir;
    bool drop_oldest;
};

static const struct option rows[] = {
    CLI_ROWS,
    {"state-dir", OPTION_TEXT, offsetof(struct rotate_options, state_dir), NULL,
     .help = "the state folder of a gateway that does not run; has to be said", .flag_only = true},
    {"drop-oldest", OPTION_BOOL, offsetof(struct rotate_options, drop_oldest), NULL,
     .help = "where there are as many keys as there may be, let the oldest go: what it alone opens "
             "is lost",
     .flag_only = true},
};

static bool rotate_run(struct cli *c, struct err *e)
{
    const struct rotate_options *o = c->options;
    size_t count = 0;
    if (!o->state_dir)
        return fail(e, CLI_USAGE,
                    "--state-dir has to be said: the keys of a gateway that runs do "
                    "not change");
    if (!vault_rotate(o->state_dir, o->drop_oldest, &count, e))
        return false;
    if (c->json)
        printf("{\"keys\":%zu}\n", count);
    else
        printf("a new key seals from now on; %zu older %s what %s sealed\n", count - 1,
               count == 2 ? "one opens" : "ones open", count == 2 ? "it" : "they");
    return true;
}

const struct verb cli_keys_rotate = {
    .name = "keys rotate",
    .words = "",
    .help = "seal snapshots and secrets with a new key from now on; the older ones go on opening "
            "what they sealed",
    .options = rows,
    .option_count = countof(rows),
    .options_size = sizeof(struct rotate_options),
    .offline = true,
    .run = rotate_run,
};
