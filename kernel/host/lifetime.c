/* The idle and life limits of a kernel. Nothing is done for a cell but to note when it ended: the
 * timer looks at that when it is due, and is set again for what is left. */
#include "kernel/host/lifetime.h"

#include "kernel/host/kernel.h"

static bool works(const struct kernel *k)
{
    return k->running || k->queue.first;
}

/* Milliseconds until a limit that began at `since` is over; beyond any limit when there is none. */
static int64_t left_ms(int64_t limit_ms, int64_t since, int64_t now)
{
    return limit_ms ? since + limit_ms - now : INT64_MAX;
}

static void end(struct kernel *k, enum cause cause, const char *why, int64_t limit_ms)
{
    char limit[SECONDS_TEXT];
    seconds_text(limit_ms, limit);
    scoped(string) char *reason = xasprintf("%s %s", why, limit);
    kernel_orderly_end(k, cause, reason);
}

static void on_due(void *data)
{
    struct kernel *k = data;
    int64_t now = monotonic_ms();
    if (works(k))
        k->lifetime.worked_ms = now;
    int64_t life = left_ms(k->limits.life_ms, k->lifetime.born_ms, now);
    int64_t idle = left_ms(k->limits.idle_ms, k->lifetime.worked_ms, now);
    if (life <= 0)
        end(k, CAUSE_LIFE, "the kernel has lived for its limit of", k->limits.life_ms);
    else if (idle <= 0)
        end(k, CAUSE_IDLE, "the kernel was idle for its limit of", k->limits.idle_ms);
    else
        timer_start(k->lifetime.timer, life < idle ? life : idle);
}

void lifetime_begin(struct kernel *k)
{
    k->lifetime.born_ms = k->lifetime.worked_ms = monotonic_ms();
    if (!k->limits.life_ms && !k->limits.idle_ms) {
        if (k->lifetime.timer)
            timer_stop(k->lifetime.timer);
        return;
    }
    if (!k->lifetime.timer)
        k->lifetime.timer = loop_timer(k->loop, on_due, k);
    on_due(k);
}

void lifetime_worked(struct kernel *k)
{
    if (k->limits.idle_ms)
        k->lifetime.worked_ms = monotonic_ms();
}

void lifetime_close(struct kernel *k)
{
    timer_close(k->lifetime.timer);
}
