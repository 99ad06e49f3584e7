/* See interrupt.h. The handler runs in any thread and at any instant: it uses a flag, an eventfd
 * and PyErr_SetInterruptEx, which are safe there. Invariant: the handler that acts is that of the
 * main thread, so that a blocking call of the main thread ends with EINTR. */
#include "kernel/python/interrupt.h"

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

static atomic_bool hearing;
static pthread_t main_thread;
static int event_fd = -1;

static void on_sigint(int number)
{
    int saved = errno;
    if (!pthread_equal(pthread_self(), main_thread)) {
        pthread_kill(main_thread, number);
    } else if (hearing) {
        eventfd_write(event_fd, 1);
        PyErr_SetInterruptEx(number);
    }
    errno = saved;
}

void interrupt_install(void)
{
    struct sigaction now;
    sigaction(SIGINT, NULL, &now);
    if (now.sa_handler == on_sigint)
        return;
    struct sigaction ours = {.sa_handler = on_sigint, .sa_flags = SA_ONSTACK};
    sigemptyset(&ours.sa_mask);
    sigaction(SIGINT, &ours, NULL);
}

bool interrupt_init(void)
{
    main_thread = pthread_self();
    event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return event_fd >= 0;
}

bool interrupt_hear(bool on)
{
    if (on)
        interrupt_drain();
    return atomic_exchange(&hearing, on);
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

void interrupt_after_fork(void)
{
    main_thread = pthread_self();
}
