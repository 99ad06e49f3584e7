/* /v1/sandboxes/{id}/fork: {"sandbox": model, "snapshot": id, "contexts": as of a resume,
 * "workspace": {"files", "folders", "links", "bytes", "changed": [path], "changed_more": n,
 * "not_copied": [{"path", "reason"}], "not_copied_more": n}}. "contexts" and "workspace" are null
 * when the same key has made it before. */
#include "gateway/core/forking.h"
#include "gateway/core/once.h"
#include "gateway/core/snapshot.h"
#include "gateway/dialect/v1.h"
#include "gateway/dialect/v1_files.h"
#include "protocol/json.h"
#include "protocol/memory.h"

static json_t *changed_model(const struct clone_notes *notes)
{
    json_t *list = json_array();
    for (size_t i = 0; i < notes->count; i++)
        json_array_append_new(list, v1_lossy_text(notes->list[i].path));
    return list;
}

static json_t *not_copied_model(const struct clone_notes *notes)
{
    json_t *list = json_array();
    for (size_t i = 0; i < notes->count; i++)
        json_array_append_new(list,
                              json_pack("{s:o, s:s}", "path", v1_lossy_text(notes->list[i].path),
                                        "reason", notes->list[i].reason));
    return list;
}

static json_t *workspace_model(const struct clone_result *r)
{
    if (!r)
        return json_null();
    return json_pack("{s:I, s:I, s:I, s:I, s:o, s:I, s:o, s:I}", "files", (json_int_t)r->files,
                     "folders", (json_int_t)r->folders, "links", (json_int_t)r->links, "bytes",
                     (json_int_t)r->bytes, "changed", changed_model(&r->changed), "changed_more",
                     (json_int_t)r->changed.more, "not_copied", not_copied_model(&r->not_copied),
                     "not_copied_more", (json_int_t)r->not_copied.more);
}

static void on_forked(void *user, struct sandbox *s, const struct fork_answer *answer,
                      const struct err *e)
{
    struct exchange *x = user;
    if (!s) {
        exchange_fail(x, e);
        return;
    }
    const char *snapshot = sandbox_last_snapshot(s);
    json_t *contexts = json_object_get(answer->resumed, "contexts");
    scoped(string) char *location =
        xasprintf("%s/v1/sandboxes/%s", exchange_base_url(x), sandbox_id(s));
    exchange_add_header(x, "Location", location);
    exchange_reply_json(x, 201,
                        json_pack("{s:o, s:o, s:o, s:o}", "sandbox", v1_sandbox_model(s),
                                  "snapshot", snapshot ? json_string(snapshot) : json_null(),
                                  "contexts", contexts ? json_incref(contexts) : json_null(),
                                  "workspace", workspace_model(answer->copied)));
}

/* A key with the same body made the copy of another one. */
static bool read_once(struct exchange *x, const struct core *c, const struct sandbox *from,
                      json_t **out, struct err *e)
{
    scoped(buffer) struct buffer asked = {0};
    buffer_printf(&asked, "fork %s ", sandbox_id(from));
    buffer_add_bytes(&asked, exchange_body(x));
    return once_read(c, exchange_principal(x)->name, exchange_header(x, "idempotency-key"),
                     buffer_view(&asked), out, e);
}

void v1_sandbox_fork(struct exchange *x, void *core)
{
    struct err e = {0};
    struct fork_request r = {.who = exchange_principal(x)};
    struct sandbox *s =
        sandboxes_find_any(core, exchange_principal(x), exchange_param(x, "id"), &e);
    scoped(json) json_t *body = s ? v1_body(x) : NULL, *once = NULL;
    if (!s)
        exchange_fail(x, &e);
    if (!body)
        return;
    if (field_str(body, "name", OPTIONAL, &r.name, &e) &&
        field_object(body, "labels", OPTIONAL, &r.labels, &e) &&
        field_bool(body, "force", OPTIONAL, &r.force, &e) && read_once(x, core, s, &once, &e)) {
        r.once = once;
        sandbox_fork(s, &r, on_forked, x);
    } else {
        exchange_fail(x, &e);
    }
}
