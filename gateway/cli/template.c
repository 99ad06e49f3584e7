/* `warmcell template ls|show|create|rm|seed`: what sandboxes are made from. */
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "gateway/cli/body.h"
#include "gateway/cli/call.h"
#include "gateway/cli/cli.h"
#include "gateway/cli/model.h"
#include "gateway/cli/table.h"
#include "gateway/cli/transfer.h"
#include "gateway/net/url.h"
#include "protocol/json.h"
#include "protocol/utf8.h"

#define FILE_LIMIT_BYTES (4 * 1024 * 1024) /* as the API has it */

/* --- ls */

struct ls_options {
    struct cli_options common;
    bool quiet;
};

static const struct option ls_rows[] = {
    CLI_ROWS,
    {"quiet", OPTION_BOOL, offsetof(struct ls_options, quiet), NULL, .help = "names alone",
     .flag_only = true},
};

static void print_models(const json_t *all)
{
    static const char *const headers[] = {"NAME", "OWNER", "SHARED", "SANDBOXES", "DESCRIPTION"};
    struct table *table = table_new(headers, countof(headers));
    const json_t *model;
    size_t i;
    json_array_foreach(all, i, model)
    {
        char uses[24];
        snprintf(uses, sizeof uses, "%lld",
                 (long long)json_integer_value(json_object_get(model, "sandboxes")));
        table_add(table, model_text(model, "name"));
        table_add(table, model_text(model, "owner"));
        table_add(table, json_is_true(json_object_get(model, "shared")) ? "yes" : "no");
        table_add(table, uses);
        table_add(table, model_text(model, "description"));
    }
    table_print(table);
}

static bool ls(struct cli *c, struct err *e)
{
    const struct ls_options *options = c->options;
    const json_t *model;
    size_t i;
    scoped(json) json_t *all = call_list(c->target, "/v1/templates?limit=1000", "templates", e);
    if (!all)
        return false;
    if (c->json) {
        model_print(all);
    } else if (options->quiet) {
        json_array_foreach(all, i, model) puts(model_text(model, "name"));
    } else {
        print_models(all);
    }
    return true;
}

const struct verb cli_template_ls = {
    .name = "template ls",
    .words = "",
    .help = "list the templates that one may use",
    .options = ls_rows,
    .option_count = countof(ls_rows),
    .options_size = sizeof(struct ls_options),
    .run = ls,
};

/* --- show */

static bool show(struct cli *c, struct err *e)
{
    scoped(json) json_t *model = call_named(c->target, "GET", "/v1/templates", c->words[0], e);
    if (model)
        model_print(model);
    return model != NULL;
}

const struct verb cli_template_show = {
    .name = "template show",
    .words = "TEMPLATE",
    .help = "what a template says, as JSON; values of its environment are never told again",
    CLI_PLAIN,
    .min_words = 1,
    .max_words = 1,
    .run = show,
};

/* --- create */

struct create_options {
    struct cli_options common;
    struct string_list limits, allow, preload, env, files;
    char *network, *description, *from, *language;
    bool shared;
};

#define CREATE(field) offsetof(struct create_options, field)

static const struct option create_rows[] = {
    CLI_ROWS,
    {"preload", OPTION_LIST, CREATE(preload), NULL,
     .help = "modules that are imported before a sandbox is asked for", .flag_only = true},
    {"limits", OPTION_LIST, CREATE(limits), NULL,
     .help = "limits by their names in the API, as memory_bytes=500000000,idle_s=600",
     .flag_only = true},
    {"env", OPTION_LIST, CREATE(env), NULL, .help = "its environment, as NAME=TEXT",
     .flag_only = true},
    {"files", OPTION_LIST, CREATE(files), NULL,
     .help = "local files that a new workspace has, each as PATH or PATH:LOCAL", .flag_only = true},
    {"network", OPTION_TEXT, CREATE(network), NULL, .help = "none or full", .flag_only = true},
    {"allow", OPTION_LIST, CREATE(allow), NULL,
     .help = "names and addresses that it may connect to, and no others", .flag_only = true},
    {"language", OPTION_TEXT, CREATE(language), NULL,
     .help = "of the contexts, as javascript (default: python)", .flag_only = true},
    {"description", OPTION_TEXT, CREATE(description), NULL, .help = "what it is for, for people",
     .flag_only = true},
    {"shared", OPTION_BOOL, CREATE(shared), NULL,
     .help = "everybody may make sandboxes from it; for administrators", .flag_only = true},
    {"from", OPTION_TEXT, CREATE(from), NULL,
     .help = "a file with the request as JSON; - is stdin; options go over it", .flag_only = true},
};

static json_t *content_of(struct bytes data)
{
    if (utf8_valid(data))
        return json_pack("{s:o}", "text", json_stringn(data.data ? data.data : "", data.len));
    scoped(buffer) struct buffer coded = {0};
    char *into = buffer_reserve(&coded, (data.len + 2) / 3 * 4 + 1);
    coded.len = (size_t)EVP_EncodeBlock((unsigned char *)into, (const unsigned char *)data.data,
                                        (int)data.len);
    return json_pack("{s:o}", "base64", json_stringn(coded.data, coded.len));
}

/* "PATH" or "PATH:LOCAL" */
static bool add_file(json_t *files, const char *text, struct err *e)
{
    const char *colon = strchr(text, ':');
    const char *local = colon ? colon + 1 : text;
    scoped(string) char *path = colon ? xstrndup(text, (size_t)(colon - text)) : xstrdup(text);
    scoped(buffer) struct buffer data = {0};
    FILE *file = fopen(local, "re");
    if (!file)
        return fail_errno(e, CLI_USAGE, "--files: %.200s cannot be read", local);
    data.len = fread(buffer_reserve(&data, FILE_LIMIT_BYTES + 1), 1, FILE_LIMIT_BYTES + 1, file);
    bool broke = ferror(file) != 0;
    fclose(file);
    if (broke || data.len > FILE_LIMIT_BYTES)
        return fail(e, CLI_USAGE, "--files: %.200s %s", local,
                    broke ? "cannot be read" : "is larger than a template's files may be");
    return json_object_set_new(files, path, content_of(buffer_view(&data))) == 0 ||
           fail(e, CLI_USAGE, "--files: %.80s is not UTF-8", path);
}

static bool add_files(json_t *body, const struct string_list *list, struct err *e)
{
    if (list->count && !json_is_object(json_object_get(body, "files")))
        json_object_set_new(body, "files", json_object());
    for (size_t i = 0; i < list->count; i++)
        if (!add_file(json_object_get(body, "files"), list->item[i], e))
            return false;
    return true;
}

static json_t *create_body(const struct create_options *o, const char *name, struct err *e)
{
    scoped(json) json_t *body = body_from(o->from, e);
    if (!body || !body_text(body, "name", name, e) ||
        !body_text(body, "description", o->description, e) ||
        !body_text(body, "language", o->language, e) || !body_limits(body, &o->limits, e) ||
        !body_pairs(body, "env", "env", &o->env, e) ||
        !body_network(body, o->network, &o->allow, e) || !add_files(body, &o->files, e))
        return NULL;
    if (o->preload.count)
        json_object_set_new(body, "preload", json_array());
    for (size_t i = 0; i < o->preload.count; i++)
        json_array_append_new(json_object_get(body, "preload"), json_string(o->preload.item[i]));
    if (o->shared)
        json_object_set_new(body, "shared", json_true());
    return take(&body);
}

static bool create(struct cli *c, struct err *e)
{
    scoped(json) json_t *body = create_body(c->options, c->word_count ? c->words[0] : NULL, e);
    scoped(json) json_t *model =
        body ? call_json(c->target, "POST", "/v1/templates", body, e) : NULL;
    if (!model)
        return false;
    if (c->json)
        model_print(model);
    else
        puts(model_text(model, "id"));
    return true;
}

const struct verb cli_template_create = {
    .name = "template create",
    .words = "[NAME]",
    .help = "make a template and print its id",
    .options = create_rows,
    .option_count = countof(create_rows),
    .options_size = sizeof(struct create_options),
    .max_words = 1,
    .run = create,
};

/* --- rm */

static json_t *remove_one(struct cli *c, const char *word, struct err *e)
{
    scoped(json) json_t *answer = call_named(c->target, "DELETE", "/v1/templates", word, e);
    return answer ? json_string(word) : NULL;
}

static bool rm(struct cli *c, struct err *e)
{
    return model_each_word(c, remove_one, e);
}

const struct verb cli_template_rm = {
    .name = "template rm",
    .words = "TEMPLATE...",
    .help = "delete templates; sandboxes that were made from them stay",
    CLI_PLAIN,
    .min_words = 1,
    .max_words = CLI_WORDS_LIMIT,
    .run = rm,
};

/* --- seed */

struct seed_options {
    struct cli_options common;
    bool remove;
};

static const struct option seed_rows[] = {
    CLI_ROWS,
    {"remove", OPTION_BOOL, offsetof(struct seed_options, remove), NULL,
     .help = "new workspaces begin without one from now on", .flag_only = true},
};

static bool give_seed(struct cli *c, const char *path, struct err *e)
{
    if (!transfer_up(c->target, c->words[1], path, NULL, e))
        return false;
    scoped(json) json_t *model = call_named(c->target, "GET", "/v1/templates", c->words[0], e);
    if (!model)
        return false;
    json_t *seed = json_object_get(model, "seed");
    if (c->json)
        model_print(model);
    else
        puts(model_text(seed, "sha256"));
    return true;
}

static bool seed(struct cli *c, struct err *e)
{
    const struct seed_options *options = c->options;
    scoped(buffer) struct buffer path = {0};
    buffer_add_text(&path, "/v1/templates/");
    url_encode_path(&path, bytes_of(c->words[0]));
    buffer_add_text(&path, "/seed");
    if (!options->remove && c->word_count == 2)
        return give_seed(c, buffer_text(&path), e);
    if (!options->remove || c->word_count == 2)
        return fail(e, CLI_USAGE, "either TAR or --remove must be given");
    scoped(json) json_t *answer = call_json(c->target, "DELETE", buffer_text(&path), NULL, e);
    return answer != NULL;
}

const struct verb cli_template_seed = {
    .name = "template seed",
    .words = "TEMPLATE [TAR]",
    .help = "give a template a tar (or a gzipped one; - is stdin) that is unpacked into each new "
            "workspace, and print its SHA-256",
    .options = seed_rows,
    .option_count = countof(seed_rows),
    .options_size = sizeof(struct seed_options),
    .min_words = 1,
    .max_words = 2,
    .run = seed,
};
