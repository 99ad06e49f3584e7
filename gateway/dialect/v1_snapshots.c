/* /v1/sandboxes/{id}/snapshots, …/pause and …/resume.
 *
 * A snapshot is {"id", "created", "why": "asked|pause|idle", "bytes", "contexts": [{"id", "name",
 * "saved": [{"name", "type"}], "saved_more": n, "not_saved": [{"name", "reason"}],
 * "not_saved_more": n, "problem"}]}; "problem" says why nothing of a context was saved, or is null.
 * A resume answers {"sandbox", "snapshot": id or null, "contexts": [{"id", "name", "restored":
 * [name], "not_restored": [{"name", "reason"}], "problem"}]}. */
#include "gateway/core/snapshot.h"
#include "gateway/dialect/v1.h"
#include "gateway/dialect/v1_page.h"
#include "protocol/json.h"
#include "protocol/memory.h"

static struct sandbox *find(struct exchange *x, struct core *c)
{
    struct err e = {0};
    struct sandbox *s = sandboxes_find_any(c, exchange_principal(x), exchange_param(x, "id"), &e);
    if (!s)
        exchange_fail(x, &e);
    return s;
}

/* A page of ids, while what they name is read. */
struct listing {
    struct exchange *x;
    json_t *next;
};

static void on_listed(void *user, struct bytes list, const struct err *e)
{
    struct listing *l = user;
    scoped(buffer) struct buffer text = {0};
    scoped(string) char *next = json_dumps(l->next, JSON_ENCODE_ANY);
    buffer_add_text(&text, "{\"snapshots\":");
    buffer_add_bytes(&text, list);
    buffer_printf(&text, ",\"next\":%s}", next);
    if (e)
        exchange_fail(l->x, e);
    else
        exchange_reply(l->x, 200, "application/json", buffer_view(&text));
    json_decref(l->next);
    free(l);
}

static void add_to_page(void *user, const char *id, const char *created)
{
    page_add_text(user, created, id, NULL);
}

void v1_snapshots_list(struct exchange *x, void *core)
{
    struct err e = {0};
    struct page page;
    struct sandbox *s = find(x, core);
    if (!s)
        return;
    if (!page_read(x, false, &page, &e)) {
        exchange_fail(x, &e);
        return;
    }
    sandbox_snapshots_each(s, add_to_page, &page);
    page_cut(&page);
    struct listing *l = xcalloc(1, sizeof(*l));
    *l = (struct listing){.x = x, .next = page_next(&page)};
    scoped(json) json_t *ids = json_array();
    for (size_t i = 0; i < page.count; i++)
        json_array_append_new(ids, json_string(page.items[i].id));
    page_free(&page);
    sandbox_snapshots(s, ids, on_listed, l);
}

/* NULL: the exchange was answered. */
static struct sandbox *find_and_read(struct exchange *x, struct core *c, bool *force)
{
    struct err e = {0};
    struct sandbox *s = find(x, c);
    scoped(json) json_t *body = s ? v1_body(x) : NULL;
    if (!body)
        return NULL;
    if (field_bool(body, "force", OPTIONAL, force, &e))
        return s;
    exchange_fail(x, &e);
    return NULL;
}

/* True: it was answered. */
static bool failed(struct exchange *x, const struct sandbox *s, const struct err *e)
{
    struct err ended;
    if (!e && !s) {
        fail(&ended, 409, "the sandbox was deleted meanwhile");
        e = &ended;
    }
    if (e)
        exchange_fail(x, e);
    return e != NULL;
}

static void on_saved(void *user, struct sandbox *s, json_t *snapshot, const struct err *e)
{
    if (!failed(user, s, e))
        exchange_reply_json(user, 201, json_incref(snapshot));
}

/* The list of the one that was made before. */
static void on_found(void *user, struct bytes list, const struct err *e)
{
    struct err gone;
    if (!e && list.len <= 2) {
        fail(&gone, 503, "the snapshot was dropped just now; ask again");
        e = &gone;
    }
    if (e)
        exchange_fail(user, e);
    else
        exchange_reply(user, 201, "application/json", (struct bytes){list.data + 1, list.len - 2});
}

void v1_snapshots_create(struct exchange *x, void *core)
{
    bool force = false;
    struct err e = {0};
    const char *id = NULL;
    scoped(json) json_t *once = NULL;
    struct sandbox *s = find_and_read(x, core, &force);
    if (!s)
        return;
    if (!v1_once(x, core, &once, &e) || !sandbox_snapshot_once(s, once, &id, &e) ||
        (!id && sandbox_is_paused(s) &&
         !sandboxes_find(core, exchange_principal(x), sandbox_id(s), &e))) {
        exchange_fail(x, &e);
        return;
    }
    scoped(json) json_t *ids = id ? json_pack("[s]", id) : NULL;
    if (id)
        sandbox_snapshots(s, ids, on_found, x);
    else
        sandbox_snapshot(s, force, once, on_saved, x);
}

static void on_paused(void *user, struct sandbox *s, json_t *snapshot, const struct err *e)
{
    (void)snapshot;
    if (!failed(user, s, e))
        exchange_reply_json(user, 200, v1_sandbox_model(s));
}

void v1_sandbox_pause(struct exchange *x, void *core)
{
    bool force = false;
    struct sandbox *s = find_and_read(x, core, &force);
    if (s)
        sandbox_pause(s, force, on_paused, x);
}

static void on_resumed(void *user, struct sandbox *s, json_t *answer, const struct err *e)
{
    if (failed(user, s, e))
        return;
    json_t *model = json_copy(answer);
    json_object_set_new(model, "sandbox", v1_sandbox_model(s));
    exchange_reply_json(user, 200, model);
}

void v1_sandbox_resume(struct exchange *x, void *core)
{
    bool force = false;
    struct sandbox *s = find_and_read(x, core, &force);
    if (s)
        sandbox_resume(s, force, on_resumed, x);
}
