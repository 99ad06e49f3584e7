/* `warmcell packages install|ls|rm`: what code in a sandbox can import. Progress goes to stderr,
 * what came of it to stdout. */
#include <stdio.h>
#include <string.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/follow.h"
#include "gateway/cli/model.h"
#include "gateway/cli/output.h"
#include "gateway/cli/sandbox.h"
#include "gateway/cli/table.h"
#include "gateway/net/url.h"
#include "protocol/json.h"

#define DEADLINE_MOST_S 3600 /* as the API has it */

static bool find_path(struct cli *c, struct buffer *out, struct err *e)
{
    char id[SANDBOX_ID_TEXT];
    if (!cli_sandbox_find(c->target, c->words[0], id, e))
        return false;
    buffer_printf(out, "/v1/sandboxes/%s/packages", id);
    return true;
}

/* What a change meant for the contexts. */
static void note_contexts(const json_t *result)
{
    const json_t *context;
    size_t i;
    json_array_foreach(json_object_get(result, "contexts"), i, context)
    {
        bool restarted = json_is_true(json_object_get(context, "restarted"));
        if (restarted || json_is_string(json_object_get(context, "reason")))
            output_note("context %s %s: %s", model_text(context, "name"),
                        restarted ? "was restarted" : "was not restarted",
                        model_text(context, "reason"));
    }
}

/* --- install */

struct install_options {
    struct cli_options common;
    int64_t deadline_s;
    bool restart;
};

static const struct option install_rows[] = {
    CLI_ROWS,
    {"deadline-s", OPTION_INT, offsetof(struct install_options, deadline_s), "600", .low = 1,
     .high = DEADLINE_MOST_S, .help = "seconds that it may take", .flag_only = true},
    {"restart", OPTION_BOOL, offsetof(struct install_options, restart), "true",
     .help = "restart contexts that have imported what changes; --no-restart only tells of them",
     .flag_only = true},
};

struct installing {
    const struct cli *cli;
    json_t *end; /* owned; the last event */
    struct follow follow;
};

static bool on_event(void *user, json_t *event, struct bytes line, struct err *e)
{
    struct installing *one = user;
    const char *kind = model_text(event, "event");
    (void)e;
    if (strcmp(kind, "end") == 0 || strcmp(kind, "failed") == 0) {
        one->end = json_incref(event);
        one->follow.ended = true;
    }
    if (one->cli->json)
        return output_line(line, e);
    if (strcmp(kind, "progress") == 0)
        output_note("%s", model_text(event, "text"));
    else if (strcmp(kind, "queued") == 0)
        output_note("%d before it", (int)json_integer_value(json_object_get(event, "position")));
    return true;
}

static void print_installed(const json_t *result)
{
    static const char *const headers[] = {"NAME", "VERSION", "BEFORE"};
    struct table *table = table_new(headers, countof(headers));
    const json_t *one;
    size_t i;
    json_array_foreach(json_object_get(result, "installed"), i, one)
    {
        table_add(table, model_text(one, "name"));
        table_add(table, model_text(one, "version"));
        table_add(table, model_text(one, "replaces"));
    }
    json_array_foreach(json_object_get(result, "already"), i, one)
    {
        table_add(table, model_text(one, "name"));
        table_add(table, model_text(one, "version"));
        table_add(table, model_text(one, "version"));
    }
    table_print(table);
}

static json_t *install_body(const struct cli *c)
{
    const struct install_options *o = c->options;
    json_t *names = json_array();
    for (size_t i = 1; i < c->word_count; i++)
        json_array_append_new(names, json_string(c->words[i]));
    return json_pack("{s:o, s:I, s:b}", "packages", names, "deadline_s", (json_int_t)o->deadline_s,
                     "restart", (int)o->restart);
}

static bool install(struct cli *c, struct err *e)
{
    scoped(buffer) struct buffer path = {0};
    scoped(json) json_t *body = install_body(c);
    if (!body || json_array_size(json_object_get(body, "packages")) + 1 != c->word_count)
        return fail(e, CLI_USAGE, "a word of the command line is not UTF-8");
    if (!find_path(c, &path, e))
        return false;
    scoped(call) struct call *call = call_events(c->target, buffer_text(&path), body, e);
    if (!call)
        return false;
    struct installing one = {.cli = c};
    one.follow = (struct follow){
        .call = call, .signal_fd = -1, .input_fd = -1, .user = &one, .on_event = on_event};
    bool good = follow(&one.follow, e);
    scoped(json) json_t *end = one.end;
    if (!good)
        return false;
    if (!end)
        return fail(e, CLI_FAILED, "the gateway ended before it said how the installation did");
    if (strcmp(model_text(end, "event"), "failed") == 0)
        return fail(e, CLI_FAILED, "%s", model_text(end, "detail"));
    if (!c->json)
        print_installed(end);
    note_contexts(end);
    return true;
}

const struct verb cli_packages_install = {
    .name = "packages install",
    .words = "SANDBOX NAME[==VERSION]...",
    .help = "install packages into a sandbox, from what the gateway's administrator has chosen",
    .options = install_rows,
    .option_count = countof(install_rows),
    .options_size = sizeof(struct install_options),
    .min_words = 2,
    .max_words = CLI_WORDS_LIMIT,
    .run = install,
};

/* --- ls */

static void print_packages(const json_t *all)
{
    static const char *const headers[] = {"NAME", "VERSION", "LOCATION", "PRELOADED"};
    struct table *table = table_new(headers, countof(headers));
    const json_t *one;
    size_t i;
    json_array_foreach(all, i, one)
    {
        table_add(table, model_text(one, "name"));
        table_add(table, model_text(one, "version"));
        table_add(table, model_text(one, "location"));
        table_add(table, json_is_true(json_object_get(one, "preloaded")) ? "yes" : "-");
    }
    table_print(table);
}

static bool ls(struct cli *c, struct err *e)
{
    scoped(buffer) struct buffer path = {0};
    if (!find_path(c, &path, e))
        return false;
    scoped(json) json_t *answer = call_json(c->target, "GET", buffer_text(&path), NULL, e);
    if (!answer)
        return false;
    const json_t *all = json_object_get(answer, "packages");
    if (c->json)
        model_print(all);
    else
        print_packages(all);
    return true;
}

const struct verb cli_packages_ls = {
    .name = "packages ls",
    .words = "SANDBOX",
    .help = "list what code in a sandbox can import",
    CLI_PLAIN,
    .min_words = 1,
    .max_words = 1,
    .run = ls,
};

/* --- rm */

static bool rm(struct cli *c, struct err *e)
{
    scoped(buffer) struct buffer path = {0};
    scoped(json) json_t *results = json_array();
    bool good = find_path(c, &path, e);
    size_t len = path.len;
    for (size_t i = 1; good && i < c->word_count; i++) {
        path.len = len;
        buffer_add_text(&path, "/");
        url_encode_path(&path, bytes_of(c->words[i]));
        json_t *result = call_json(c->target, "DELETE", buffer_text(&path), NULL, e);
        good = result != NULL;
        if (good) {
            note_contexts(result);
            json_array_append_new(results, result);
        }
    }
    if (good && c->json)
        model_print(results);
    return good;
}

const struct verb cli_packages_rm = {
    .name = "packages rm",
    .words = "SANDBOX NAME...",
    .help = "remove packages that were installed into a sandbox",
    CLI_PLAIN,
    .min_words = 2,
    .max_words = CLI_WORDS_LIMIT,
    .run = rm,
};
