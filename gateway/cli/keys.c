/* `warmcell keys rotate`: another key for what is sealed from now on (store/vault.h); `warmcell
 * keys reseal`: for all that is sealed (core/reseal.h). */
#include <stdio.h>

#include "gateway/cli/cli.h"
#include "gateway/core/reseal.h"
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

struct reseal_options {
    struct cli_options common;
    char *state_dir, *runtime_dir;
};

static const struct option reseal_rows[] = {
    CLI_ROWS,
    {"state-dir", OPTION_TEXT, offsetof(struct reseal_options, state_dir), NULL,
     .help = "the state folder of a gateway that does not run; has to be said", .flag_only = true},
    {"runtime-dir", OPTION_TEXT, offsetof(struct reseal_options, runtime_dir), NULL,
     .help = "its runtime folder, for kernels that live on; has to be said", .flag_only = true},
};

static bool reseal_run(struct cli *c, struct err *e)
{
    const struct reseal_options *o = c->options;
    struct reseal_report r;
    if (!o->state_dir || !o->runtime_dir)
        return fail(e, CLI_USAGE, "--state-dir and --runtime-dir have to be said");
    if (!reseal_state(o->state_dir, o->runtime_dir, &r, e))
        return false;
    printf(c->json
               ? "{\"records\":%lld,\"files\":%lld,\"templates\":%lld,\"kernels\":%lld,"
                 "\"keys\":%zu}\n"
               : "sealed anew: %lld records, %lld files, %lld templates, %lld kernels; %zu older "
                 "keys were dropped\n",
           (long long)r.records, (long long)r.files, (long long)r.templates, (long long)r.kernels,
           r.keys);
    return true;
}

const struct verb cli_keys_reseal = {
    .name = "keys reseal",
    .words = "",
    .help = "seal all that is kept with the newest key, and drop the older ones",
    .options = reseal_rows,
    .option_count = countof(reseal_rows),
    .options_size = sizeof(struct reseal_options),
    .offline = true,
    .run = reseal_run,
};
