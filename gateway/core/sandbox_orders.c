/* Orders to a sandbox as a whole: all its contexts interrupted, or begun anew.
 *
 * Invariant: an order's done is called when every context has answered; the sandbox is held until
 * then. */
#include <signal.h>

#include "gateway/core/command_run.h"
#include "gateway/core/state.h"

struct order {
    struct sandbox *s;
    size_t awaited;
    struct err why; /* of the first that could not; status 0: all could */
    void (*done)(void *user, const struct err *e);
    void *user;
};

/* Not inlined: gcc 12 takes any answer for the last one and warns of what follows. */
__attribute__((noinline)) static void on_answer(void *user, const struct err *e)
{
    struct order *order = user;
    if (e && !order->why.status)
        order->why = *e;
    if (--order->awaited > 0)
        return;
    order->done(order->user, order->why.status ? &order->why : NULL);
    sandbox_let_go(order->s);
    free(order);
}

static struct order *order_new(struct sandbox *s, void (*done)(void *user, const struct err *e),
                               void *user)
{
    struct order *order = xcalloc(1, sizeof(*order));
    *order = (struct order){.s = s, .awaited = 1, .done = done, .user = user};
    sandbox_hold(s);
    return order;
}

static void to_each_context(struct order *order,
                            void (*say)(struct kernel *k,
                                        void (*done)(void *user, const struct err *e), void *user))
{
    for (struct kernel *k = order->s->kernel, *next; k; k = next) {
        next = k->sibling;
        if (k->ending || k->gone || k->handing)
            continue;
        order->awaited++;
        say(k, on_answer, order);
    }
}

/* One that is dead has nothing to be interrupted. */
static void interrupt(struct kernel *k, void (*done)(void *user, const struct err *e), void *user)
{
    if (k->state == KERNEL_DEAD)
        done(user, NULL);
    else
        kernel_interrupt(k, done, user);
}

void sandbox_interrupt(struct sandbox *s, void (*done)(void *user, const struct err *e), void *user)
{
    struct order *order = order_new(s, done, user);
    to_each_context(order, interrupt);
    on_answer(order, NULL);
}

/* A command that ended meanwhile is what was wanted. */
static void on_killed(void *user, const struct err *e)
{
    (void)e;
    on_answer(user, NULL);
}

static void kill_one(void *user, struct command_run *r)
{
    struct order *order = user;
    if (run_log_end(command_run_log(r)))
        return;
    order->awaited++;
    command_run_signal(r, SIGKILL, on_killed, order);
}

void sandbox_restart(struct sandbox *s, void (*done)(void *user, const struct err *e), void *user)
{
    struct order *order = order_new(s, done, user);
    command_runs_each(s, kill_one, order);
    to_each_context(order, kernel_restart);
    on_answer(order, NULL);
}
