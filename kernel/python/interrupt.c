/* See interrupt.h. The handler runs in any thread and at any instant: it uses a flag, an eventfd,
 * a timer and PyErr_SetInterruptEx, which are safe there. Invariant: the handler that acts is that
 * of the main thread, so that a blocking call of the main thread ends with EINTR.
 *
 * A signal that comes after Python has looked for signals and before it has entered a blocking call
 * would be seen only when that call ends, perhaps never. So the main thread is nudged a few times
 * more, by a signal that does nothing but end such a call; Python then looks again. */
#include "kernel/python/interrupt.h"

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NUDGES         4
#define NUDGE_FIRST_NS 1000000
#define NUDGE_EVERY_NS 10000000

static atomic_bool hearing;
static atomic_bool early; /* one came while it was not heard */
static pthread_t main_thread;
static int event_fd = -1;
static timer_t nudge_timer;
static atomic_bool has_timer;
static atomic_int nudges_left;

static void start_nudges(bool on)
{
    struct itimerspec when = {0};
    if (on) {
        when.it_value.tv_nsec = NUDGE_FIRST_NS;
        when.it_interval.tv_nsec = NUDGE_EVERY_NS;
        nudges_left = NUDGES;
    }
    if (has_timer)
        timer_settime(nudge_timer, 0, &when, NULL);
}

static int nudge_signal(void)
{
    return SIGRTMAX - 2;
}

static void on_nudge(int number)
{
    (void)number;
    int saved = errno;
    if (atomic_fetch_sub(&nudges_left, 1) <= 1)
        start_nudges(false);
    errno = saved;
}

/* Timers do not survive a fork, and belong to one thread. */
static void make_timer(void)
{
    struct sigaction nudge = {.sa_handler = on_nudge, .sa_flags = SA_ONSTACK};
    sigemptyset(&nudge.sa_mask);
    sigaction(nudge_signal(), &nudge, NULL);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = nudge_signal()};
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    has_timer = timer_create(CLOCK_MONOTONIC, &event, &nudge_timer) == 0;
}

static void on_sigint(int number)
{
    int saved = errno;
    if (!pthread_equal(pthread_self(), main_thread)) {
        pthread_kill(main_thread, number);
    } else if (hearing) {
        eventfd_write(event_fd, 1);
        PyErr_SetInterruptEx(number);
        start_nudges(true);
    } else {
        early = true;
    }
    errno = saved;
}

void interrupt_install(void)
{
    struct sigaction now;
    sigaction(SIGINT, NULL, &now);
    if (event_fd < 0 || now.sa_handler == on_sigint)
        return;
    struct sigaction ours = {.sa_handler = on_sigint, .sa_flags = SA_ONSTACK};
    sigemptyset(&ours.sa_mask);
    sigaction(SIGINT, &ours, NULL);
}

bool interrupt_init(void)
{
    main_thread = pthread_self();
    make_timer();
    if (event_fd >= 0) /* of the process that this one was forked from */
        close(event_fd);
    event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return event_fd >= 0;
}

bool interrupt_hear(bool on)
{
    if (on)
        interrupt_drain();
    if (atomic_exchange(&nudges_left, 0) > 0) /* what they were for is over */
        start_nudges(false);
    return atomic_exchange(&hearing, on);
}

bool interrupt_take_early(void)
{
    return atomic_exchange(&early, false);
}

int interrupt_fd(void)
{
    return event_fd;
}

void interrupt_drain(void)
{
    eventfd_t count;
    eventfd_read(event_fd, &count);
}

void interrupt_main(void)
{
    if (hearing)
        pthread_kill(main_thread, SIGINT);
}

bool interrupt_again(void)
{
    if (!hearing || !pthread_equal(pthread_self(), main_thread))
        return false;
    PyErr_SetInterruptEx(SIGINT);
    start_nudges(true);
    return true;
}

void interrupt_after_fork(void)
{
    main_thread = pthread_self();
    has_timer = false;
    early = false;
}
