/* The event loop of the keeper and of the hosts, over epoll. Level-triggered.
 *
 * Closing a watch or a timer marks it; the memory goes at the end of the turn, so that a callback
 * may close any of them, its own included. */
#include "sandbox/loop.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "protocol/ids.h"

#define EVENTS_A_TURN 32
#define HOOKS_LIMIT   8

struct watch {
    struct loop *loop;
    struct watch *next_dead;
    int fd;
    uint32_t events;
    bool dead;
    void (*on_ready)(void *data, uint32_t events);
    void *data;
};

struct timer {
    struct timer *next;
    int64_t due_ms; /* -1: not running */
    bool dead;
    void (*on_due)(void *data);
    void *data;
};

struct loop {
    int epoll_fd;
    bool stopping;
    int status;
    struct watch *dead;
    struct timer *timers;
    int signal_fd; /* -1: none are watched */
    struct watch *signals;
    void (*on_signal)(void *data, int number);
    void *signal_data;
    size_t hook_count;
    struct {
        bool (*call)(void *data);
        void *data;
    } hooks[HOOKS_LIMIT];
};

struct loop *loop_new(void)
{
    struct loop *loop = xcalloc(1, sizeof *loop);
    loop->signal_fd = -1;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        perror("epoll_create1");
        abort();
    }
    return loop;
}

static void bury(struct loop *loop)
{
    while (loop->dead) {
        struct watch *watch = loop->dead;
        loop->dead = watch->next_dead;
        free(watch);
    }
    for (struct timer **at = &loop->timers; *at;) {
        struct timer *timer = *at;
        if (!timer->dead) {
            at = &timer->next;
            continue;
        }
        *at = timer->next;
        free(timer);
    }
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    watch_close(loop->signals);
    bury(loop);
    assert(!loop->timers);
    if (loop->signal_fd >= 0)
        close(loop->signal_fd);
    close(loop->epoll_fd);
    free(loop);
}

void loop_stop(struct loop *loop, int status)
{
    if (!loop->stopping)
        loop->status = status;
    loop->stopping = true;
}

struct watch *loop_watch(struct loop *loop, int fd, uint32_t events,
                         void (*on_ready)(void *data, uint32_t events), void *data)
{
    struct watch *watch = xcalloc(1, sizeof *watch);
    *watch = (struct watch){.loop = loop, .fd = fd, .on_ready = on_ready, .data = data};
    watch_want(watch, events);
    return watch;
}

void watch_want(struct watch *watch, uint32_t events)
{
    if (watch->dead || watch->events == events)
        return;
    int op = watch->events == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    struct epoll_event event = {.events = events, .data.ptr = watch};
    if (epoll_ctl(watch->loop->epoll_fd, op, watch->fd, &event) < 0) {
        perror("epoll_ctl");
        abort();
    }
    watch->events = events;
}

void watch_close(struct watch *watch)
{
    if (!watch || watch->dead)
        return;
    watch_want(watch, 0);
    watch->dead = true;
    watch->next_dead = watch->loop->dead;
    watch->loop->dead = watch;
}

struct timer *loop_timer(struct loop *loop, void (*on_due)(void *data), void *data)
{
    struct timer *timer = xcalloc(1, sizeof *timer);
    *timer = (struct timer){.due_ms = -1, .on_due = on_due, .data = data, .next = loop->timers};
    loop->timers = timer;
    return timer;
}

void timer_start(struct timer *timer, int64_t after_ms)
{
    timer->due_ms = monotonic_ms() + after_ms;
}

void timer_stop(struct timer *timer)
{
    timer->due_ms = -1;
}

bool timer_running(const struct timer *timer)
{
    return timer->due_ms >= 0;
}

void timer_close(struct timer *timer)
{
    if (!timer)
        return;
    timer->due_ms = -1;
    timer->dead = true;
}

static void on_signals(void *data, uint32_t events)
{
    struct loop *loop = data;
    struct signalfd_siginfo info;
    (void)events;
    while (read(loop->signal_fd, &info, sizeof info) == sizeof info)
        loop->on_signal(loop->signal_data, (int)info.ssi_signo);
}

void loop_signals(struct loop *loop, void (*on_signal)(void *data, int number), void *data)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    loop->on_signal = on_signal;
    loop->signal_data = data;
    loop->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    loop->signals = loop_watch(loop, loop->signal_fd, EPOLLIN, on_signals, loop);
}

void loop_before_sleep(struct loop *loop, bool (*hook)(void *data), void *data)
{
    assert(loop->hook_count < HOOKS_LIMIT);
    loop->hooks[loop->hook_count].call = hook;
    loop->hooks[loop->hook_count++].data = data;
}

static bool more_to_do(struct loop *loop)
{
    bool more = false;
    for (size_t i = 0; i < loop->hook_count; i++)
        more |= loop->hooks[i].call(loop->hooks[i].data);
    return more;
}

/* Milliseconds to the next timer, -1: none. */
static int sleep_ms(const struct loop *loop)
{
    int64_t due = -1;
    for (const struct timer *timer = loop->timers; timer; timer = timer->next)
        if (timer->due_ms >= 0 && (due < 0 || timer->due_ms < due))
            due = timer->due_ms;
    if (due < 0)
        return -1;
    int64_t left = due - monotonic_ms();
    return left < 0 ? 0 : left > 3600 * 1000 ? 3600 * 1000 : (int)left;
}

static void run_timers(struct loop *loop)
{
    int64_t now = monotonic_ms();
    for (struct timer *timer = loop->timers; timer; timer = timer->next) {
        if (timer->dead || timer->due_ms < 0 || timer->due_ms > now)
            continue;
        timer->due_ms = -1;
        timer->on_due(timer->data);
    }
}

int loop_run(struct loop *loop)
{
    struct epoll_event events[EVENTS_A_TURN];
    while (!loop->stopping) {
        int wait_ms = more_to_do(loop) ? 0 : sleep_ms(loop);
        if (loop->stopping)
            break;
        int count = epoll_wait(loop->epoll_fd, events, EVENTS_A_TURN, wait_ms);
        for (int i = 0; i < count; i++) {
            struct watch *watch = events[i].data.ptr;
            if (!watch->dead && watch->events)
                watch->on_ready(watch->data, events[i].events);
        }
        run_timers(loop);
        bury(loop);
    }
    return loop->status;
}
