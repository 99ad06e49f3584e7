/* `warmcell sandbox ls|create|rm`, and how a person may name a sandbox. What is said to one that is
 * there is in sandbox_orders.c. */
#include "gateway/cli/sandbox.h"

#include <stdio.h>

#include "gateway/cli/body.h"
#include "gateway/cli/cli.h"
#include "gateway/cli/model.h"
#include "gateway/cli/table.h"
#include "gateway/net/url.h"
#include "protocol/ids.h"
#include "protocol/json.h"

#define SHORT_ID_LEAST 4

/* --- naming one */

static bool is_uuid(const char *word)
{
    return strlen(word) == UUID_TEXT - 1 && id_valid(word);
}

/* A name is the whole word, an id may be its beginning; of several names it is the caller to say
 * which. */
static size_t count_matches(const json_t *all, const char *word, bool names,
                            char id[SANDBOX_ID_TEXT])
{
    const json_t *model;
    size_t i, found = 0, len = strlen(word);
    json_array_foreach(all, i, model)
    {
        const char *one = model_text(model, "id");
        bool fits = names ? strcmp(model_text(model, "name"), word) == 0
                          : len >= SHORT_ID_LEAST && strncmp(one, word, len) == 0;
        if (fits && strlen(one) < SANDBOX_ID_TEXT) {
            strcpy(id, one);
            found++;
        }
    }
    return found;
}

bool cli_sandbox_find(const struct target *t, const char *word, char id[SANDBOX_ID_TEXT],
                      struct err *e)
{
    if (is_uuid(word)) {
        memcpy(id, word, UUID_TEXT);
        return true;
    }
    scoped(json) json_t *all = call_list(t, "/v1/sandboxes?limit=1000", "sandboxes", e);
    if (!all)
        return false;
    size_t named = count_matches(all, word, true, id);
    size_t found = named ? named : count_matches(all, word, false, id);
    if (named > 1)
        return fail(e, CLI_FAILED, "%zu sandboxes are called %.80s; name it by its id", named,
                    word);
    if (found == 0 && strlen(word) < SHORT_ID_LEAST)
        return fail(
            e, CLI_USAGE,
            "no sandbox is called %.80s; give its name, or at least %d characters of its id", word,
            SHORT_ID_LEAST);
    if (found == 0)
        return fail(e, 404, "no sandbox %.80s; `warmcell sandbox ls` shows those there are", word);
    return found == 1 ||
           fail(e, CLI_FAILED, "the ids of %zu sandboxes begin with %.80s", found, word);
}

/* --- ls */

struct ls_options {
    struct cli_options common;
    bool quiet;
    char *state, *template, *name_prefix;
    struct string_list labels;
};

#define LS(field) offsetof(struct ls_options, field)

static const struct option ls_rows[] = {
    CLI_ROWS,
    {"state", OPTION_TEXT, LS(state), NULL, .help = "in this state alone, as running or paused",
     .flag_only = true},
    {"label", OPTION_LIST, LS(labels), NULL,
     .help = "with all these labels, each as NAME or NAME=TEXT", .flag_only = true},
    {"template", OPTION_TEXT, LS(template), NULL, .help = "made from this template",
     .flag_only = true},
    {"name-prefix", OPTION_TEXT, LS(name_prefix), NULL, .help = "with a name that begins so",
     .flag_only = true},
    {"quiet", OPTION_BOOL, offsetof(struct ls_options, quiet), NULL, .help = "ids alone",
     .flag_only = true},
};

/* 1536 -> "1.5 KiB"; "-" for what is not known. */
static void size_text(const json_t *bytes, char *out, size_t room)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)json_integer_value(bytes);
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < countof(units); unit++)
        value /= 1024;
    if (!json_is_integer(bytes))
        snprintf(out, room, "-");
    else
        snprintf(out, room, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static void print_models(const json_t *all)
{
    static const char *const headers[] = {"ID",     "STATE", "CREATED", "CONTEXTS",
                                          "MEMORY", "DISK",  "NETWORK", "NAME"};
    struct table *table = table_new(headers, countof(headers));
    const json_t *model;
    size_t i;
    json_array_foreach(all, i, model)
    {
        char text[32];
        const json_t *usage = json_object_get(model, "usage");
        const json_t *network = json_object_get(model, "network");
        table_add(table, model_text(model, "id"));
        table_add(table, model_text(model, "state"));
        snprintf(text, sizeof text, "%.19s", model_text(model, "created"));
        table_add(table, text);
        snprintf(text, sizeof text, "%zu", json_array_size(json_object_get(model, "contexts")));
        table_add(table, text);
        size_text(json_object_get(usage, "memory_bytes"), text, sizeof text);
        table_add(table, text);
        size_text(json_object_get(usage, "disk_bytes"), text, sizeof text);
        table_add(table, text);
        table_add(table, json_is_object(network) ? "allow" : model_text(model, "network"));
        table_add(table, model_text(model, "name"));
    }
    table_print(table);
}

static void add_filter(struct buffer *path, const char *name, const char *value)
{
    if (!value)
        return;
    buffer_printf(path, "&%s=", name);
    url_encode_path(path, bytes_of(value));
}

static json_t *list_filtered(const struct target *t, const struct ls_options *o, struct err *e)
{
    scoped(buffer) struct buffer path = {0};
    buffer_add_text(&path, "/v1/sandboxes?limit=1000");
    add_filter(&path, "state", o->state);
    add_filter(&path, "template", o->template);
    add_filter(&path, "name_prefix", o->name_prefix);
    for (size_t i = 0; i < o->labels.count; i++)
        add_filter(&path, "label", o->labels.item[i]);
    return call_list(t, buffer_text(&path), "sandboxes", e);
}

static bool ls(struct cli *c, struct err *e)
{
    const struct ls_options *options = c->options;
    const json_t *model;
    size_t i;
    scoped(json) json_t *all = list_filtered(c->target, options, e);
    if (!all)
        return false;
    if (c->json) {
        model_print(all);
    } else if (options->quiet) {
        json_array_foreach(all, i, model) puts(model_text(model, "id"));
    } else {
        print_models(all);
    }
    return true;
}

const struct verb cli_sandbox_ls = {
    .name = "sandbox ls",
    .words = "",
    .help = "list the sandboxes",
    .options = ls_rows,
    .option_count = countof(ls_rows),
    .options_size = sizeof(struct ls_options),
    .run = ls,
};

/* --- create */

struct create_options {
    struct cli_options common;
    struct string_list limits, allow, labels;
    char *network, *policy, *from, *name, *template, *language;
    bool cold;
};

#define CREATE(field) offsetof(struct create_options, field)

static const struct option create_rows[] = {
    CLI_ROWS,
    {"limits", OPTION_LIST, CREATE(limits), NULL,
     .help = "limits by their names in the API, as memory_bytes=500000000,cpus=1",
     .flag_only = true},
    {"network", OPTION_TEXT, CREATE(network), NULL, .help = "none or full", .flag_only = true},
    {"allow", OPTION_LIST, CREATE(allow), NULL,
     .help = "names and addresses that it may connect to, and no others", .flag_only = true},
    {"policy", OPTION_TEXT, CREATE(policy), NULL,
     .help = "required, or best-effort: do without what this machine lacks", .flag_only = true},
    {"cold", OPTION_BOOL, CREATE(cold), NULL, .help = "a Python of its own, not a fork",
     .flag_only = true},
    {"name", OPTION_TEXT, CREATE(name), NULL, .help = "what it is called; unique among one's own",
     .flag_only = true},
    {"label", OPTION_LIST, CREATE(labels), NULL, .help = "its labels, each as NAME=TEXT",
     .flag_only = true},
    {"template", OPTION_TEXT, CREATE(template), NULL,
     .help = "the template that it is made from; the other options go over it", .flag_only = true},
    {"language", OPTION_TEXT, CREATE(language), NULL,
     .help = "of its contexts, as javascript (default: that of the template, or python)",
     .flag_only = true},
    {"from", OPTION_TEXT, CREATE(from), NULL,
     .help =
         "a file with the request as JSON, for instance its env; - is stdin; options go over it",
     .flag_only = true},
};

static json_t *create_body(const struct create_options *o, struct err *e)
{
    scoped(json) json_t *body = body_from(o->from, e);
    if (!body || !body_limits(body, &o->limits, e) ||
        !body_network(body, o->network, &o->allow, e) ||
        !body_pairs(body, "labels", "label", &o->labels, e) ||
        !body_text(body, "policy", o->policy, e) || !body_text(body, "name", o->name, e) ||
        !body_text(body, "template", o->template, e) ||
        !body_text(body, "language", o->language, e))
        return NULL;
    if (o->cold)
        json_object_set_new(body, "cold", json_true());
    return take(&body);
}

json_t *cli_sandbox_make(const struct target *t, const json_t *body, struct err *e)
{
    return call_json(t, "POST", "/v1/sandboxes", body, e);
}

static bool create(struct cli *c, struct err *e)
{
    scoped(json) json_t *body = create_body(c->options, e);
    scoped(json) json_t *model = body ? cli_sandbox_make(c->target, body, e) : NULL;
    if (!model)
        return false;
    if (c->json)
        model_print(model);
    else
        puts(model_text(model, "id"));
    return true;
}

const struct verb cli_sandbox_create = {
    .name = "sandbox create",
    .words = "",
    .help = "make a sandbox and print its id",
    .options = create_rows,
    .option_count = countof(create_rows),
    .options_size = sizeof(struct create_options),
    .run = create,
};

/* --- rm */

bool cli_sandbox_end(const struct target *t, const char *id, struct err *e)
{
    scoped(json) json_t *answer = call_named(t, "DELETE", "/v1/sandboxes", id, e);
    return answer != NULL;
}

static json_t *remove_one(struct cli *c, const char *word, struct err *e)
{
    char id[SANDBOX_ID_TEXT];
    return cli_sandbox_find(c->target, word, id, e) && cli_sandbox_end(c->target, id, e)
               ? json_string(id)
               : NULL;
}

static bool rm(struct cli *c, struct err *e)
{
    return model_each_word(c, remove_one, e);
}

const struct verb cli_sandbox_rm = {
    .name = "sandbox rm",
    .words = "SANDBOX...",
    .help = "end sandboxes; nothing of them is left",
    CLI_PLAIN,
    .min_words = 1,
    .max_words = CLI_WORDS_LIMIT,
    .run = rm,
};
