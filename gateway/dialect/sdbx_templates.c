/* /api/templates: list, show, create.
 *
 * A template is {"id", "config", "createdAt", "updatedAt", "isPublic", "authorId"}, each name in
 * both cases; so is what "config" has: {"name", "language", "version", "dockerImage", "framework",
 * "dependencies", "installCommand", "startCommand", "timeoutMs", "maxInstances"}. The first of all
 * is the usual one, which nobody made.
 *
 * One is a template of /v1: dependencies are its packages, defaultEnvVars its env, timeoutMs its
 * limit of an execution. The other words stand, as JSON, in its description. */
#include <stdio.h>
#include <string.h>

#include "gateway/core/once.h"
#include "gateway/dialect/sdbx.h"
#include "gateway/dialect/v1.h"
#include "gateway/dialect/v1_page.h"
#include "protocol/ids.h"
#include "protocol/json.h"

#define PAGE_DEFAULT 10
#define PAGE_MOST    1000
#define SLUG_LIMIT   40 /* bytes of a name that a template's own is made from */
#define SUFFIX_BYTES 4

const char sdbx_template_usual[] = "python-" WARMCELL_PYTHON_VERSION;

/* What of a name is behind prefix; NULL: it begins otherwise. */
static const char *behind(const char *name, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncmp(name, prefix, len) == 0 ? name + len : NULL;
}

bool sdbx_template_is_usual(const char *name)
{
    static const char *const endings[] = {"", "-slim", "-bookworm", "-slim-bookworm"};
    static const char *const versions[] = {"", "3", WARMCELL_PYTHON_VERSION};
    const char *rest = behind(name, "python");
    if (!rest)
        return false;
    rest += *rest == '-' || *rest == ':';
    for (size_t v = 0; v < countof(versions); v++)
        for (size_t i = 0; i < countof(endings); i++) {
            const char *ending = behind(rest, versions[v]);
            if (ending && strcmp(ending, endings[i]) == 0)
                return true;
        }
    return false;
}

/* --- the model */

/* The words that the client had for it: members of the description, where it is theirs. */
static json_t *words_of(json_t *spec)
{
    json_t *about = json_object_get(spec, "description");
    const char *text = json_string_value(about);
    json_t *words = text ? json_loadb(text, json_string_length(about), 0, NULL) : NULL;
    if (json_is_object(words))
        return words;
    json_decref(words);
    words = json_object();
    if (text)
        json_object_set(words, "description", about);
    return words;
}

static void set_unless(json_t *object, const char *name, const char *text)
{
    if (!json_object_get(object, name))
        json_object_set_new(object, name, json_string(text));
}

json_t *sdbx_template_config(const struct template *t, const char *language)
{
    json_t *spec = t ? template_spec(t) : NULL, *config = json_object(), *value;
    json_t *seconds = json_object_get(json_object_get(spec, "limits"), "execution_s");
    json_t *packages = json_object_get(spec, "packages");
    scoped(json) json_t *words = words_of(spec);
    const char *name;
    bool python = !language || strcmp(language, "python") == 0;
    set_unless(words, "name", t ? template_name(t) : python ? sdbx_template_usual : language);
    json_object_set_new(words, "language", json_string(language ? language : "python"));
    set_unless(words, "version", python ? WARMCELL_PYTHON_VERSION : "");
    set_unless(words, "dockerImage", "");
    json_object_set_new(words, "dependencies", packages ? json_incref(packages) : json_array());
    if (json_is_number(seconds))
        json_object_set_new(words, "timeoutMs",
                            json_integer((json_int_t)(json_number_value(seconds) * 1000)));
    json_object_foreach(words, name, value) sdbx_set(config, name, json_incref(value));
    return config;
}

static const char *language_of(const struct template *t)
{
    return json_string_value(json_object_get(template_spec(t), "language"));
}

static json_t *model(const struct template *t, struct timespec created, struct timespec changed)
{
    json_t *m = json_pack("{s:s, s:o}", "id", t ? template_id(t) : sdbx_template_usual, "config",
                          sdbx_template_config(t, t ? language_of(t) : NULL));
    sdbx_set_time(m, "createdAt", created);
    sdbx_set_time(m, "updatedAt", changed);
    sdbx_set(m, "isPublic", json_boolean(!t || template_is_shared(t)));
    sdbx_set(m, "authorId", t ? json_string(template_owner(t)) : json_null());
    return m;
}

static json_t *model_of(const struct core *c, const struct template *t)
{
    struct timespec started = core_started(c);
    return t ? model(t, template_created(t), template_changed(t)) : model(NULL, started, started);
}

/* --- list and show */

static void add_to_page(void *user, struct template *t)
{
    page_add(user, template_created(t), template_id(t), t);
}

void sdbx_templates_list(struct exchange *x, void *core)
{
    struct err e = {0};
    struct page all = {.limit = INT64_MAX};
    int64_t page = 1, size = PAGE_DEFAULT;
    const char *word = exchange_query(x, "pageSize") ? "pageSize" : "page_size";
    if (!v1_query_number(x, "page", 1, INT32_MAX, &page, &e) ||
        !v1_query_number(x, word, 1, PAGE_MOST, &size, &e)) {
        exchange_fail(x, &e);
        return;
    }
    json_t *models = json_array(), *reply;
    templates_each(core, exchange_principal(x), add_to_page, &all);
    page_cut(&all);
    for (int64_t i = (page - 1) * size; i < page * size && i <= (int64_t)all.count; i++)
        json_array_append_new(models, model_of(core, i ? all.items[i - 1].object : NULL));
    reply = json_pack("{s:o, s:I, s:I}", "templates", models, "total", (json_int_t)all.count + 1,
                      "page", (json_int_t)page);
    sdbx_set(reply, "pageSize", json_integer(size));
    page_free(&all);
    exchange_reply_json(x, 200, reply);
}

void sdbx_template_show(struct exchange *x, void *core)
{
    struct err e = {0};
    const char *id = exchange_param(x, "template");
    struct template *t = templates_find(core, exchange_principal(x), id, &e);
    if (t || sdbx_template_is_usual(id))
        exchange_reply_json(x, 200, model_of(core, t));
    else
        exchange_fail(x, &e);
}

/* --- create */

/* "Custom Python" as "custom-python-1a2b3c4d": names are unique here, and theirs are not. */
static json_t *own_name(const char *name)
{
    char slug[SLUG_LIMIT + 1 + 1 + 2 * SUFFIX_BYTES + 1];
    size_t len = 0;
    for (const char *at = name; *at && len < SLUG_LIMIT; at++) {
        char letter = *at >= 'A' && *at <= 'Z' ? (char)(*at - 'A' + 'a') : *at;
        if ((letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9'))
            slug[len++] = letter;
        else if (len && slug[len - 1] != '-')
            slug[len++] = '-';
    }
    while (len && slug[len - 1] == '-')
        len--;
    len += (size_t)snprintf(slug + len, sizeof slug - len, len ? "-" : "template-");
    random_hex(slug + len, SUFFIX_BYTES);
    return json_string(slug);
}

/* Takes the members that we do something about off words, and puts them into body. */
static bool move_members(json_t *words, json_t *body, struct err *e)
{
    int64_t timeout_ms = 0;
    json_t *env = NULL, *packages = json_object_get(words, "dependencies");
    if (!field_object(words, "defaultEnvVars", OPTIONAL, &env, e) ||
        !field_int(words, "timeoutMs", OPTIONAL, 1, SDBX_TIMEOUT_MOST_MS, &timeout_ms, e))
        return false;
    if (env)
        json_object_set(body, "env", env);
    if (packages && !json_is_null(packages))
        json_object_set(body, "packages", packages);
    if (timeout_ms)
        json_object_set_new(body, "limits",
                            json_pack("{s:f}", "execution_s", (double)timeout_ms / 1000));
    json_object_del(words, "defaultEnvVars");
    json_object_del(words, "dependencies");
    json_object_del(words, "timeoutMs");
    return true;
}

static bool read_template(json_t *words, json_t *body, struct err *e)
{
    const char *name = NULL, *language = NULL, *version = NULL, *image = NULL;
    if (!field_str(words, "name", REQUIRED, &name, e) ||
        !field_str(words, "language", OPTIONAL, &language, e) ||
        !field_str(words, "version", OPTIONAL, &version, e) ||
        !field_str(words, "dockerImage", OPTIONAL, &image, e) || !move_members(words, body, e))
        return false;
    if (sdbx_language(language))
        json_object_set_new(body, "language", json_string(sdbx_language(language)));
    scoped(string) char *text = json_dumps(words, JSON_COMPACT);
    if (strlen(text) > TEMPLATE_ABOUT_LIMIT)
        return fail(e, 400, "the template's words must be at most %d bytes as JSON",
                    TEMPLATE_ABOUT_LIMIT);
    json_object_set_new(body, "name", own_name(name));
    json_object_set_new(body, "description", json_string(text));
    return true;
}

struct creating {
    struct exchange *x;
    struct core *core;
};

static void on_created(void *user, const struct template *t, const struct err *e)
{
    struct creating *c = user;
    if (t) {
        exchange_made(c->x, template_id(t));
        exchange_reply_json(c->x, 201, model_of(c->core, t));
    } else {
        exchange_fail(c->x, e);
    }
    free(c);
}

void sdbx_templates_create(struct exchange *x, void *core)
{
    struct err e = {0};
    json_t *once = NULL;
    scoped(json) json_t *words = sdbx_body(x), *body = json_object();
    if (!words)
        return;
    if (read_template(words, body, &e) && v1_once(x, core, &once, &e)) {
        struct creating *c = xmalloc(sizeof *c);
        *c = (struct creating){x, core};
        templates_create(core, exchange_principal(x), body, once, on_created, c);
    } else {
        exchange_fail(x, &e);
    }
    json_decref(once);
}
