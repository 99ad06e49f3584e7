/* Keepsakes are written by a thread of libuv's pool, one of a sandbox at a time.
 *
 * Invariant: a sandbox that goes while its keepsake is written has it removed behind that. */
#include "gateway/core/keepsake.h"

#include "gateway/core/state.h"
#include "gateway/log.h"
#include "gateway/store/vault.h"
#include "protocol/ids.h"
#include "protocol/json.h"

struct writing {
    uv_work_t work;
    struct sandbox *s;
    char *id;
    json_t *record;
    struct err why;
};

/* One that somebody has, and that has nothing better. */
static bool is_wanted(const struct sandbox *s)
{
    return sandbox_is_made(s) && !s->halted && !s->pooled && !sandbox_last_snapshot(s);
}

static json_t *record_of(const struct sandbox *s)
{
    char created[TIME_TEXT];
    json_t *contexts = json_array();
    time_now_text(created);
    for (const struct kernel *k = s->kernel; k; k = k->sibling) {
        if (k->ending || k->gone || k->pooled || k->handing)
            continue;
        json_t *context = snapshot_context_record(k);
        json_object_set_new(context, "problem",
                            json_string("there is no snapshot of it: it begins anew"));
        json_array_append_new(contexts, context);
    }
    return json_pack("{s:i, s:n, s:s, s:o, s:o}", "version", 1, "id", "created", created, "sandbox",
                     sandbox_save(s), "contexts", contexts);
}

/* What of it is not another each time that it is made. */
static json_t *essence_of(const struct sandbox *s, json_t *record)
{
    json_t *essence = json_deep_copy(record), *saved = json_object_get(essence, "sandbox");
    json_object_del(essence, "created");
    json_object_set_new(saved, "env",
                        json_deep_copy(s->env)); /* it is sealed otherwise each time */
    return essence;
}

static void on_work(uv_work_t *work)
{
    struct writing *w = work->data;
    vault_put(w->s->core->vault, KEEPSAKES, w->id, w->record, &w->why);
}

static void on_work_done(uv_work_t *work, int status)
{
    struct writing *w = work->data;
    struct sandbox *s = w->s;
    struct core *c = s->core;
    (void)status;
    s->keepsake_busy = false;
    if (s->ending || s->gone) {
        vault_drop(c->vault, KEEPSAKES, w->id);
    } else if (w->why.status) {
        log_warn("a sandbox would not outlive its machine", F_STR("sandbox", w->id),
                 F_STR("why", w->why.text));
        json_decref(take(&s->keepsake));
    }
    if (sandbox_last_snapshot(s))
        keepsake_outlived(s);
    if (s->keepsake_due && !c->draining)
        keepsake_due(s);
    json_decref(w->record);
    free(w->id);
    free(w);
    sandbox_let_go(s);
    core_handle_closed(c);
}

static void write_it(struct sandbox *s)
{
    s->keepsake_due = false;
    if (!is_wanted(s))
        return;
    json_t *record = record_of(s), *essence = essence_of(s, record);
    if (json_equal(essence, s->keepsake)) {
        json_decref(record);
        json_decref(essence);
        return;
    }
    json_decref(s->keepsake);
    s->keepsake = essence;
    s->keepsake_busy = true;
    struct writing *w = xcalloc(1, sizeof *w);
    *w = (struct writing){.s = s, .id = xstrdup(s->id), .record = record};
    w->work.data = w;
    sandbox_hold(s);
    s->core->open_handles++;
    uv_queue_work(s->core->loop, &w->work, on_work, on_work_done);
}

static void on_timer(uv_timer_t *timer)
{
    struct core *c = timer->data;
    for (size_t i = 0; i < c->sandbox_count; i++)
        if (c->sandboxes[i]->keepsake_due && !c->sandboxes[i]->keepsake_busy)
            write_it(c->sandboxes[i]);
}

void keepsake_due(struct sandbox *s)
{
    uv_timer_t *timer = &s->core->keepsake_timer;
    s->keepsake_due = true;
    if (!s->core->draining && timer->data && !uv_is_active((uv_handle_t *)timer))
        uv_timer_start(timer, on_timer, KEEPSAKE_DELAY_MS, 0);
}

void keepsake_outlived(struct sandbox *s)
{
    if (s->keepsake_busy || !s->keepsake)
        return;
    vault_drop(s->core->vault, KEEPSAKES, s->id);
    json_decref(take(&s->keepsake));
}

void keepsakes_due(struct core *c)
{
    for (size_t i = 0; i < c->sandbox_count; i++)
        keepsake_due(c->sandboxes[i]);
}

void keepsake_drop(struct core *c, const char *sandbox_id)
{
    if (!c->machine_restarted && id_valid(sandbox_id))
        vault_drop(c->vault, KEEPSAKES, sandbox_id);
}

json_t *keepsake_load(struct core *c, const char *sandbox_id)
{
    struct err e;
    json_t *record = vault_get(c->vault, KEEPSAKES, sandbox_id, &e);
    if (record && json_is_object(json_object_get(record, "sandbox")) &&
        json_array_size(json_object_get(record, "contexts")) > 0)
        return record;
    if (!record && e.status != 404)
        log_error("a sandbox cannot be made again", F_STR("sandbox", sandbox_id),
                  F_STR("why", e.text));
    json_decref(record);
    return NULL;
}
