/* Ends kernels that nobody has used for long; sandboxes are paused. Called every cull interval, and
 * for the limits of sandboxes every second. And says whether any is in use at all.
 * Source of the rules: jupyter_server MappingKernelManager (cull_idle_timeout, cull_connected,
 * cull_busy; metadata.cull_idle_timeout of a kernelspec). */
#include <stdio.h>

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

/* The longest that any of its contexts has; 0: never. */
static int64_t timeout_of_sandbox(const struct sandbox *s)
{
    int64_t longest = 0;
    for (const struct kernel *k = s->kernel; k; k = k->sibling) {
        int64_t timeout = timeout_of(k);
        if (timeout <= 0)
            return 0;
        longest = timeout > longest ? timeout : longest;
    }
    return longest;
}

static void cull_sandbox(struct sandbox *s)
{
    const struct settings_core *settings = &s->core->settings->core;
    const struct use_rules rules = {.readers = !settings->cull_connected,
                                    .ports = !settings->cull_connected,
                                    .runs = !settings->cull_busy};
    int64_t timeout = timeout_of_sandbox(s);
    if (timeout <= 0 || sandbox_idle_ms(s, rules) < timeout * 1000)
        return;
    scoped(string) char *reason = xasprintf("it was idle for %lld seconds", (long long)timeout);
    sandbox_pause_idle(s, reason);
}

/* What its maker said holds whoever looks on: clients of agents stay connected for good. */
static void pause_if_idle(struct sandbox *s)
{
    const struct use_rules rules = {.ports = true, .runs = true};
    if (!s->limits.idle_ms || sandbox_idle_ms(s, rules) < s->limits.idle_ms)
        return;
    scoped(string) char *reason = xasprintf("it was idle for its limit idle_s of %.16g seconds",
                                            (double)s->limits.idle_ms / 1000);
    sandbox_pause_idle(s, reason);
}

static void each_sandbox(struct core *c, void (*each)(struct sandbox *s))
{
    for (size_t i = c->sandbox_count; i-- > 0;)
        if (i < c->sandbox_count)
            each(c->sandboxes[i]);
}

void core_pause_idle(struct core *c)
{
    each_sandbox(c, pause_if_idle);
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
    each_sandbox(c, cull_sandbox);
    for (size_t i = c->kernel_count; i-- > 0;) {
        if (i >= c->kernel_count || c->kernels[i]->sandbox || !is_due(c->kernels[i], now))
            continue; /* what is in a sandbox goes with it, or as somebody deletes it */
        scoped(string) char *reason =
            xasprintf("the kernel was idle for %lld seconds", (long long)timeout_of(c->kernels[i]));
        kernel_stop(c->kernels[i], reason, NULL, NULL);
    }
}
