/* The command-line tool: subcommands of `warmcell` that are clients of a running gateway's /v1.
 *
 * One list (cli.c) has them all; dispatch, help, docs/cli.md and the shells' completions come from
 * it. One file a verb. Exit statuses: 0; 1 it failed; 2 wrong usage; 3 no gateway was reached; of
 * what runs a program, that of the program. Results go to stdout, what else there is to say to
 * stderr. */
#ifndef WARMCELL_GATEWAY_CLI_CLI_H
#define WARMCELL_GATEWAY_CLI_CLI_H

#include "gateway/cli/target.h"
#include "gateway/option.h"
#include "gateway/settings.h"

/* Of an err that did not come from a gateway: its status is the exit status. */
enum { CLI_FAILED = 1, CLI_USAGE = 2, CLI_UNREACHED = 3 };

#define CLI_WORDS_LIMIT 256

/* First member of every verb's options. */
struct cli_options {
    char *url;        /* NULL: look for it */
    char *token_file; /* NULL: none */
    bool json;
};

/* Their rows. */
#define CLI_ROWS                                                                                   \
    {"url", OPTION_TEXT, offsetof(struct cli_options, url), NULL,                                  \
     .help = "where the gateway is: http://HOST:PORT or unix:PATH (default: the one of this user " \
             "that runs)"},                                                                        \
        {"token-file", OPTION_TEXT, offsetof(struct cli_options, token_file), NULL,                \
         .help = "a file whose first line is the gateway's token"},                                \
    {                                                                                              \
        "json", OPTION_BOOL, offsetof(struct cli_options, json), NULL,                             \
            .help = "write JSON, as the gateway does", .flag_only = true                           \
    }

/* One call of a verb. All borrowed. */
struct cli {
    const void *options; /* the verb's own struct, which begins with struct cli_options */
    const char *const *words;
    size_t word_count;
    char *const *argv; /* what follows "--" */
    size_t argv_count;
    const struct target *target;
    bool json;
    int exit_status; /* when run returns true; 0 before */
};

struct verb {
    const char *name;  /* "sandbox create" */
    const char *words; /* "SANDBOX" as in the help; "" for none */
    const char *help;  /* one sentence without a full stop */
    const struct option *options;
    size_t option_count, options_size;
    size_t min_words, max_words;
    const char *argv; /* what follows "--", as in the help; NULL: nothing may */
    bool offline;     /* needs no gateway */
    bool (*run)(struct cli *c, struct err *e);
};

/* For verbs that have no options of their own. */
#define CLI_PLAIN                                                                                  \
    .options = cli_plain_options, .option_count = 3, .options_size = sizeof(struct cli_options)
extern const struct option cli_plain_options[3];

extern const struct verb cli_sandbox_ls, cli_sandbox_create, cli_sandbox_rm;
extern const struct verb cli_sandbox_pause, cli_sandbox_resume, cli_sandbox_fork,
    cli_sandbox_interrupt, cli_sandbox_restart;
extern const struct verb cli_template_ls, cli_template_show, cli_template_create, cli_template_rm,
    cli_template_seed;
extern const struct verb cli_exec, cli_run, cli_cp, cli_logs, cli_port;
extern const struct verb cli_files_ls, cli_files_stat, cli_files_cat, cli_files_tar;
extern const struct verb cli_files_mkdir, cli_files_mv, cli_files_rm;
extern const struct verb cli_packages_install, cli_packages_ls, cli_packages_rm;
extern const struct verb cli_gc, cli_keys_rotate, cli_keys_reseal, cli_backup;
extern const struct verb cli_token_create, cli_token_ls, cli_token_revoke;

/* Is word the first of a verb's name? */
bool cli_knows(const char *word);

/* args begin with the verb. Returns the exit status. */
int cli_main(char *const *args, size_t count);

/* Lines "  sandbox rm SANDBOX...", each with what it does, for `warmcell help`. */
void cli_help(struct buffer *out);

/* The body of docs/cli.md. */
void cli_markdown(struct buffer *out);

/* All verbs, in the order of the help; NULL ends them. */
extern const struct verb *const cli_verbs[];

#endif
