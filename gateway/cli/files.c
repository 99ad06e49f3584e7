/* `warmcell files ls|stat|cat|tar|mkdir|mv|rm`: what is in a sandbox's workspace. To copy files in
 * and out is `warmcell cp`. */
#include <stdio.h>
#include <string.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/model.h"
#include "gateway/cli/remote.h"
#include "gateway/cli/table.h"
#include "gateway/cli/transfer.h"
#include "gateway/net/url.h"
#include "protocol/json.h"

/* A request without a body about what word names, with "?query". Given. */
static json_t *ask(const struct cli *c, const char *method, const char *word, const char *query,
                   struct err *e)
{
    scoped(string) char *path = remote_api_path(c->target, word, NULL, e);
    scoped(string) char *whole = path ? xasprintf("%s%s", path, query) : NULL;
    return whole ? call_json(c->target, method, whole, NULL, e) : NULL;
}

/* --- ls, stat */

static void add_entry(struct table *table, const json_t *entry, const char *name)
{
    char size[32] = "-";
    const char *target = json_string_value(json_object_get(entry, "target"));
    const json_t *bytes = json_object_get(entry, "size_bytes");
    scoped(string) char *shown = target ? xasprintf("%s -> %s", name, target) : xstrdup(name);
    if (json_is_integer(bytes))
        snprintf(size, sizeof size, "%lld", (long long)json_integer_value(bytes));
    table_add(table, model_text(entry, "kind"));
    table_add(table, model_text(entry, "mode"));
    table_add(table, size);
    table_add(table, model_text(entry, "modified"));
    table_add(table, shown);
}

static struct table *entries_table(void)
{
    static const char *const headers[] = {"KIND", "MODE", "BYTES", "MODIFIED", "NAME"};
    return table_new(headers, countof(headers));
}

static void print_entries(const json_t *all, const char *name)
{
    struct table *table = entries_table();
    const json_t *entry;
    size_t i;
    json_array_foreach(all, i, entry) add_entry(table, entry, model_text(entry, name));
    table_print(table);
}

static bool ls(struct cli *c, struct err *e)
{
    bool folder = false;
    scoped(string) char *path = remote_api_path(c->target, c->words[0], NULL, e);
    if (!path || !remote_is_folder(c->target, path, &folder, e))
        return false;
    scoped(string) char *query = xasprintf(folder ? "%s?limit=10000" : "%s?stat=1", path);
    json_t *one = NULL;
    scoped(json) json_t *all = folder ? call_list(c->target, query, "files", e)
                               : (one = call_json(c->target, "GET", query, NULL, e))
                                   ? json_pack("[o]", one)
                                   : NULL;
    if (!all)
        return false;
    if (c->json)
        model_print(all);
    else
        print_entries(all, "name");
    return true;
}

const struct verb cli_files_ls = {
    .name = "files ls",
    .words = "SANDBOX[:PATH]",
    .help = "list a folder of a sandbox's workspace, or a file",
    CLI_PLAIN,
    .min_words = 1,
    .max_words = 1,
    .run = ls,
};

static bool stat_run(struct cli *c, struct err *e)
{
    scoped(json) json_t *entry = ask(c, "GET", c->words[0], "?stat=1", e);
    if (!entry)
        return false;
    scoped(json) json_t *all = json_pack("[O]", entry);
    if (c->json)
        model_print(entry);
    else
        print_entries(all, "path");
    return true;
}

const struct verb cli_files_stat = {
    .name = "files stat",
    .words = "SANDBOX:PATH",
    .help = "tell of a file, a folder, or a link itself",
    CLI_PLAIN,
    .min_words = 1,
    .max_words = 1,
    .run = stat_run,
};

/* --- cat, tar */

static bool cat(struct cli *c, struct err *e)
{
    for (size_t i = 0; i < c->word_count; i++) {
        bool folder = false;
        scoped(string) char *path = remote_api_path(c->target, c->words[i], NULL, e);
        if (!path || !remote_is_folder(c->target, path, &folder, e))
            return false;
        if (folder)
            return fail(e, CLI_FAILED, "%.200s is a folder; use: warmcell files tar", c->words[i]);
        if (!transfer_down(c->target, path, "-", NULL, e))
            return false;
    }
    return true;
}

const struct verb cli_files_cat = {
    .name = "files cat",
    .words = "SANDBOX:PATH...",
    .help = "write files of a sandbox's workspace to stdout",
    CLI_PLAIN,
    .min_words = 1,
    .max_words = CLI_WORDS_LIMIT,
    .run = cat,
};

struct tar_options {
    struct cli_options common;
    bool gzip;
};

static const struct option tar_rows[] = {
    CLI_ROWS,
    {"gzip", OPTION_BOOL, offsetof(struct tar_options, gzip), NULL, .help = "compressed",
     .flag_only = true},
};

static bool tar(struct cli *c, struct err *e)
{
    const struct tar_options *o = c->options;
    bool folder = false;
    scoped(string) char *path = remote_api_path(c->target, c->words[0], NULL, e);
    if (!path || !remote_is_folder(c->target, path, &folder, e))
        return false;
    if (!folder)
        return fail(e, CLI_FAILED, "%.200s is no folder; use: warmcell files cat", c->words[0]);
    scoped(string) char *query = xasprintf("%s?tar=%s", path, o->gzip ? "gzip" : "1");
    return transfer_down(c->target, query, "-", NULL, e);
}

const struct verb cli_files_tar = {
    .name = "files tar",
    .words = "SANDBOX[:PATH]",
    .help = "write a folder of a sandbox's workspace, with all below it, to stdout as a tar",
    .options = tar_rows,
    .option_count = countof(tar_rows),
    .options_size = sizeof(struct tar_options),
    .min_words = 1,
    .max_words = 1,
    .run = tar,
};

/* --- mkdir, mv, rm */

/* What was done is said of the word itself; of what the gateway answered nothing is. */
static json_t *done(json_t *answer, const char *word)
{
    json_decref(answer);
    return answer ? json_pack("{s:s%}", "path", word, strlen(word)) : NULL;
}

static json_t *make_one(struct cli *c, const char *word, struct err *e)
{
    return done(ask(c, "PUT", word, "?folder=1", e), word);
}

static bool mkdir_run(struct cli *c, struct err *e)
{
    return model_each_word(c, make_one, e);
}

const struct verb cli_files_mkdir = {
    .name = "files mkdir",
    .words = "SANDBOX:PATH...",
    .help = "make folders, with those on the way; one that is there stays",
    CLI_PLAIN,
    .min_words = 1,
    .max_words = CLI_WORDS_LIMIT,
    .run = mkdir_run,
};

struct mv_options {
    struct cli_options common;
    bool overwrite;
};

static const struct option mv_rows[] = {
    CLI_ROWS,
    {"overwrite", OPTION_BOOL, offsetof(struct mv_options, overwrite), NULL,
     .help = "replace what is there; else it stays, and this fails", .flag_only = true},
};

static bool mv(struct cli *c, struct err *e)
{
    const struct mv_options *o = c->options;
    scoped(string) char *to = remote_inner_path(c->words[1], e);
    scoped(buffer) struct buffer query = {0};
    if (!to)
        return false;
    buffer_add_text(&query, "?move_to=");
    url_encode_path(&query, bytes_of(to));
    if (o->overwrite)
        buffer_add_text(&query, "&overwrite=1");
    scoped(json) json_t *said =
        done(ask(c, "POST", c->words[0], buffer_text(&query), e), c->words[1]);
    if (said && c->json)
        model_print(said);
    return said != NULL;
}

const struct verb cli_files_mv = {
    .name = "files mv",
    .words = "SANDBOX:PATH PATH",
    .help = "move or rename a file or folder to another path of the same workspace",
    .options = mv_rows,
    .option_count = countof(mv_rows),
    .options_size = sizeof(struct mv_options),
    .min_words = 2,
    .max_words = 2,
    .run = mv,
};

struct rm_options {
    struct cli_options common;
    bool recursive;
};

static const struct option rm_rows[] = {
    CLI_ROWS,
    {"recursive", OPTION_BOOL, offsetof(struct rm_options, recursive), NULL,
     .help = "folders, too, with all that is in them (-r)", .flag_only = true},
};

static json_t *remove_one(struct cli *c, const char *word, struct err *e)
{
    const struct rm_options *o = c->options;
    return done(ask(c, "DELETE", word, o->recursive ? "?recursive=1" : "", e), word);
}

static bool rm(struct cli *c, struct err *e)
{
    return model_each_word(c, remove_one, e);
}

const struct verb cli_files_rm = {
    .name = "files rm",
    .words = "SANDBOX:PATH...",
    .help = "remove files from a sandbox's workspace",
    .options = rm_rows,
    .option_count = countof(rm_rows),
    .options_size = sizeof(struct rm_options),
    .min_words = 1,
    .max_words = CLI_WORDS_LIMIT,
    .run = rm,
};
