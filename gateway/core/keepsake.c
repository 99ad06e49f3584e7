/* Keepsakes are written by a thread of libuv's pool, one of a sandbox at a time.
 *
 * Invariant: nothing is written of a sandbox that ends, and what is being written as it ends is
 * awaited (sandbox_write_began) before anybody is told that it is gone. */
#include "gateway/core/keepsake.h"

#include <string.h>

#include "gateway/core/state.h"
#include "gateway/log.h"
#include "gateway/store/store.h"
#include "gateway/store/vault.h"
#include "protocol/ids.h"
#include "protocol/json.h"

#define VERSION 3

/* Someone who waits until it is written. */
struct keepsake_waiter {
    void (*done)(void *user, const struct err *e);
    void *user;
    struct keepsake_waiter *next;
};

struct writing {
    uv_work_t work;
    struct sandbox *s;
    char *id;
    json_t *record;
    struct keepsake_waiter *waiters; /* for this one; who comes later waits for the next */
    struct err why;
};

/* One that somebody has. */
static bool is_wanted(const struct sandbox *s)
{
    return sandbox_is_made(s) && !s->pooled && !s->gone;
}

/* Without its variables. context: taken. */
static void add_context(json_t *contexts, json_t *context)
{
    json_object_set_new(context, "head", json_null());
    json_object_set_new(context, "problem", json_string(KEEPSAKE_PROBLEM));
    json_array_append_new(contexts, context);
}

static json_t *contexts_of(const struct sandbox *s)
{
    json_t *contexts = json_array(), *one;
    size_t i;
    if (s->paused) {
        json_array_foreach(sandbox_paused_contexts(s), i, one)
            add_context(contexts, json_copy(one));
        return contexts;
    }
    for (const struct kernel *k = s->kernel; k; k = k->sibling)
        if (!k->ending && !k->gone && !k->pooled && !k->handing)
            add_context(contexts, snapshot_context_record(k));
    return contexts;
}

/* Why it has no processes. */
static const char *reason_of(const struct sandbox *s)
{
    if (s->paused)
        return s->ended_by;
    return s->kernel && !contexts_live(s) ? sandbox_reason(s) : NULL;
}

static json_t *record_of(const struct sandbox *s)
{
    char created[TIME_TEXT];
    time_now_text(created);
    return json_pack("{s:i, s:n, s:s, s:o, s:o, s:s?, s:s?}", "version", VERSION, "id", "created",
                     created, "sandbox", sandbox_save(s), "contexts", contexts_of(s), "snapshot",
                     sandbox_last_snapshot(s), "reason", reason_of(s));
}

/* What of it makes it worth writing: not what is another each time that it is made, nor what is of
 * its processes alone. */
static json_t *essence_of(json_t *record, json_t *env)
{
    static const char *const passing[] = {"uid", "keeper", "lives_from_ms"};
    json_t *essence = json_deep_copy(record), *saved = json_object_get(essence, "sandbox");
    json_object_del(essence, "created");
    for (size_t i = 0; i < countof(passing); i++)
        json_object_del(saved, passing[i]);
    json_object_set_new(saved, "env", json_deep_copy(env)); /* it is sealed otherwise each time */
    return essence;
}

static void tell(struct keepsake_waiter *waiters, const struct err *e)
{
    while (waiters) {
        struct keepsake_waiter *next = waiters->next;
        waiters->done(waiters->user, e);
        free(waiters);
        waiters = next;
    }
}

static void write_it(struct sandbox *s);

static void on_work(uv_work_t *work)
{
    struct writing *w = work->data;
    struct err why;
    if (!vault_put(w->s->core->vault, KEEPSAKES, w->id, w->record, &why))
        w->why = why;
}

static void on_work_done(uv_work_t *work, int status)
{
    struct writing *w = work->data;
    struct sandbox *s = w->s;
    struct core *c = s->core;
    (void)status;
    s->keepsake_busy = false;
    if (s->ending) {
        vault_drop(c->vault, KEEPSAKES, w->id);
        fail(&w->why, 409, "sandbox %s was deleted meanwhile", w->id);
    } else if (w->why.status) {
        log_warn("a sandbox would not outlive its machine", F_STR("sandbox", w->id),
                 F_STR("why", w->why.text));
        json_decref(take(&s->keepsake));
    }
    tell(w->waiters, w->why.status ? &w->why : NULL);
    if (s->keepsake_waiters && !s->keepsake_busy)
        write_it(s);
    else if (s->keepsake_due)
        keepsake_due(s);
    json_decref(w->record);
    free(w->id);
    free(w);
    sandbox_write_ended(s);
    sandbox_let_go(s);
    core_handle_closed(c);
}

/* Nothing is written now; e: why not, NULL: nothing needs to be. */
static void pass_over(struct sandbox *s, const struct err *e)
{
    tell(take(&s->keepsake_waiters), e);
}

static void write_it(struct sandbox *s)
{
    struct err e = {0};
    s->keepsake_due = false;
    if (s->ending)
        fail(&e, 409, "sandbox %s was deleted meanwhile", s->id);
    else if (s->gone)
        fail(&e, 503, "the gateway is ending");
    if (e.status || !is_wanted(s)) {
        pass_over(s, e.status ? &e : NULL);
        return;
    }
    json_t *record = record_of(s), *essence = essence_of(record, s->env);
    if (json_equal(essence, s->keepsake)) {
        json_decref(record);
        json_decref(essence);
        pass_over(s, NULL);
        return;
    }
    json_decref(s->keepsake);
    s->keepsake = essence;
    s->keepsake_busy = true;
    struct writing *w = xcalloc(1, sizeof *w);
    *w = (struct writing){
        .s = s, .id = xstrdup(s->id), .record = record, .waiters = take(&s->keepsake_waiters)};
    w->work.data = w;
    sandbox_hold(s);
    sandbox_write_began(s);
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

void keepsake_settle(struct sandbox *s, void (*done)(void *user, const struct err *e), void *user)
{
    struct keepsake_waiter *waiter = xmalloc(sizeof(*waiter));
    *waiter = (struct keepsake_waiter){done, user, s->keepsake_waiters};
    s->keepsake_waiters = waiter;
    if (!s->keepsake_busy)
        write_it(s);
}

struct settling_fully {
    struct sandbox *s; /* held */
    void (*done)(void *user, const struct err *e);
    void *user;
};

static void on_settled(void *user, const struct err *e)
{
    struct settling_fully *f = user;
    struct core *c = f->s->core;
    struct err why;
    if (!e && f->s->ending) {
        fail(&why, 409, "sandbox %s was deleted meanwhile", f->s->id);
        e = &why;
    }
    f->done(f->user, e);
    sandbox_let_go(f->s);
    free(f);
    core_handle_closed(c);
}

static void on_kept(void *user, const struct err *e)
{
    struct settling_fully *f = user;
    if (e)
        on_settled(f, e);
    else
        store_settle(f->s->core->store, on_settled, f);
}

void keepsake_settle_fully(struct sandbox *s, void (*done)(void *user, const struct err *e),
                           void *user)
{
    if (!sync_is_full(store_sync(s->core->store))) {
        done(user, NULL);
        return;
    }
    struct settling_fully *f = xmalloc(sizeof(*f));
    *f = (struct settling_fully){s, done, user};
    sandbox_hold(s);
    s->core->open_handles++;
    keepsake_settle(s, on_kept, f);
}

void keepsake_is_known(struct sandbox *s, json_t *record)
{
    struct err e;
    scoped(string) char *context = xasprintf(SANDBOX_ENV_CONTEXT, s->id);
    json_t *hidden = json_object_get(json_object_get(record, "sandbox"), "env");
    scoped(json) json_t *env = hidden ? vault_reveal(s->core->vault, context, hidden, &e) : NULL;
    json_decref(s->keepsake);
    s->keepsake = env ? essence_of(record, env) : NULL;
}

bool keepsake_write_now(struct sandbox *s)
{
    struct err e;
    scoped(json) json_t *record = record_of(s), *essence = essence_of(record, s->env);
    if (json_equal(essence, s->keepsake))
        return true;
    if (!vault_put(s->core->vault, KEEPSAKES, s->id, record, &e)) {
        log_warn("a sandbox would not outlive its machine", F_STR("sandbox", s->id),
                 F_STR("why", e.text));
        return false;
    }
    json_decref(s->keepsake);
    s->keepsake = take(&essence);
    return true;
}

void keepsakes_due(struct core *c)
{
    for (size_t i = 0; i < c->sandbox_count; i++)
        keepsake_due(c->sandboxes[i]);
}

void keepsakes_write_due(struct core *c)
{
    for (size_t i = 0; i < c->sandbox_count; i++) {
        struct sandbox *s = c->sandboxes[i];
        if (s->keepsake_due && !s->keepsake_busy && is_wanted(s))
            keepsake_write_now(s);
    }
}

json_t *keepsake_load(struct core *c, const char *sandbox_id)
{
    struct err e;
    json_t *record = vault_get(c->vault, KEEPSAKES, sandbox_id, &e);
    if (record && json_is_object(json_object_get(record, "sandbox")))
        return record;
    if (!record && e.status == 404)
        return NULL;
    log_error("what a sandbox was last cannot be read", F_STR("sandbox", sandbox_id),
              F_STR("why", record ? "it is no record of one" : e.text));
    c->unread = true;
    json_decref(record);
    return NULL;
}

static int64_t version_of(json_t *record)
{
    return json_integer_value(json_object_get(record, "version"));
}

json_t *keepsake_load_anew(struct core *c, const char *sandbox_id)
{
    json_t *record = keepsake_load(c, sandbox_id);
    bool had_snapshot = json_is_string(json_object_get(record, "snapshot"));
    if (!had_snapshot && json_array_size(json_object_get(record, "contexts")) > 0)
        return record;
    if (record) /* of one that had a snapshot: its removal was under way */
        vault_drop(c->vault, KEEPSAKES, sandbox_id);
    json_decref(record);
    return NULL;
}

json_t *keepsake_contexts(json_t *record)
{
    return version_of(record) > 2 ? json_object_get(record, "contexts") : NULL;
}

json_t *keepsake_words(json_t *record)
{
    return version_of(record) > 1 ? json_object_get(record, "sandbox") : NULL;
}
