/* /v1/templates: create, list, show, replace, change, delete.
 *
 * A template is {"id", "name", "owner", "shared", "description", "created", "changed", "language",
 * "preload", "network", "env", "limits", "files", "seed", "packages", "pool", "sandboxes"}:
 *
 * - "preload" is a list of modules, or null: those of the gateway;
 * - "env" are names alone: values are never told again;
 * - "limits" are those that it names, as in a request;
 * - "files" are [{"path", "bytes", "mode"}];
 * - "seed" is {"sha256", "bytes", "files", "folders", "symlinks"} of the tar that a new workspace
 *   begins with, or null: v1_template_seed.c;
 * - "pool" is {"min", "max"}, or null: sandboxes stand ready as there is demand;
 * - "sandboxes" is how many of those that are there were made from it. */
#include "gateway/dialect/v1_templates.h"

#include <stdio.h>
#include <string.h>

#include "gateway/dialect/v1.h"
#include "gateway/dialect/v1_docs.h"
#include "gateway/dialect/v1_page.h"
#include "protocol/ids.h"
#include "protocol/json.h"
#include "protocol/memory.h"

/* --- the model */

static json_t *or_null(json_t *value)
{
    return value ? json_incref(value) : json_null();
}

static json_t *names_of(json_t *object)
{
    json_t *names = json_array(), *value;
    const char *name;
    json_object_foreach(object, name, value) json_array_append_new(names, json_string(name));
    return names;
}

static json_t *files_of(json_t *spec)
{
    json_t *files = json_array(), *file;
    size_t i;
    json_array_foreach(json_object_get(spec, "files"), i, file)
    {
        char mode[8];
        snprintf(mode, sizeof(mode), "%04o",
                 (unsigned)json_integer_value(json_object_get(file, "mode")) & 0777);
        json_array_append_new(files,
                              json_pack("{s:O, s:O, s:s}", "path", json_object_get(file, "path"),
                                        "bytes", json_object_get(file, "bytes"), "mode", mode));
    }
    return files;
}

static json_t *seed_of(const struct template *t)
{
    json_t *seed = template_seed(t);
    return seed ? json_pack("{s:O, s:O, s:O, s:O, s:O}", "sha256", json_object_get(seed, "sha256"),
                            "bytes", json_object_get(seed, "bytes"), "files",
                            json_object_get(seed, "files"), "folders",
                            json_object_get(seed, "folders"), "symlinks",
                            json_object_get(seed, "symlinks"))
                : json_null();
}

json_t *v1_template_model(const struct core *c, const struct template *t)
{
    char created[TIME_TEXT], changed[TIME_TEXT];
    json_t *spec = template_spec(t), *network = json_object_get(spec, "network");
    json_t *limits = json_object_get(spec, "limits"), *packages = json_object_get(spec, "packages");
    time_text(template_created(t), created);
    time_text(template_changed(t), changed);
    return json_pack(
        "{s:s, s:s, s:s, s:b, s:o, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I}",
        "id", template_id(t), "name", template_name(t), "owner", template_owner(t), "shared",
        (int)template_is_shared(t), "description", or_null(json_object_get(spec, "description")),
        "created", created, "changed", changed, "language", template_language(t), "preload",
        or_null(json_object_get(spec, "preload")), "network",
        network ? json_incref(network) : json_string("none"), "env",
        names_of(json_object_get(spec, "env")), "limits",
        limits ? json_incref(limits) : json_object(), "files", files_of(spec), "seed", seed_of(t),
        "packages", packages ? json_incref(packages) : json_array(), "pool",
        or_null(json_object_get(spec, "pool")), "sandboxes", (json_int_t)template_uses(c, t));
}

/* --- the handlers */

/* An exchange that waits for the store. */
struct waiting {
    struct exchange *x;
    struct core *core;
    bool made; /* it is a new one */
};

static struct waiting *wait_for(struct exchange *x, struct core *core, bool made)
{
    struct waiting *w = xmalloc(sizeof(*w));
    *w = (struct waiting){x, core, made};
    return w;
}

static void on_stored(void *user, const struct template *t, const struct err *e)
{
    struct waiting *w = user;
    if (e) {
        exchange_fail(w->x, e);
        free(w);
        return;
    }
    scoped(string) char *location =
        xasprintf("%s/v1/templates/%s", exchange_base_url(w->x), template_id(t));
    if (w->made)
        exchange_add_header(w->x, "Location", location);
    exchange_made(w->x, template_id(t));
    exchange_reply_json(w->x, w->made ? 201 : 200, v1_template_model(w->core, t));
    free(w);
}

static void create(struct exchange *x, void *core)
{
    struct err e = {0};
    json_t *once = NULL;
    scoped(json) json_t *body = v1_body_within(x, V1_FILES_BODY_BYTES);
    if (!body)
        return;
    if (v1_once(x, core, &once, &e))
        templates_create(core, exchange_principal(x), body, once, on_stored,
                         wait_for(x, core, true));
    else
        exchange_fail(x, &e);
    json_decref(once);
}

static void change(struct exchange *x, struct core *core, bool whole)
{
    scoped(json) json_t *body = v1_body_within(x, V1_FILES_BODY_BYTES);
    if (body)
        templates_change(core, exchange_principal(x), exchange_param(x, "id"), body, whole,
                         on_stored, wait_for(x, core, false));
}

static void put(struct exchange *x, void *core)
{
    change(x, core, true);
}

static void patch(struct exchange *x, void *core)
{
    change(x, core, false);
}

static void end(struct exchange *x, void *core)
{
    templates_remove(core, exchange_principal(x), exchange_param(x, "id"), v1_removed, x);
}

static void show(struct exchange *x, void *core)
{
    struct err e = {0};
    struct template *t = templates_find(core, exchange_principal(x), exchange_param(x, "id"), &e);
    if (t)
        exchange_reply_json(x, 200, v1_template_model(core, t));
    else
        exchange_fail(x, &e);
}

struct listing {
    struct page page;
    const char *prefix;
};

static void add_to_page(void *user, struct template *t)
{
    struct listing *l = user;
    if (!l->prefix || strncmp(template_name(t), l->prefix, strlen(l->prefix)) == 0)
        page_add(&l->page, template_created(t), template_id(t), t);
}

static void list(struct exchange *x, void *core)
{
    struct err e = {0};
    struct listing l = {.prefix = exchange_query(x, "name_prefix")};
    if (!page_read(x, false, &l.page, &e)) {
        exchange_fail(x, &e);
        return;
    }
    json_t *models = json_array();
    templates_each(core, exchange_principal(x), add_to_page, &l);
    page_cut(&l.page);
    for (size_t i = 0; i < l.page.count; i++)
        json_array_append_new(models, v1_template_model(core, l.page.items[i].object));
    exchange_reply_json(x, 200,
                        json_pack("{s:o, s:o}", "templates", models, "next", page_next(&l.page)));
    page_free(&l.page);
}

#define TEMPLATES "/v1/templates"
#define TEMPLATE  TEMPLATES "/{id}"
#define THE_REST  ACCESS_TOKEN, ERRORS_PROBLEM, ROUTE_PLAIN

static const struct route rows[] = {
    {GET,
     TEMPLATES,
     list,
     "The templates that one may use, oldest first",
     {400},
     THE_REST,
     &v1_templates_list_doc},
    {POST,
     TEMPLATES,
     create,
     "Make a template",
     {400, 403, 409, 413, 422, 503},
     THE_REST,
     &v1_templates_create_doc},
    {GET, TEMPLATE, show, "One template", {404}, THE_REST, &v1_template_show_doc},
    {PUT,
     TEMPLATE,
     put,
     "Replace a template",
     {400, 403, 404, 409, 413, 422, 503},
     THE_REST,
     &v1_template_put_doc},
    {PATCH,
     TEMPLATE,
     patch,
     "Change a template",
     {400, 403, 404, 409, 413, 422, 503},
     THE_REST,
     &v1_template_change_doc},
    {DELETE,
     TEMPLATE,
     end,
     "Delete a template",
     {403, 404, 409, 503},
     THE_REST,
     &v1_template_delete_doc},
};

const struct route_table v1_template_routes = {rows, countof(rows)};
