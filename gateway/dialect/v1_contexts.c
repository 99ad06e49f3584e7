/* /v1/sandboxes/{id}/contexts: create (empty, or as a branch of another one), list, show, delete.
 *
 * A context is {"id", "name", "language", "state", "reason", "cause", "created", "forked_from",
 * "snapshot", "code_cache"}:
 *
 * - "id" is that of its kernel under /api/kernels;
 * - "state" is "starting", "idle", "busy", "restarting", "dead" or, with its sandbox, "paused";
 * - "language" is a name of /v1/languages;
 * - "reason" is a sentence, "cause" a word (docs/link.md, DEATH) that say why it is dead, what
 *   happened to it last, or why it was paused without its variables, or null;
 * - "forked_from" is the id of the context that it was a branch of, or null;
 * - "snapshot" is the id of the snapshot whose variables its interpreter began with, or null: it
 *   began empty, or as a branch;
 * - "code_cache" is {"cached_compilations", "bytes", "hits", "misses", "hit_ratio"} of its
 *   interpreter, or null: it has run nothing yet that this gateway knows of. */
#include "gateway/core/context.h"
#include "gateway/core/snapshot.h"
#include "gateway/dialect/v1.h"
#include "gateway/dialect/v1_page.h"
#include "protocol/ids.h"
#include "protocol/json.h"
#include "protocol/memory.h"

static json_t *text_or_null(const char *text)
{
    return text && *text ? json_string(text) : json_null();
}

static json_t *context_model(const struct kernel *k)
{
    char created[TIME_TEXT];
    time_text(context_created(k), created);
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:s, s:o, s:o, s:o}", "id", kernel_id(k),
                     "name", context_name(k), "language", context_language(k), "state",
                     kernel_state_text(k), "reason", text_or_null(kernel_reason(k)), "cause",
                     text_or_null(kernel_cause(k)), "created", created, "forked_from",
                     text_or_null(context_forked_from(k)), "snapshot",
                     text_or_null(context_restored_from(k)), "code_cache",
                     v1_code_cache_model(context_code_cache(k)));
}

/* Of a context that has no process: what its snapshot says of it, and why it has no variables. */
static json_t *paused_model(const struct sandbox *s, json_t *record)
{
    bool saved = json_is_object(json_object_get(record, "head"));
    const char *problem = json_string_value(json_object_get(record, "problem"));
    return json_pack("{s:O, s:O, s:s, s:s, s:o, s:n, s:O, s:O, s:o, s:n}", "id",
                     json_object_get(record, "id"), "name", json_object_get(record, "name"),
                     "language", context_recorded_language(record), "state", "paused", "reason",
                     text_or_null(problem), "cause", "created", json_object_get(record, "created"),
                     "forked_from", json_object_get(record, "forked_from"), "snapshot",
                     text_or_null(saved ? sandbox_last_snapshot(s) : NULL), "code_cache");
}

static void add_model(void *user, struct kernel *k)
{
    json_array_append_new(user, context_model(k));
}

json_t *v1_contexts_model(const struct sandbox *s)
{
    json_t *list = json_array(), *one;
    size_t i;
    contexts_each(s, add_model, list);
    json_array_foreach(sandbox_paused_contexts(s), i, one)
        json_array_append_new(list, paused_model(s, one));
    return list;
}

static struct sandbox *find_sandbox(struct exchange *x, struct core *c)
{
    struct err e = {0};
    struct sandbox *s = sandboxes_find(c, exchange_principal(x), exchange_param(x, "id"), &e);
    if (!s)
        exchange_fail(x, &e);
    return s;
}

/* NULL: the exchange was answered. */
static struct kernel *find(struct exchange *x, struct core *c)
{
    struct err e = {0};
    struct sandbox *s = find_sandbox(x, c);
    struct kernel *k = s ? contexts_find(s, exchange_param(x, "context"), &e) : NULL;
    if (s && !k)
        exchange_fail(x, &e);
    return k;
}

static void on_created(void *user, struct kernel *k, const struct err *e)
{
    struct exchange *x = user;
    if (!k) {
        exchange_fail(x, e);
        return;
    }
    scoped(string) char *location =
        xasprintf("%s/v1/sandboxes/%s/contexts/%s", exchange_base_url(x),
                  sandbox_id(kernel_sandbox(k)), kernel_id(k));
    exchange_add_header(x, "Location", location);
    exchange_reply_json(x, 201, context_model(k));
}

void v1_contexts_create(struct exchange *x, void *core)
{
    struct err e = {0};
    struct context_request request = {0};
    struct sandbox *s = find_sandbox(x, core);
    scoped(json) json_t *body = s ? v1_body(x) : NULL;
    if (!body)
        return;
    if (field_str(body, "name", OPTIONAL, &request.name, &e) &&
        field_str(body, "language", OPTIONAL, &request.language, &e) &&
        field_str(body, "fork", OPTIONAL, &request.fork, &e) &&
        field_bool(body, "force", OPTIONAL, &request.force, &e) &&
        v1_once(x, core, &request.once, &e))
        contexts_create(s, &request, on_created, x);
    else
        exchange_fail(x, &e);
    json_decref(request.once);
}

static void reply_page(struct exchange *x, struct page *p, json_t *models)
{
    json_t *list = json_array(), *one;
    size_t i;
    json_array_foreach(models, i, one)
        page_add_text(p, json_string_value(json_object_get(one, "created")),
                      json_string_value(json_object_get(one, "id")), one);
    page_cut(p);
    for (i = 0; i < p->count; i++)
        json_array_append(list, p->items[i].object);
    exchange_reply_json(x, 200, json_pack("{s:o, s:o}", "contexts", list, "next", page_next(p)));
    page_free(p);
}

void v1_contexts_list(struct exchange *x, void *core)
{
    struct err e = {0};
    struct page page;
    struct sandbox *s =
        sandboxes_find_any(core, exchange_principal(x), exchange_param(x, "id"), &e);
    if (!s || !page_read(x, false, &page, &e)) {
        exchange_fail(x, &e);
        return;
    }
    scoped(json) json_t *models = v1_contexts_model(s);
    reply_page(x, &page, models);
}

/* Of one that has no process the record; borrowed. NULL: there is none. */
static json_t *paused_record(const struct sandbox *s, const char *id)
{
    json_t *one;
    size_t i;
    json_array_foreach(sandbox_paused_contexts(s), i,
                       one) if (strcmp(json_string_value(json_object_get(one, "id")), id) ==
                                0) return one;
    return NULL;
}

void v1_context_show(struct exchange *x, void *core)
{
    struct err e = {0};
    const char *id = exchange_param(x, "context");
    struct sandbox *s =
        sandboxes_find_any(core, exchange_principal(x), exchange_param(x, "id"), &e);
    struct kernel *k = s ? contexts_find(s, id, &e) : NULL;
    json_t *record = s && !k ? paused_record(s, id) : NULL;
    if (k)
        exchange_reply_json(x, 200, context_model(k));
    else if (record)
        exchange_reply_json(x, 200, paused_model(s, record));
    else
        exchange_fail(x, &e);
}

void v1_context_delete(struct exchange *x, void *core)
{
    struct kernel *k = find(x, core);
    if (k)
        context_delete(k, "the context was deleted", v1_removed, x);
}
