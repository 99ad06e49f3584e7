/* A look once a second: exact to that, and free of words from everything that uses the gateway. */
#include "gateway/idle.h"

#include "protocol/ids.h"

#define LOOK_MS 1000

static void on_look(uv_timer_t *timer)
{
    struct idle *i = timer->data;
    int64_t now = monotonic_ms();
    uint64_t uses = i->words->uses(i->user);
    if (uses != i->uses || i->words->in_use(i->user)) {
        i->uses = uses;
        i->last_use_ms = now;
        return;
    }
    if (now - i->last_use_ms >= i->idle_ms)
        i->words->on_idle(i->user);
}

void idle_watch(struct idle *i, uv_loop_t *loop, int64_t idle_s, const struct idle_words *words,
                void *user)
{
    *i = (struct idle){.words = words, .user = user, .idle_ms = idle_s * 1000};
    i->last_use_ms = monotonic_ms();
    uv_timer_init(loop, &i->timer);
    i->timer.data = i;
    uv_timer_start(&i->timer, on_look, LOOK_MS, LOOK_MS);
}

void idle_close(struct idle *i)
{
    if (i->timer.data)
        uv_close((uv_handle_t *)&i->timer, NULL);
    i->timer.data = NULL;
}
