/* The program `warmcell`: finds the subcommand and hands the rest to it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/completion.h"
#include "gateway/core/core.h"
#include "gateway/core/token.h"
#include "gateway/dialect/cloud.h"
#include "gateway/dialect/tables.h"
#include "gateway/dialect/v1_ports.h"
#include "gateway/doctor.h"
#include "gateway/kernelspec.h"
#include "gateway/options.h"
#include "gateway/serve.h"
#include "gateway/warm.h"
#include "protocol/json.h"

static void *service_open(const struct settings *settings, uv_loop_t *loop, struct server *server,
                          struct err *e)
{
    struct core *core = core_new(settings, loop, e);
    for (size_t i = 0; core && i < dialect_table_count; i++)
        server_add_routes(server, dialect_tables[i], core);
    scoped(string) char *audit = xasprintf("%s/audit.log", settings->core.state_dir);
    if (core)
        server_audit(server, audit, e);
    if (!core)
        return NULL;
    const struct sites sites = v1_port_sites(core);
    server_sites(server, &sites);
    scoped(json) json_t *secrets = tokens_jwt_secrets(core);
    server_own_jwts(server, CLOUD_ISSUER, secrets, e);
    server_trust(server, &(struct trust){tokens_lookup, tokens_still, tokens_allowance, core});
    return core;
}

static void service_drain(void *self, void (*done)(void *user), void *user)
{
    core_drain(self, done, user);
}

static void service_close(void *self)
{
    core_free(self);
}

static bool service_in_use(const void *self)
{
    return core_in_use(self);
}

static int serve_main(char *const *args, size_t count)
{
    static const struct service service = {service_open, service_drain, service_close,
                                           service_in_use};
    return serve_run(args, count, &service);
}

/* The status of a command that ended with this one, unless its output is lost. */
static int written(int status)
{
    if (status != 0)
        return status;
    if (fflush(stdout) != 0)
        fprintf(stderr, "warmcell: cannot write the output: %s\n", strerror(errno));
    else if (ferror(stdout))
        fprintf(stderr, "warmcell: not all of the output could be written\n");
    else
        return 0;
    return 1;
}

static int print(struct buffer *text)
{
    bool ok = fputs(buffer_text(text), stdout) >= 0 && fflush(stdout) == 0;
    if (!ok)
        fprintf(stderr, "warmcell: cannot write the output: %s\n", strerror(errno));
    buffer_free(text);
    return ok ? 0 : 1;
}

static int version_main(char *const *args, size_t count)
{
    struct buffer text = {0};
    bool json = count == 1 && strcmp(args[0], "--json") == 0;
    buffer_add_text(&text, json ? "{\"version\": \"" WARMCELL_VERSION "\"}\n"
                                : "warmcell " WARMCELL_VERSION "\n");
    return print(&text);
}

static const char options_page_head[] =
    "# Options of the gateway\n\n"
    "This page is what `warmcell options --markdown` prints. A flag wins over the environment, "
    "the\n"
    "environment over the ini file, and that over the default; the ini key of `--drain-s` is "
    "`drain_s`.\n"
    "The spellings with a dot are those of Jupyter Kernel Gateway.\n\n";

static const char cli_page_head[] =
    "# The command-line tool\n\n"
    "These subcommands of `warmcell` are clients of a gateway that runs. This page is what\n"
    "`warmcell options --cli` prints.\n\n"
    "- Without `--url` they speak to the gateway of this user that runs: each gateway leaves a "
    "file\n"
    "  that this user alone can read, with its URL and token, in the usual runtime folder. With "
    "the\n"
    "  `--url` of such a gateway its token is found, too. A Unix socket of the same user needs "
    "none.\n"
    "- A sandbox is named by its id, by the first characters of it, four or more, or by its name.\n"
    "- The exit status is 0; 1: it failed; 2: wrong usage; 3: no gateway was reached. One sentence "
    "on\n"
    "  stderr says why. What runs a program ends with the program's own status.\n"
    "- With `--json` an error is one line on stderr, as the API's problem documents: "
    "`{\"title\", \"status\",\n"
    "  \"detail\"}`. `status` is the API's; where the error is not, there is none.\n"
    "- Where nobody reads its output any more, as behind `| head`, it ends by SIGPIPE without a "
    "word; a\n"
    "  program that it runs gets SIGPIPE first, and SIGKILL two seconds later.\n"
    "- Colours are for terminals, and for none when `NO_COLOR` is set.\n"
    "- `. <(warmcell completion bash)` in `.bashrc` completes all of it, names of sandboxes and "
    "templates too; "
    "so do\n"
    "  `. <(warmcell completion zsh)` and `warmcell completion fish | source`.\n\n";

static int options_main(char *const *args, size_t count)
{
    struct buffer text = {0};
    if (count == 1 && strcmp(args[0], "--markdown") == 0) {
        buffer_add_text(&text, options_page_head);
        option_markdown(&serve_options, &text);
    } else if (count == 1 && strcmp(args[0], "--cli") == 0) {
        buffer_add_text(&text, cli_page_head);
        cli_markdown(&text);
    } else {
        option_help(&serve_options, &text);
    }
    return print(&text);
}

static int help_main(char *const *args, size_t count);
static int completion_main(char *const *args, size_t count);

static const struct command {
    const char *name;
    int (*run)(char *const *args, size_t count);
    const char *help;
    const struct option_table *options; /* NULL: none, or those of a verb of it */
    const char *words;                  /* behind the name, as in its help */
} commands[] = {
    {"serve", serve_main,
     "serve kernels over HTTP and WebSocket; this is also what no command does", &serve_options,
     "[OPTION]..."},
    {"kernelspec", kernelspec_main,
     "install, remove [NAME] or list: our kernel among those that Jupyter finds", NULL,
     "install [OPTION]... | remove [NAME] | list"},
    {"warm", warm_main,
     "keep a Python warm, so that JupyterLab's kernels start in milliseconds; --status, --stop",
     &warm_options, "[OPTION]..."},
    {"doctor", doctor_main,
     "what this machine can do for sandboxes, with the remedy of what it lacks; --json", NULL,
     "[--json]"},
    {"options", options_main,
     "list the options of serve; --markdown as docs/options.md, --cli as docs/cli.md", NULL,
     "[--markdown|--cli]"},
    {"completion", completion_main,
     "print what bash, zsh or fish completes: . <(warmcell completion bash)", NULL,
     "bash|zsh|fish"},
    {"version", version_main, "print the version; --json", NULL, "[--json]"},
    {"help", help_main, "this text", NULL, ""},
};

static int help_main(char *const *args, size_t count)
{
    struct buffer text = {0};
    (void)args;
    (void)count;
    buffer_add_text(&text, "Usage: warmcell [COMMAND] [OPTION]...\n\nCommands:\n");
    for (size_t i = 0; i < countof(commands); i++)
        buffer_printf(&text, "  %-12s %s\n", commands[i].name, commands[i].help);
    buffer_add_text(&text, "\nClients of a gateway that runs, each with --help:\n");
    cli_help(&text);
    buffer_add_text(&text, "\nOptions of serve:\n");
    option_help(&serve_options, &text);
    buffer_add_text(&text, "\nOptions of kernelspec install:\n");
    option_help(&kernelspec_install_options, &text);
    buffer_add_text(&text, "\nOptions of warm:\n");
    option_help(&warm_options, &text);
    return print(&text);
}

/* Of one command; of `serve`, which no command is, too, and of `help` all of it. */
static int command_help(const struct command *c)
{
    struct buffer text = {0};
    const struct option_table *options =
        c->run == kernelspec_main ? &kernelspec_install_options : c->options;
    if (c->run == help_main || c->run == serve_main)
        return help_main(NULL, 0);
    buffer_printf(&text, "Usage: warmcell %s %s\n\n%s\n", c->name, c->words, c->help);
    if (options) {
        buffer_add_text(&text, "\nOptions:\n");
        option_help(options, &text);
    }
    return print(&text);
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < countof(commands); i++)
        if (strcmp(name, commands[i].name) == 0)
            return &commands[i];
    return NULL;
}

static int completion_main(char *const *args, size_t count)
{
    struct buffer text = {0};
    struct completion_other others[countof(commands)];
    for (size_t i = 0; i < countof(commands); i++)
        others[i] =
            (struct completion_other){commands[i].name, commands[i].help, commands[i].options};
    if (count == 1 && completion_script(args[0], others, countof(others), &text))
        return print(&text);
    fprintf(stderr, "warmcell: completion is for one of bash, zsh, fish\n");
    return 2;
}

int main(int argc, char **argv)
{
    char *const *args = argv + 1;
    size_t count = argc > 1 ? (size_t)argc - 1 : 0;
    if (count && cli_knows(args[0]))
        return cli_main(args, count);
    const struct command *command = count ? find_command(args[0]) : NULL;
    for (size_t i = 0; i < count; i++)
        if (strcmp(args[i], "--help") == 0 || strcmp(args[i], "-h") == 0)
            return command ? command_help(command) : help_main(NULL, 0);
    if (count && strcmp(args[0], "--version") == 0)
        return version_main(NULL, 0);
    if (!count || args[0][0] == '-')
        return serve_main(args, count);
    if (command)
        return written(command->run(args + 1, count - 1));
    fprintf(stderr, "warmcell: unknown command %s; see warmcell help\n", args[0]);
    return 2;
}
