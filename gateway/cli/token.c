/* `warmcell token create|ls|revoke`: who else may use the gateway. A secret is written once, to
 * stdout, and is in no word of a command line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/cli/call.h"
#include "gateway/cli/cli.h"
#include "gateway/cli/model.h"
#include "gateway/cli/table.h"
#include "protocol/json.h"

#define EXPIRES_MOST_S (INT64_C(10) * 366 * 24 * 3600) /* as the API has it */

/* --- create */

struct create_options {
    struct cli_options common;
    char *principal, *name, *role;
    struct string_list scopes, quotas;
    int64_t expires_s;
};

#define CREATE(field) offsetof(struct create_options, field)

static const struct option create_rows[] = {
    CLI_ROWS,
    {"principal", OPTION_TEXT, CREATE(principal), NULL,
     .help = "whose it is (default: the caller's)", .flag_only = true},
    {"name", OPTION_TEXT, CREATE(name), NULL, .help = "what it is for, for people",
     .flag_only = true},
    {"role", OPTION_TEXT, CREATE(role), NULL, .help = "user (default) or admin", .flag_only = true},
    {"scopes", OPTION_LIST, CREATE(scopes), NULL,
     .help = "of read, write, tokens and metrics (default: read,write)", .flag_only = true},
    {"quotas", OPTION_LIST, CREATE(quotas), NULL,
     .help = "for what is made with it, as WORD=N: of sandboxes, kernels, memory_bytes, disk_bytes "
             "and requests (a second)",
     .flag_only = true},
    {"expires-s", OPTION_INT, CREATE(expires_s), "0", .low = 0, .high = EXPIRES_MOST_S,
     .help = "seconds until it is good for nothing; 0: as long as the one that it is minted with",
     .flag_only = true},
};

/* What is no WORD=N goes as it is, and the gateway says so. */
static json_t *quotas_of(const struct string_list *words)
{
    json_t *quotas = json_object();
    for (size_t i = 0; i < words->count; i++) {
        const char *equals = strchr(words->item[i], '=');
        size_t len = equals ? (size_t)(equals - words->item[i]) : strlen(words->item[i]);
        scoped(string) char *word = xstrndup(words->item[i], len);
        char *end = NULL;
        errno = 0;
        long long number = equals ? strtoll(equals + 1, &end, 10) : 0;
        bool whole = equals && equals[1] && !*end && errno == 0;
        json_object_set_new(quotas, word,
                            whole ? json_integer(number) : json_string(equals ? equals + 1 : ""));
    }
    return quotas;
}

static json_t *create_body(const struct create_options *o)
{
    json_t *body = json_pack("{s:s*, s:s*, s:s*}", "principal", o->principal, "name", o->name,
                             "role", o->role);
    if (body && o->scopes.count) {
        json_t *scopes = json_array();
        for (size_t i = 0; i < o->scopes.count; i++)
            json_array_append_new(scopes, json_string(o->scopes.item[i]));
        json_object_set_new(body, "scopes", scopes);
    }
    if (body && o->quotas.count)
        json_object_set_new(body, "quotas", quotas_of(&o->quotas));
    if (body && o->expires_s)
        json_object_set_new(body, "expires_in_s", json_integer(o->expires_s));
    return body;
}

static bool create(struct cli *c, struct err *e)
{
    scoped(json) json_t *body = create_body(c->options);
    if (!body)
        return fail(e, CLI_USAGE, "a word of the command line is not UTF-8");
    scoped(json) json_t *model = call_json(c->target, "POST", "/v1/tokens", body, e);
    if (!model)
        return false;
    if (c->json)
        model_print(model);
    else
        puts(model_text(model, "token"));
    return true;
}

const struct verb cli_token_create = {
    .name = "token create",
    .words = "",
    .help = "mint a token and print it; nobody sees it again",
    .options = create_rows,
    .option_count = countof(create_rows),
    .options_size = sizeof(struct create_options),
    .run = create,
};

/* --- ls */

static void print_models(const json_t *all)
{
    static const char *const headers[] = {"ID", "PRINCIPAL", "ROLE", "SCOPES", "EXPIRES", "NAME"};
    struct table *table = table_new(headers, countof(headers));
    const json_t *model, *scope;
    size_t i, j;
    json_array_foreach(all, i, model)
    {
        scoped(buffer) struct buffer scopes = {0};
        char expires[20];
        json_array_foreach(json_object_get(model, "scopes"), j, scope)
            buffer_printf(&scopes, "%s%s", j ? "," : "", json_string_value(scope));
        snprintf(expires, sizeof expires, "%.19s", model_text(model, "expires"));
        table_add(table, model_text(model, "id"));
        table_add(table, model_text(model, "principal"));
        table_add(table, model_text(model, "role"));
        table_add(table, buffer_text(&scopes));
        table_add(table, expires);
        table_add(table, model_text(model, "name"));
    }
    table_print(table);
}

static bool ls(struct cli *c, struct err *e)
{
    scoped(json) json_t *all = call_list(c->target, "/v1/tokens?limit=1000", "tokens", e);
    if (!all)
        return false;
    if (c->json)
        model_print(all);
    else
        print_models(all);
    return true;
}

const struct verb cli_token_ls = {
    .name = "token ls",
    .words = "",
    .help = "list the tokens that are good, without their secrets",
    CLI_PLAIN,
    .run = ls,
};

/* --- revoke */

static json_t *revoke_one(struct cli *c, const char *word, struct err *e)
{
    scoped(json) json_t *answer = call_named(c->target, "DELETE", "/v1/tokens", word, e);
    return answer ? json_string(word) : NULL;
}

static bool revoke_all(struct cli *c, struct err *e)
{
    return model_each_word(c, revoke_one, e);
}

const struct verb cli_token_revoke = {
    .name = "token revoke",
    .words = "ID...",
    .help = "let nobody in any more with these tokens and what was minted with them",
    CLI_PLAIN,
    .min_words = 1,
    .max_words = CLI_WORDS_LIMIT,
    .run = revoke_all,
};
