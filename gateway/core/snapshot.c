/* Saves the contexts of a sandbox, one after the other, and commits what came of it.
 *
 * In the vault a sandbox has a record for each snapshot, named by its id:
 *   {"version": 1, "id", "created", "why", "reason", "sandbox": what sandbox_save gives,
 *    "contexts": [{"id", "name", "language", "number", "created", "forked_from", "head": what
 *                  carrier_save gave or null, "problem": text or null}]}
 * and the record "state", {"paused": bool, "snapshot": id}, which is written last. In memory
 * s->snapshots has of each what snapshot_summary gives: "files" are the names that the vault must
 * keep for it; "buffers", of the last alone, is what need not be sent again. The lists of names are
 * in the vault only (snapshot_list.c).
 *
 * Invariant: a snapshot is in s->snapshots when it and the state that names it are on the disk. */
#include "gateway/core/snapshot.h"

#include <string.h>

#include "gateway/core/carrier.h"
#include "gateway/core/keepsake.h"
#include "gateway/core/state.h"
#include "gateway/log.h"
#include "gateway/store/vault.h"
#include "protocol/ids.h"
#include "protocol/json.h"

#define KEPT_MOST    5 /* snapshots of a sandbox */
#define GIVE_BACK_MS 1000

struct moving {
    struct sandbox *s;
    bool force, pause;
    json_t *once;   /* owned: of its request; NULL: it had no key */
    json_t *record; /* of the snapshot that is being made */
    size_t at;      /* the context that is being saved */
    void (*next)(struct moving *m, const struct err *e);
    snapshot_done *done;
    void *user;
};

struct sandbox *moving_sandbox(const struct moving *m)
{
    return m->s;
}

void *moving_user(const struct moving *m)
{
    return m->user;
}

json_t *moving_record(const struct moving *m)
{
    return m->record;
}

bool sandbox_refuses(const struct sandbox *s, struct err *e)
{
    if (!s->halted)
        return false;
    bool pausing = s->paused ? s->emptying : s->moving != NULL;
    const char *what = s->resuming ? "being resumed: wait for it"
                       : pausing   ? "being paused"
                                   : "paused: resume it (POST .../resume)";
    fail(e, 409, "sandbox %s is %s", s->id, what);
    return true;
}

struct moving *moving_begin(struct sandbox *s, bool force, snapshot_done *done, void *user,
                            struct err *e)
{
    if (s->moving || s->ending) {
        fail(e, 409, "sandbox %s is being %s", s->id,
             s->ending ? "deleted" : "saved, paused, resumed or forked already");
        return NULL;
    }
    if (s->core->draining) {
        fail(e, 503, "the gateway is ending");
        return NULL;
    }
    struct moving *m = s->moving = xcalloc(1, sizeof(*m));
    *m = (struct moving){.s = s, .force = force, .done = done, .user = user};
    sandbox_hold(s);
    return m;
}

void moving_end(struct moving *m, json_t *answer, const struct err *e)
{
    struct sandbox *s = m->s;
    s->moving = NULL;
    sandbox_touch(s);
    if (e)
        log_warn("a sandbox was not saved, paused or resumed", F_STR("sandbox", s->id),
                 F_STR("why", e->text));
    m->done(m->user, s->ending || s->gone ? NULL : s, answer, e);
    json_decref(answer);
    if (m->record && !s->core->give_back_ms)
        s->core->give_back_ms = monotonic_ms() + GIVE_BACK_MS;
    json_decref(m->record);
    json_decref(m->once);
    free(m);
    sandbox_let_go(s);
}

/* --- what is known of a snapshot */

static json_t *last_of(const struct sandbox *s)
{
    size_t count = json_array_size(s->snapshots);
    return count ? json_array_get(s->snapshots, count - 1) : NULL;
}

const char *sandbox_last_snapshot(const struct sandbox *s)
{
    return json_string_value(json_object_get(last_of(s), "id"));
}

/* --- committing */

struct commit {
    uv_work_t work;
    struct moving *moving;
    struct core *core;
    char *sandbox;
    json_t *record; /* NULL: the state alone */
    json_t *state;
    json_t *drop, *files; /* ids that go; what is kept of big files */
    struct err why;
    void (*next)(struct moving *m, const struct err *e);
};

static void on_work(uv_work_t *work)
{
    struct commit *commit = work->data;
    struct vault *v = commit->core->vault;
    const char *id = json_string_value(json_object_get(commit->state, "snapshot"));
    size_t i;
    json_t *one;
    if (!commit->state) /* its keepsake says all that there is to say */
        return;
    if ((commit->record && !vault_put(v, commit->sandbox, id, commit->record, &commit->why)) ||
        !vault_put(v, commit->sandbox, "state", commit->state, &commit->why))
        return;
    commit->why = (struct err){0};
    json_array_foreach(commit->drop, i, one) vault_drop(v, commit->sandbox, json_string_value(one));
    if (commit->record)
        vault_sweep(v, commit->sandbox, commit->files);
}

static void on_work_done(uv_work_t *work, int status)
{
    struct commit *commit = work->data;
    struct core *c = commit->core;
    struct sandbox *s = commit->moving->s;
    (void)status;
    if (s->ending || s->gone) {
        vault_remove(c->vault, s->id);
        fail(&commit->why, 409, "sandbox %s was deleted meanwhile", s->id);
    } else if (!commit->why.status && commit->record) {
        json_object_del(last_of(s), "buffers");
        json_array_append_new(s->snapshots, snapshot_summary(commit->record));
        while (json_array_size(s->snapshots) > KEPT_MOST)
            json_array_remove(s->snapshots, 0);
        keepsake_due(s);
    }
    commit->next(commit->moving, commit->why.status ? &commit->why : NULL);
    json_decref(commit->record);
    json_decref(commit->state);
    json_decref(commit->drop);
    json_decref(commit->files);
    free(commit->sandbox);
    free(commit);
    sandbox_write_ended(s);
    sandbox_let_go(s);
    core_handle_closed(c);
}

/* What goes and what stays with one more. */
static void choose(struct commit *commit, const struct sandbox *s)
{
    size_t count = json_array_size(s->snapshots), i;
    json_t *one;
    commit->drop = json_array();
    scoped(json) json_t *summary = snapshot_summary(commit->record);
    commit->files = json_copy(json_object_get(summary, "files"));
    json_array_foreach(s->snapshots, i, one)
    {
        if (count - i >= KEPT_MOST)
            json_array_append(commit->drop, json_object_get(one, "id"));
        else
            json_array_extend(commit->files, json_object_get(one, "files"));
    }
}

void moving_commit(struct moving *m, bool paused,
                   void (*next)(struct moving *m, const struct err *e))
{
    struct sandbox *s = m->s;
    struct commit *commit = xcalloc(1, sizeof(*commit));
    const char *id =
        m->record ? json_string_value(json_object_get(m->record, "id")) : sandbox_last_snapshot(s);
    *commit = (struct commit){.moving = m, .core = s->core, .sandbox = xstrdup(s->id)};
    commit->work.data = commit;
    commit->record = json_incref(m->record);
    commit->state = id ? json_pack("{s:b, s:s}", "paused", (int)paused, "snapshot", id) : NULL;
    commit->next = next;
    if (m->record)
        choose(commit, s);
    sandbox_hold(s);
    sandbox_write_began(s);
    s->core->open_handles++;
    uv_queue_work(s->core->loop, &commit->work, on_work, on_work_done);
}

/* --- saving */

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

json_t *snapshot_context_record(const struct kernel *k)
{
    char created[TIME_TEXT];
    time_text(k->started, created);
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:o, s:n, s:n, s:O*}", "id", k->id, "name",
                     k->context_name, "language", context_language(k), "number",
                     (json_int_t)k->context_number, "generation", (json_int_t)k->generation,
                     "created", created, "forked_from", text_or_null(k->forked_from), "head",
                     "problem", "once", k->once);
}

static json_t *record_of(const struct sandbox *s, const char *why)
{
    char id[UUID_TEXT], created[TIME_TEXT];
    json_t *contexts = json_array();
    uuid_make(id);
    time_now_text(created);
    for (const struct kernel *k = s->kernel; k; k = k->sibling)
        if (!k->ending && !k->gone)
            json_array_append_new(contexts, snapshot_context_record(k));
    return json_pack("{s:i, s:s, s:s, s:s, s:o, s:o}", "version", 1, "id", id, "created", created,
                     "why", why, "sandbox", sandbox_save(s), "contexts", contexts);
}

static void save_next(struct moving *m);

static void leave_out(struct moving *m, const char *problem)
{
    json_t *context = json_array_get(json_object_get(m->record, "contexts"), m->at++);
    json_object_set_new(context, "problem", json_string(problem));
    save_next(m);
}

static void on_saved(void *user, json_t *saved, const struct err *e)
{
    struct moving *m = user;
    if (e && m->force) {
        leave_out(m, e->text);
    } else if (e) {
        m->next(m, e);
    } else {
        json_t *context = json_array_get(json_object_get(m->record, "contexts"), m->at++);
        json_object_set(context, "head", saved);
        save_next(m);
    }
}

static struct kernel *kernel_of(const struct sandbox *s, const char *id)
{
    for (struct kernel *k = s->kernel; k; k = k->sibling)
        if (strcmp(k->id, id) == 0 && !k->ending && !k->gone)
            return k;
    return NULL;
}

static bool can_be_saved(const struct kernel *k, struct err *e)
{
    if (k->state == KERNEL_IDLE)
        return true;
    return fail(e, 409,
                "context %s is %s: its variables can be saved between two executions; interrupt "
                "it or wait, or force it to go without them",
                k->id, kernel_state_text(k));
}

static void save_next(struct moving *m)
{
    json_t *context = json_array_get(json_object_get(m->record, "contexts"), m->at);
    const char *id = json_string_value(json_object_get(context, "id"));
    struct kernel *k = id ? kernel_of(m->s, id) : NULL;
    struct err e;
    if (m->s->core->draining) {
        fail(&e, 503, "the gateway is ending");
        m->next(m, &e);
    } else if (m->s->ending || m->s->gone) {
        fail(&e, 409, "sandbox %s ended meanwhile", m->s->id);
        m->next(m, &e);
    } else if (!context) {
        moving_commit(m, m->pause, m->next);
    } else if (!k || k->state == KERNEL_DEAD) {
        leave_out(m, k && k->reason ? k->reason : "the context was dead");
    } else if (!can_be_saved(k, &e)) {
        on_saved(m, NULL, &e);
    } else if (!language_of_spec(k->spec)->keeps_variables) {
        fail(&e, 409, "the variables of %s are not kept: the context begins anew",
             context_language(k));
        leave_out(m, e.text);
    } else {
        carrier_save(k, json_object_get(last_of(m->s), "buffers"), on_saved, m);
    }
}

void moving_save(struct moving *m, const char *why, const char *reason,
                 void (*next)(struct moving *m, const struct err *e))
{
    m->pause = strcmp(why, "pause") == 0 || strcmp(why, "idle") == 0;
    m->next = next;
    m->record = record_of(m->s, why);
    json_object_set_new(m->record, "reason", text_or_null(reason));
    if (m->once)
        json_object_set(m->record, "once", m->once);
    save_next(m);
}

static void on_kept(struct moving *m, const struct err *e)
{
    moving_end(m, e ? NULL : snapshot_model(m->record), e);
}

void sandbox_snapshot(struct sandbox *s, bool force, json_t *once, snapshot_done *done, void *user)
{
    struct err e;
    struct moving *m = moving_begin(s, force, done, user, &e);
    if (m)
        m->once = json_incref(once);
    if (m)
        moving_save(m, "asked", NULL, on_kept);
    else
        done(user, s, NULL, &e);
}
