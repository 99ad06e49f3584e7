/* Pause and resume. A sandbox is paused when the record that says so is on the disk; whatever is
 * left of its processes is ended then, and is "pausing" until they have. It runs again when the
 * record says that, and its contexts are visible only then: a gateway that is killed on the way
 * leaves it paused.
 *
 * Invariant: s->paused is what the vault's state names, and set while the sandbox has no visible
 * context. */
#include <string.h>

#include "gateway/core/carrier.h"
#include "gateway/core/file_watch.h"
#include "gateway/core/state.h"
#include "gateway/log.h"
#include "gateway/store/kernel_table.h"
#include "gateway/store/vault.h"
#include "protocol/json.h"

#define CODE_PAUSED 1013 /* no messages are taken now */

bool sandbox_is_paused(const struct sandbox *s)
{
    return s->paused != NULL;
}

json_t *sandbox_paused_contexts(const struct sandbox *s)
{
    return json_object_get(s->paused, "contexts");
}

/* --- pause */

static void forget_keeper(struct sandbox *s)
{
    free(take(&s->keeper));
    s->uid = -1;
    json_decref(take(&s->usage));
}

/* resumed and pausing sandboxes alike: nothing is left of the processes. */
struct emptying {
    struct moving *m; /* NULL: nobody waits */
    struct sandbox *s;
    struct err why;
};

static void on_closed(void *user, json_t *answer, const struct err *e)
{
    struct emptying *emptying = user;
    struct sandbox *s = emptying->s;
    (void)answer;
    (void)e;
    forget_keeper(s);
    s->emptying = false;
    if (emptying->m)
        moving_end(emptying->m, NULL, emptying->why.status ? &emptying->why : NULL);
    free(emptying);
    sandbox_let_go(s);
}

/* A resume that is under way. Its contexts are awaited, each until it has its variables or is gone,
 * and last the record that says that the sandbox runs. */
struct resuming {
    struct moving *m;
    json_t *answers; /* owned; by the context's id */
    size_t awaited;
    struct err why;
    bool force, commits;
};

void pausing_emptied(struct sandbox *s)
{
    struct resuming *r = s->resuming;
    if (r && (r->awaited > 0 || r->commits))
        return; /* whoever is awaited comes back here */
    struct emptying *emptying = xcalloc(1, sizeof(*emptying));
    *emptying = (struct emptying){.m = s->moving, .s = s};
    if (r) {
        emptying->why = r->why;
        json_decref(r->answers);
        free(r);
        s->resuming = NULL;
    }
    s->emptying = true;
    file_watches_end(s, "its sandbox was paused");
    sandbox_hold(s);
    sandbox_close(s, on_closed, emptying);
}

static void on_saved(struct moving *m, const struct err *e)
{
    struct sandbox *s = moving_sandbox(m);
    if (e) {
        s->halted = false;
        moving_end(m, NULL, e);
        return;
    }
    const char *reason = json_string_value(json_object_get(moving_record(m), "reason"));
    s->paused = json_incref(moving_record(m));
    snapshot_keep_short(s->paused);
    s->paused_reason = reason ? xstrdup(reason) : NULL;
    s->emptying = true;
    log_info("sandbox paused", F_STR("sandbox", s->id));
    if (s->kernel)
        sandbox_end_contexts(s, CODE_PAUSED, "the sandbox was paused");
    else
        pausing_emptied(s);
}

void sandbox_pause(struct sandbox *s, bool force, snapshot_done *done, void *user)
{
    struct err e;
    if (s->paused && !s->moving) {
        done(user, s, NULL, NULL);
        return;
    }
    struct moving *m = moving_begin(s, force, done, user, &e);
    if (!m) {
        done(user, s, NULL, &e);
        return;
    }
    s->halted = true;
    moving_save(m, "pause", NULL, on_saved);
}

static void on_idle_paused(void *user, struct sandbox *s, json_t *snapshot, const struct err *e)
{
    (void)user; /* why not is in the log; it is due again */
    (void)s;
    (void)snapshot;
    (void)e;
}

void sandbox_pause_idle(struct sandbox *s, const char *reason)
{
    struct err e;
    struct moving *m = moving_begin(s, true, on_idle_paused, NULL, &e);
    if (!m)
        return;
    s->halted = true;
    moving_save(m, "idle", reason, on_saved);
}

/* --- resume */

/* It stays paused, for r->why. */
static void go_back(struct sandbox *s)
{
    if (s->kernel)
        sandbox_end_contexts(s, CODE_PAUSED, s->resuming->why.text);
    else
        pausing_emptied(s);
}

static json_t *in_order(const struct sandbox *s, json_t *answers)
{
    json_t *list = json_array(), *one;
    size_t i;
    json_array_foreach(sandbox_paused_contexts(s), i, one) json_array_append(
        list, json_object_get(answers, json_string_value(json_object_get(one, "id"))));
    return list;
}

static void on_committed(struct moving *m, const struct err *e)
{
    struct sandbox *s = moving_sandbox(m);
    struct resuming *r = s->resuming;
    r->commits = false;
    if (e)
        r->why = *e;
    else if (!s->kernel)
        fail(&r->why, 502, "the contexts ended as they were made");
    if (r->why.status) {
        go_back(s);
        return;
    }
    json_t *answer = json_pack("{s:O, s:o}", "snapshot", json_object_get(s->paused, "id"),
                               "contexts", in_order(s, r->answers));
    for (struct kernel *k = s->kernel; k; k = k->sibling) {
        json_t *restored = json_object_get(r->answers, k->id);
        if (json_is_null(json_object_get(restored, "problem")))
            k->restored_from = xstrdup(json_string_value(json_object_get(s->paused, "id")));
        k->handing = false;
        kernel_touch(k);
        kernel_save(k);
        kernel_table_started(s->core->store, k->id, k->name, k->started);
    }
    json_decref(r->answers);
    free(r);
    s->resuming = NULL;
    json_decref(take(&s->paused));
    free(take(&s->paused_reason));
    free(take(&s->ended_by));
    s->halted = false;
    log_info("sandbox resumed", F_STR("sandbox", s->id));
    moving_end(m, answer, NULL);
}

/* One context less to wait for. */
static void settle(struct sandbox *s)
{
    struct resuming *r = s->resuming;
    if (--r->awaited > 0)
        return;
    if (!r->why.status && s->core->draining)
        fail(&r->why, 503, "the gateway is ending");
    else if (!r->why.status && !s->kernel)
        fail(&r->why, 502, "the contexts ended as they were made");
    if (r->why.status) {
        go_back(s);
        return;
    }
    r->commits = true;
    moving_commit(r->m, false, on_committed);
}

static json_t *record_of(const struct sandbox *s, const char *id)
{
    json_t *one;
    size_t i;
    json_array_foreach(sandbox_paused_contexts(s), i, one)
    {
        if (strcmp(json_string_value(json_object_get(one, "id")), id) == 0)
            return one;
    }
    return NULL;
}

/* answer: what the interpreter said; NULL: nothing of it was restored, because of problem. */
static void put_answer(struct resuming *r, json_t *record, json_t *answer, json_t *problem)
{
    json_t *none = json_array();
    json_object_set_new(
        r->answers, json_string_value(json_object_get(record, "id")),
        json_pack("{s:O, s:O, s:O, s:O, s:O}", "id", json_object_get(record, "id"), "name",
                  json_object_get(record, "name"), "restored",
                  answer ? json_object_get(answer, "restored") : none, "not_restored",
                  answer ? json_object_get(answer, "not_restored") : none, "problem", problem));
    json_decref(none);
}

struct restored {
    struct sandbox *s;
    char *id;
};

static void on_restored(void *user, json_t *answer, const struct err *e)
{
    struct restored *restored = user;
    struct sandbox *s = restored->s;
    struct resuming *r = s->resuming;
    json_t *record = record_of(s, restored->id);
    scoped(json) json_t *problem = e ? json_string(e->text) : json_null();
    if (e && !r->force && !r->why.status)
        fail(&r->why, e->status == 409 ? 503 : e->status,
             "the variables of context %s were not restored (force begins it empty): %.200s",
             restored->id, e->text);
    put_answer(r, record, answer, problem);
    free(restored->id);
    free(restored);
    settle(s);
    sandbox_let_go(s);
}

void resuming_ready(struct kernel *k)
{
    struct sandbox *s = k->sandbox;
    json_t *record = record_of(s, k->id), *head = json_object_get(record, "head");
    k->restoring = false;
    if (!json_is_object(head)) {
        put_answer(s->resuming, record, NULL, json_object_get(record, "problem"));
        settle(s);
        return;
    }
    struct restored *restored = xmalloc(sizeof(*restored));
    *restored = (struct restored){s, xstrdup(k->id)};
    sandbox_hold(s);
    carrier_restore(k, head, on_restored, restored);
}

static void give_up(struct sandbox *s, const struct err *e)
{
    struct resuming *r = s->resuming;
    if (!r->why.status)
        r->why = *e;
    settle(s);
}

/* One that was being restored says so through on_restored. */
void resuming_lost(struct kernel *k, const char *reason)
{
    struct sandbox *s = k->sandbox;
    struct err e;
    if (!s || !s->resuming || !k->restoring)
        return;
    k->restoring = false;
    fail(&e, 502, "context %s could not be made: %.200s", k->id, reason);
    give_up(s, &e);
}

static void on_opened(void *user, json_t *answer, const struct err *e)
{
    struct resuming *r = user;
    struct sandbox *s = moving_sandbox(r->m);
    json_t *one;
    size_t i, contexts = json_array_size(sandbox_paused_contexts(s));
    struct err why = {0};
    r->awaited = 1;
    if (e)
        r->why = *e;
    else if (kernels_allowed(s->core, contexts, &why)) /* others may have begun meanwhile */
        sandbox_take_opening(s, answer);
    else
        r->why = why;
    json_array_foreach(sandbox_paused_contexts(s), i, one)
    {
        if (r->why.status || s->ending)
            break;
        if (context_revive(s, one, &why))
            r->awaited++;
        else
            r->why = why;
    }
    if (s->ending)
        fail(&r->why, 409, "the sandbox was deleted meanwhile");
    settle(s);
    sandbox_let_go(s);
}

/* Its own memory and kernels count again. */
static bool check_room(const struct sandbox *s, struct err *e)
{
    size_t contexts = json_array_size(sandbox_paused_contexts(s));
    struct usage more = {.kernels = (int64_t)contexts};
    usage_add_limits(&more, &s->limits, true);
    more.disk_bytes = 0;
    return usage_allows_sandbox(s, &more, e) && kernels_allowed(s->core, contexts, e);
}

void sandbox_resume(struct sandbox *s, bool force, snapshot_done *done, void *user)
{
    struct err e;
    struct moving *m = NULL;
    if (!s->paused && !s->moving)
        fail(&e, 409, "sandbox %s is not paused", s->id);
    else if (s->kernel || s->emptying)
        fail(&e, 409, "sandbox %s is still ending its processes", s->id);
    else if (check_room(s, &e))
        m = moving_begin(s, force, done, user, &e);
    if (!m) {
        done(user, s, NULL, &e);
        return;
    }
    struct resuming *r = s->resuming = xcalloc(1, sizeof(*r));
    *r = (struct resuming){.m = m, .answers = json_object(), .force = force};
    sandbox_hold(s);
    sandbox_open_again(s, on_opened, r);
}
