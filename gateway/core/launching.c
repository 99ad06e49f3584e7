/* Invariant: a kernel that waits here has a listener and an uplink, and no host. It is saved
 * without a pid: a gateway that comes back starts its host. */
#include "gateway/core/launching.h"

#include "gateway/core/state.h"
#include "gateway/log.h"
#include "protocol/ids.h"

#define LOOK_MS 5 /* while sandboxes are being made */

static void start_first(struct core *c)
{
    struct kernel *k = c->launches;
    struct err e = {0};
    launching_remove(k);
    if (kernel_start_host(k, &e))
        return;
    log_error("a host could not be started", F_STR("kernel", k->id), F_STR("why", e.text));
    kernel_unprepare(k);
    if (k->pooled || k->handing) {
        struct pool *pool = pool_of(k);
        kernel_forget(k, 1011, e.text, false);
        pool_failed(pool);
        pool_refill(c);
        return;
    }
    kernel_answer_lost(k, e.text);
    kernel_die(k, "start", e.text);
}

static bool may_start(const struct core *c)
{
    return c->opens == 0 || monotonic_ms() - c->launches->launched_ms >= LAUNCH_LATEST_MS;
}

static void on_turn(uv_idle_t *idle);

static void on_timer(uv_timer_t *timer)
{
    struct core *c = timer->data;
    if (c->launches)
        uv_idle_start(&c->launch_turns, on_turn);
}

/* One in a turn of the loop: others have theirs. */
static void on_turn(uv_idle_t *idle)
{
    struct core *c = idle->data;
    if (c->launches && may_start(c)) {
        start_first(c);
        return;
    }
    uv_idle_stop(idle);
    if (c->launches)
        uv_timer_start(&c->launch_timer, on_timer, LOOK_MS, 0);
}

bool launching_add(struct kernel *k, struct err *e)
{
    struct core *c = k->core;
    struct kernel **end = &c->launches;
    if (!kernel_prepare(k, e))
        return false;
    while (*end)
        end = &(*end)->next_launch;
    *end = k;
    k->launched_ms = monotonic_ms();
    kernel_save(k);
    uv_idle_start(&c->launch_turns, on_turn);
    return true;
}

void launching_remove(struct kernel *k)
{
    for (struct kernel **at = &k->core->launches; *at; at = &(*at)->next_launch)
        if (*at == k) {
            *at = k->next_launch;
            k->next_launch = NULL;
            return;
        }
}

void launching_go(struct core *c)
{
    if (c->launches)
        uv_idle_start(&c->launch_turns, on_turn);
}

void launching_flush(struct core *c)
{
    while (c->launches)
        start_first(c);
}
