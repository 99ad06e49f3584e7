/* A paused sandbox that is changed: its words and limits stand in the record that it is resumed
 * from, so that is written anew, off the loop, before anybody is told.
 *
 * Invariant: s->moving is ours meanwhile, so nobody resumes, forks or drops what is rewritten. */
#include "gateway/core/keepsake.h"
#include "gateway/core/state.h"
#include "gateway/store/vault.h"
#include "protocol/json.h"

struct rewriting {
    uv_work_t work;
    struct moving *moving;
    char *sandbox, *id; /* of its last snapshot, or its keepsake */
    json_t *saved;      /* owned; shared with no other thread */
    struct core *core;
    struct err why;
    void (*done)(void *user, const struct err *e);
    void *user;
};

static void on_work(uv_work_t *work)
{
    struct rewriting *r = work->data;
    const struct vault *v = r->core->vault;
    struct err e;
    scoped(json) json_t *record = vault_get(v, r->sandbox, r->id, &e);
    if (record) {
        json_object_set(record, "sandbox", r->saved);
        if (vault_put(v, r->sandbox, r->id, record, &e))
            return;
    }
    r->why = e;
}

static void on_work_done(uv_work_t *work, int status)
{
    struct rewriting *r = work->data;
    struct core *c = r->core;
    struct sandbox *s = moving_sandbox(r->moving);
    (void)status;
    if (s->ending || s->gone) {
        vault_remove(c->vault, s->id);
        vault_drop(c->vault, KEEPSAKES, s->id);
        fail(&r->why, 409, "sandbox %s was deleted meanwhile", s->id);
    } else if (!r->why.status) {
        json_object_set(s->paused, "sandbox", r->saved);
    }
    r->done(r->user, r->why.status ? &r->why : NULL);
    moving_end(r->moving, NULL, r->why.status ? &r->why : NULL);
    json_decref(r->saved);
    free(r->sandbox);
    free(r->id);
    free(r);
    core_handle_closed(c);
}

static void on_moved(void *user, struct sandbox *s, json_t *answer, const struct err *e)
{
    (void)user; /* who waits was told already */
    (void)s;
    (void)answer;
    (void)e;
}

bool paused_rewrite(struct sandbox *s, const json_t *saved,
                    void (*done)(void *user, const struct err *e), void *user, struct err *e)
{
    struct moving *m = moving_begin(s, false, on_moved, NULL, e);
    if (!m)
        return false;
    const char *last = sandbox_last_snapshot(s);
    struct rewriting *r = xcalloc(1, sizeof(*r));
    *r = (struct rewriting){.moving = m,
                            .sandbox = xstrdup(last ? s->id : KEEPSAKES),
                            .id = xstrdup(last ? last : s->id),
                            .saved = json_deep_copy(saved),
                            .core = s->core,
                            .done = done,
                            .user = user};
    r->work.data = r;
    s->core->open_handles++;
    uv_queue_work(s->core->loop, &r->work, on_work, on_work_done);
    return true;
}
