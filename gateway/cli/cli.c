/* The list of verbs, and what is the same for each: its words and options, the gateway that it
 * speaks to, its exit status. Called by main.c with the words of the command line. */
#include "gateway/cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "gateway/cli/broken_pipe.h"
#include "gateway/net/reason.h"
#include "protocol/json.h"

const struct option cli_plain_options[3] = {CLI_ROWS};

/* clang-format off */
const struct verb *const cli_verbs[] = {
    &cli_sandbox_ls,
    &cli_sandbox_create,
    &cli_sandbox_rm,
    &cli_sandbox_pause,
    &cli_sandbox_resume,
    &cli_sandbox_fork,
    &cli_sandbox_interrupt,
    &cli_sandbox_restart,
    &cli_exec,
    &cli_run,
    &cli_cp,
    &cli_files_ls,
    &cli_files_stat,
    &cli_files_cat,
    &cli_files_tar,
    &cli_files_mkdir,
    &cli_files_mv,
    &cli_files_rm,
    &cli_logs,
    &cli_port,
    &cli_packages_install,
    &cli_packages_ls,
    &cli_packages_rm,
    &cli_template_ls,
    &cli_template_show,
    &cli_template_create,
    &cli_template_seed,
    &cli_template_rm,
    &cli_token_create,
    &cli_token_ls,
    &cli_token_revoke,
    &cli_gc,
    &cli_keys_rotate,
    &cli_keys_reseal,
    &cli_backup,
    NULL,
};
/* clang-format on */

/* Options that people write with one letter. */
static const char *const short_flags[][2] = {
    {"-f", "--follow"},
    {"-q", "--quiet"},
    {"-r", "--recursive"},
};

/* What the words of a command line come to. */
struct call_words {
    char *args[CLI_WORDS_LIMIT]; /* borrowed, without those of the verb's name */
    size_t count;
    char *const *argv;
    size_t argv_count;
    bool dashes; /* there was a "--" */
    const char *words[CLI_WORDS_LIMIT];
    size_t word_count;
};

/* How many of args the name of the verb takes; 0: another verb. */
static size_t match(const struct verb *v, char *const *args, size_t count)
{
    const char *rest = v->name;
    for (size_t i = 0; i < count; i++) {
        size_t len = strcspn(rest, " ");
        if (strlen(args[i]) != len || strncmp(args[i], rest, len) != 0)
            return 0;
        if (!rest[len])
            return i + 1;
        rest += len + 1;
    }
    return 0;
}

bool cli_knows(const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; cli_verbs[i]; i++)
        if (strcspn(cli_verbs[i]->name, " ") == len && strncmp(cli_verbs[i]->name, word, len) == 0)
            return true;
    return false;
}

static void usage_line(const struct verb *v, struct buffer *out)
{
    buffer_printf(out, "%s%s%s", v->name, *v->words ? " " : "", v->words);
    if (v->argv)
        buffer_printf(out, " -- %s", v->argv);
}

void cli_help(struct buffer *out)
{
    for (size_t i = 0; cli_verbs[i]; i++) {
        buffer_add_text(out, "  ");
        usage_line(cli_verbs[i], out);
        buffer_printf(out, "\n      %s\n", cli_verbs[i]->help);
    }
}

void cli_markdown(struct buffer *out)
{
    const struct option_table common = {cli_plain_options, countof(cli_plain_options)};
    option_markdown(&common, out);
    for (size_t i = 0; cli_verbs[i]; i++) {
        const struct verb *v = cli_verbs[i];
        buffer_add_text(out, "\n## warmcell ");
        buffer_printf(out, "%s\n\n`warmcell ", v->name);
        usage_line(v, out);
        buffer_printf(out, "`: %s.\n", v->help);
        for (size_t j = 0; j < v->option_count; j++) {
            const struct option *row = &v->options[j];
            if (row->offset < sizeof(struct cli_options))
                continue;
            buffer_printf(out, "%s- `--%s`: %s\n", j == countof(cli_plain_options) ? "\n" : "",
                          row->name, row->help);
        }
    }
}

static void print_help(const struct verb *v)
{
    scoped(buffer) struct buffer out = {0};
    const struct option_table table = {v->options, v->option_count};
    buffer_add_text(&out, "Usage: warmcell ");
    usage_line(v, &out);
    buffer_printf(&out, "\n\n%s\n\nOptions:\n", v->help);
    option_help(&table, &out);
    fputs(buffer_text(&out), stdout);
}

/* Of what no gateway answered there is no status of HTTP. */
static const char *title_of(int status)
{
    if (status == CLI_USAGE)
        return "Wrong usage";
    if (status == CLI_UNREACHED)
        return "No gateway reached";
    return status < 400 ? "Failed" : reason_phrase(status);
}

/* Returns the exit status. */
static int tell(const struct err *e, bool json)
{
    if (json) {
        scoped(json) json_t *problem =
            json_pack("{s:s, s:o*, s:s}", "title", title_of(e->status), "status",
                      e->status < 400 ? NULL : json_integer(e->status), "detail", e->text);
        json_dumpf(problem, stderr, JSON_COMPACT);
        fputc('\n', stderr);
    } else {
        fprintf(stderr, "warmcell: %s\n", e->text);
    }
    return e->status == CLI_USAGE || e->status == CLI_UNREACHED ? e->status : CLI_FAILED;
}

static bool wants_json(char *const *args, size_t count)
{
    for (size_t i = 0; i < count && strcmp(args[i], "--") != 0; i++)
        if (strcmp(args[i], "--json") == 0)
            return true;
    return false;
}

static int print_family(const char *word, bool json)
{
    scoped(buffer) struct buffer names = {0};
    const char *between = "";
    struct err e = {0};
    size_t len = strlen(word);
    for (size_t i = 0; cli_verbs[i]; i++) {
        if (strncmp(cli_verbs[i]->name, word, len) != 0 || cli_verbs[i]->name[len] != ' ')
            continue;
        buffer_printf(&names, "%swarmcell %s", between, cli_verbs[i]->name);
        between = ", ";
    }
    fail(&e, CLI_USAGE, "%s is one of: %s", word, buffer_text(&names));
    return tell(&e, json);
}

static char *long_flag(char *arg)
{
    for (size_t i = 0; i < countof(short_flags); i++)
        if (strcmp(arg, short_flags[i][0]) == 0)
            return (char *)short_flags[i][1];
    return arg;
}

/* True also for --help, when *help is set. */
static bool split(char *const *args, size_t count, struct call_words *out, bool *help,
                  struct err *e)
{
    for (size_t i = 0; i < count && !out->dashes; i++) {
        if (strcmp(args[i], "--") == 0) {
            out->dashes = true;
            out->argv = args + i + 1;
            out->argv_count = count - i - 1;
        } else if (strcmp(args[i], "--help") == 0 || strcmp(args[i], "-h") == 0) {
            *help = true;
        } else if (out->count == countof(out->args)) {
            return fail(e, CLI_USAGE, "more than %zu words", countof(out->args));
        } else {
            out->args[out->count++] = long_flag(args[i]);
        }
    }
    return true;
}

static bool check(const struct verb *v, const struct call_words *w, struct err *e)
{
    scoped(buffer) struct buffer usage = {0};
    usage_line(v, &usage);
    if (w->word_count < v->min_words || w->word_count > v->max_words)
        return fail(e, CLI_USAGE, "%s words; use: warmcell %s",
                    w->word_count < v->min_words ? "too few" : "too many", buffer_text(&usage));
    if (!v->argv && w->dashes)
        return fail(e, CLI_USAGE, "-- is not expected here; use: warmcell %s", buffer_text(&usage));
    return true;
}

static bool act(const struct verb *v, const struct call_words *w, const void *options,
                int *exit_status, struct err *e)
{
    const struct cli_options *common = options;
    struct target target = {0};
    struct cli c = {
        .options = options,
        .words = w->words,
        .word_count = w->word_count,
        .argv = w->argv,
        .argv_count = w->argv_count,
        .target = &target,
        .json = common->json,
    };
    bool ok = check(v, w, e) &&
              (v->offline || target_find(common->url, common->token_file, &target, e)) &&
              v->run(&c, e);
    target_free(&target);
    *exit_status = c.exit_status;
    return ok;
}

/* Whether all of stdout was written. */
static bool flush(struct err *e)
{
    if (fflush(stdout) != 0)
        return fail_errno(e, CLI_FAILED, "cannot write the output");
    return !ferror(stdout) || fail(e, CLI_FAILED, "not all of the output could be written");
}

static int run(const struct verb *v, char *const *args, size_t count)
{
    struct call_words w = {0};
    struct err e = {0};
    bool help = false;
    int status = 0;
    const struct option_table table = {v->options, v->option_count};
    const struct option_sources sources = {.environment = true};
    void *options = xcalloc(1, v->options_size);
    broken_pipe_watch();
    bool ok = split(args, count, &w, &help, &e);
    if (ok && !help) {
        ok = option_parse(&table, w.args, w.count, &sources, options, w.words, countof(w.words),
                          &w.word_count, &e);
        if (ok)
            ok = act(v, &w, options, &status, &e);
        else
            e.status = CLI_USAGE;
    }
    option_free(&table, options);
    free(options);
    if (ok && help)
        print_help(v);
    ok = ok && flush(&e);
    if (broken_pipe_seen())
        broken_pipe_die();
    if (ok)
        return status;
    return tell(&e, wants_json(args, count));
}

int cli_main(char *const *args, size_t count)
{
    for (size_t i = 0; cli_verbs[i]; i++) {
        size_t taken = match(cli_verbs[i], args, count);
        if (taken)
            return run(cli_verbs[i], args + taken, count - taken);
    }
    return print_family(args[0], wants_json(args, count));
}
