/* See use.h. Asked by cull.c every second.
 *
 * Invariant: a use is in the list of its sandbox until it is freed or the sandbox is. */
#include "gateway/core/use.h"

#include "gateway/core/command_run.h"
#include "gateway/core/port.h"
#include "gateway/core/state.h"

struct sandbox_use {
    struct sandbox *sandbox; /* borrowed; NULL: it has gone */
    struct sandbox_use *next, **at;
};

void sandbox_touch(struct sandbox *s)
{
    s->used_ms = monotonic_ms();
}

struct sandbox_use *sandbox_use_new(struct sandbox *s)
{
    struct sandbox_use *u = xmalloc(sizeof *u);
    *u = (struct sandbox_use){s, s->uses, &s->uses};
    if (u->next)
        u->next->at = &u->next;
    s->uses = u;
    sandbox_touch(s);
    return u;
}

void sandbox_use_free(void *use)
{
    struct sandbox_use *u = use;
    if (!u)
        return;
    if (u->sandbox) {
        *u->at = u->next;
        if (u->next)
            u->next->at = u->at;
        sandbox_touch(u->sandbox);
    }
    free(u);
}

void sandbox_uses_forget(struct sandbox *s)
{
    for (struct sandbox_use *u = s->uses; u; u = u->next)
        u->sandbox = NULL;
    s->uses = NULL;
}

/* Its state alone would not do: of several subshells one may be done, and what was sent may not be
 * running yet. */
static bool runs(const struct kernel *k)
{
    return k->state != KERNEL_IDLE || k->executions ||
           requests_awaited(&k->requests, "execute_request");
}

static bool context_used(const struct kernel *k, struct use_rules rules)
{
    if (k->pooled || k->handing)
        return true;
    if (k->state == KERNEL_DEAD || k->ending || k->gone)
        return false;
    return (rules.readers && k->connections > 0) || (rules.runs && runs(k));
}

static bool works(const struct sandbox *s)
{
    return s->opened || s->seeding || s->changing || s->moving || s->halted || s->ending ||
           s->gone || s->packages || s->uses;
}

/* It is dead as a whole, and one more snapshot would hide what its last one holds. */
static bool stays_failed(const struct sandbox *s)
{
    return !contexts_live(s) && json_array_size(s->snapshots);
}

int64_t sandbox_idle_ms(const struct sandbox *s, struct use_rules rules)
{
    if (!s->kernel || stays_failed(s) || works(s) || (rules.runs && command_runs_count(s) > 0) ||
        (rules.ports && ports_used(s)))
        return -1;
    for (const struct kernel *k = s->kernel; k; k = k->sibling)
        if (context_used(k, rules))
            return -1;
    return monotonic_ms() - s->used_ms;
}
