/* Ends kernels that nobody has used for long; sandboxes are paused. Called every cull interval. And
 * says whether any is in use at all.
 * Source of the rules: jupyter_server MappingKernelManager (cull_idle_timeout, cull_connected,
 * cull_busy; metadata.cull_idle_timeout of a kernelspec). */
#include <stdio.h>

#include "gateway/core/port.h"
#include "gateway/core/state.h"

static int64_t timeout_of(const struct kernel *k)
{
    json_t *own = json_object_get(json_object_get(k->spec, "metadata"), "cull_idle_timeout");
    if (json_is_integer(own))
        return json_integer_value(own);
    return k->core->settings->core.cull_idle_timeout_s;
}

static bool is_due(const struct kernel *k, time_t now)
{
    const struct settings_core *settings = &k->core->settings->core;
    int64_t timeout = timeout_of(k);
    if (timeout <= 0 || k->pooled || k->handing || k->ending || k->gone ||
        now - k->last_activity.tv_sec < timeout)
        return false;
    if (k->state == KERNEL_DEAD)
        return true;
    return (k->connections == 0 || settings->cull_connected) &&
           (k->state == KERNEL_IDLE || settings->cull_busy);
}

/* Nobody has used any of its contexts. One that is dead as a whole has nothing to save: where it
 * has snapshots it stays as it is, as one more would hide what the last of them holds. */
static bool all_due(const struct sandbox *s, time_t now)
{
    if (s->halted || s->moving || s->ending || !s->kernel ||
        (!contexts_live(s) && json_array_size(s->snapshots)) ||
        (ports_used(s) && !s->core->settings->core.cull_connected))
        return false;
    for (const struct kernel *k = s->kernel; k; k = k->sibling)
        if (!k->ending && !is_due(k, now))
            return false;
    return true;
}

static void cull_sandboxes(struct core *c, time_t now)
{
    for (size_t i = c->sandbox_count; i-- > 0;) {
        if (i >= c->sandbox_count || !all_due(c->sandboxes[i], now))
            continue;
        struct sandbox *s = c->sandboxes[i];
        scoped(string) char *reason =
            xasprintf("it was idle for %lld seconds", (long long)timeout_of(s->kernel));
        sandbox_pause_idle(s, reason);
    }
}

static bool sandbox_in_use(const struct sandbox *s)
{
    if (s->gone || s->pooled || (s->kernel && s->kernel->pooled))
        return false;
    return s->moving || s->opening || s->seeding || (!s->paused && contexts_live(s));
}

bool core_in_use(const struct core *c)
{
    for (size_t i = 0; i < c->sandbox_count; i++)
        if (sandbox_in_use(c->sandboxes[i]))
            return true;
    for (size_t i = 0; i < c->kernel_count; i++) {
        const struct kernel *k = c->kernels[i];
        if (!k->sandbox && !k->pooled && !k->gone && k->state != KERNEL_DEAD)
            return true;
    }
    return false;
}

void core_cull(struct core *c)
{
    time_t now = time(NULL);
    cull_sandboxes(c, now);
    for (size_t i = c->kernel_count; i-- > 0;) {
        if (i >= c->kernel_count || c->kernels[i]->sandbox || !is_due(c->kernels[i], now))
            continue; /* what is in a sandbox goes with it, or as somebody deletes it */
        scoped(string) char *reason =
            xasprintf("the kernel was idle for %lld seconds", (long long)timeout_of(c->kernels[i]));
        kernel_stop(c->kernels[i], reason, NULL, NULL);
    }
}
