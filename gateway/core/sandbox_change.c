/* What of a sandbox can be changed while it lives: its name, labels, environment and limits.
 *
 * All is checked first; then its keeper is told the limits, and only if it takes them everything is
 * changed at once, saved, and the hosts are told. So a change that is refused has changed nothing.
 * Whoever asked is answered when the machine may end, too (keepsake.h).
 *
 * Invariant: s->changing is set while one is under way that may be refused, and nobody else takes
 * the name it claims. */
#include <string.h>

#include "gateway/core/keepsake.h"
#include "gateway/core/naming.h"
#include "gateway/core/state.h"
#include "gateway/launch/environment.h"
#include "protocol/json.h"

#define HOST_LIMIT_MS (30 * 1000)

/* The keeper has the limits; each host watches over time and output. */
struct change {
    struct sandbox *s;
    struct limits limits;
    char *name; /* owned, as the rest; NULL with renames: none any more */
    bool renames;
    json_t *labels, *env;  /* as they shall be; NULL: as they are */
    int awaited;           /* hosts */
    struct moving *moving; /* of one that is paused: it is not resumed meanwhile */
    struct err why;
    void (*done)(void *user, const struct err *e);
    void *user;
};

static void change_free(struct change *change)
{
    free(change->name);
    json_decref(change->labels);
    json_decref(change->env);
    free(change);
}

static void let_others(struct sandbox *s)
{
    s->changing = false;
    s->claimed_name = NULL;
    s->wanted = NULL;
    sandbox_touch(s);
}

static void answer_change(struct change *change, const struct err *e)
{
    struct sandbox *s = change->s;
    change->done(change->user, e);
    change_free(change);
    sandbox_let_go(s);
}

static void end_change(struct change *change, const struct err *e)
{
    let_others(change->s);
    answer_change(change, e);
}

static void on_written(void *user, const struct err *e)
{
    struct change *change = user;
    struct err why = {0};
    if (e)
        fail(&why, e->status, "the sandbox was changed, but that is not written down: %.200s",
             e->text);
    answer_change(change, e ? &why : NULL);
}

/* It is made, and others may come. */
static void settle_change(struct change *change)
{
    let_others(change->s);
    keepsake_settle(change->s, on_written, change);
}

static void replace(json_t **place, json_t **with)
{
    if (!*with)
        return;
    json_decref(*place);
    *place = *with;
    *with = NULL;
}

static void apply(struct change *change)
{
    struct sandbox *s = change->s;
    if (change->renames) {
        free(s->name);
        s->name = take(&change->name);
        s->claimed_name = NULL;
    }
    replace(&s->labels, &change->labels);
    replace(&s->env, &change->env);
    sandbox_save_all(s);
}

static void on_host_told(void *user, const struct err *e)
{
    struct change *change = user;
    if (e)
        change->why = *e;
    if (--change->awaited > 0)
        return;
    if (change->why.status)
        end_change(change, &change->why);
    else
        settle_change(change);
}

static void on_keeper_told(void *user, json_t *answer, const struct err *e)
{
    struct change *change = user;
    struct sandbox *s = change->s;
    (void)answer;
    if (e) {
        end_change(change, e);
        return;
    }
    scoped(json) json_t *adoption =
        json_pack("{s:o}", "limits", sandbox_limits_told(&change->limits));
    scoped(string) char *text = json_dumps(adoption, JSON_COMPACT);
    s->limits = change->limits;
    s->lives_from_ms = monotonic_ms();
    apply(change);
    change->awaited = 1;
    for (struct kernel *k = s->kernel, *next; k; k = next) {
        next = k->sibling;
        if (!k->uplink || k->ending)
            continue;
        change->awaited++;
        kernel_command(k, LINK_ADOPT_KERNEL, bytes_of(text), HOST_LIMIT_MS, on_host_told, change);
    }
    on_host_told(change, NULL);
}

static bool read_name(struct change *change, const struct sandbox_change *asked, struct err *e)
{
    struct sandbox *s = change->s;
    change->renames = asked->name || asked->no_name;
    if (!asked->name)
        return true;
    if (!name_check(asked->name, e) || !sandbox_name_free(s->core, s->owner, asked->name, s, e))
        return false;
    change->name = xstrdup(asked->name);
    return true;
}

static bool read_labels(struct change *change, json_t *labels, struct err *e)
{
    if (!labels)
        return true;
    change->labels = json_copy(change->s->labels);
    return labels_check(labels, true, e) && labels_change(change->labels, labels, e);
}

/* A null takes a name away. */
static bool read_env(struct change *change, json_t *env, struct err *e)
{
    const char *name;
    json_t *value;
    if (!env)
        return true;
    change->env = json_copy(change->s->env);
    json_object_foreach(env, name, value)
    {
        if (json_is_null(value))
            json_object_del(change->env, name);
        else
            json_object_set(change->env, name, value);
    }
    return environment_check(change->env, e);
}

/* Less is always allowed. */
static bool check_limits(const struct change *change, struct err *e)
{
    const struct sandbox *s = change->s;
    struct usage now = {0}, more = {0};
    usage_add_limits(&now, &s->limits, !s->paused);
    usage_add_limits(&more, &change->limits, !s->paused);
    more.memory_bytes -= now.memory_bytes;
    more.disk_bytes -= now.disk_bytes;
    return usage_allows_sandbox(s, &more, e);
}

static bool read_change(struct change *change, const struct sandbox_change *asked, struct err *e)
{
    struct sandbox *s = change->s;
    if (s->changing)
        return fail(e, 409, "sandbox %s is being changed already: wait for it", s->id);
    if (!sandbox_read_limits(s->core, asked->limits, &change->limits, e) ||
        !check_limits(change, e) || !read_name(change, asked, e) ||
        !read_labels(change, asked->labels, e) || !read_env(change, asked->env, e))
        return false;
    return !asked->limits || s->paused || sandbox_reachable(s) ||
           fail(e, 503, "the sandbox's keeper is not there");
}

/* --- of one that is paused */

/* Between what the sandbox is and what it shall be; twice: nothing has changed. */
static void exchange_all(struct change *change)
{
    struct sandbox *s = change->s;
    const struct limits limits = s->limits;
    char *name = s->name;
    json_t *labels = s->labels, *env = s->env;
    s->limits = change->limits;
    change->limits = limits;
    if (change->renames) {
        s->name = change->name;
        change->name = name;
    }
    if (change->labels) {
        s->labels = change->labels;
        change->labels = labels;
    }
    if (change->env) {
        s->env = change->env;
        change->env = env;
    }
}

static void on_moved(void *user, struct sandbox *s, json_t *answer, const struct err *e)
{
    (void)user; /* who waits was told already */
    (void)s;
    (void)answer;
    (void)e;
}

static void on_paused_written(void *user, const struct err *e)
{
    struct change *change = user;
    struct moving *moving = change->moving;
    if (e)
        exchange_all(change);
    end_change(change, e);
    moving_end(moving, NULL, e);
}

static void change_paused(struct change *change)
{
    struct sandbox *s = change->s;
    struct err e;
    change->moving = moving_begin(s, false, on_moved, NULL, &e);
    if (!change->moving) {
        end_change(change, &e);
        return;
    }
    s->changing = true;
    exchange_all(change);
    s->claimed_name = change->name; /* that it had: until it is written it may have it again */
    s->wanted = &change->limits;
    keepsake_settle(s, on_paused_written, change);
}

void sandbox_change(struct sandbox *s, const struct sandbox_change *asked,
                    void (*done)(void *user, const struct err *e), void *user)
{
    struct err e = {0};
    struct change *change = xcalloc(1, sizeof(*change));
    *change = (struct change){.s = s, .limits = s->limits, .done = done, .user = user};
    if (!read_change(change, asked, &e)) {
        change_free(change);
        done(user, &e);
        return;
    }
    sandbox_hold(s);
    if (s->paused) {
        change_paused(change);
        return;
    }
    if (!asked->limits) {
        apply(change);
        if (asked->soon)
            end_change(change, NULL);
        else
            settle_change(change);
        return;
    }
    s->changing = true;
    s->claimed_name = change->name;
    s->wanted = &change->limits;
    keeper_ask(
        sandbox_keeper(s), WIRE_LIMITS,
        json_pack("{s:s, s:o}", "sandbox", s->id, "limits", sandbox_limits_told(&change->limits)),
        on_keeper_told, change);
}
