/* /v1/sandboxes/{id}/snapshots, …/pause and …/resume.
 *
 * A snapshot is {"id", "created", "why": "asked|pause|idle", "bytes", "contexts": [{"id", "name",
 * "saved": [{"name", "type"}], "saved_more": n, "not_saved": [{"name", "reason"}],
 * "not_saved_more": n, "problem"}]}; "problem" says why nothing of a context was saved, or is null.
 * A resume answers {"sandbox", "snapshot": id, "contexts": [{"id", "name", "restored": [name],
 * "not_restored": [{"name", "reason"}], "problem"}]}. */
#include "gateway/core/snapshot.h"
#include "gateway/dialect/v1.h"
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

static void on_listed(void *user, struct bytes list, const struct err *e)
{
    scoped(buffer) struct buffer text = {0};
    if (e) {
        exchange_fail(user, e);
        return;
    }
    buffer_add_text(&text, "{\"snapshots\":");
    buffer_add_bytes(&text, list);
    buffer_add_text(&text, ",\"next\":null}");
    exchange_reply(user, 200, "application/json", buffer_view(&text));
}

void v1_snapshots_list(struct exchange *x, void *core)
{
    struct sandbox *s = find(x, core);
    if (s)
        sandbox_snapshots(s, on_listed, x);
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

void v1_snapshots_create(struct exchange *x, void *core)
{
    bool force = false;
    struct err e = {0};
    struct sandbox *s = find_and_read(x, core, &force);
    if (!s)
        return;
    if (sandbox_is_paused(s) && !sandboxes_find(core, exchange_principal(x), sandbox_id(s), &e))
        exchange_fail(x, &e);
    else
        sandbox_snapshot(s, force, on_saved, x);
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
