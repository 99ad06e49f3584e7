/* Sockets are written to with MSG_NOSIGNAL, so the signal speaks of stdout and stderr alone, also
 * where stdio wrote and forgot why that failed. */
#include "gateway/cli/broken_pipe.h"

#include <signal.h>
#include <unistd.h>

#define STATUS_OF_SIGPIPE (128 + SIGPIPE) /* as shells tell it */

static volatile sig_atomic_t seen;

static void on_pipe(int number)
{
    (void)number;
    seen = 1;
}

void broken_pipe_watch(void)
{
    struct sigaction action = {.sa_handler = on_pipe, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGPIPE, &action, NULL);
}

bool broken_pipe_seen(void)
{
    return seen;
}

_Noreturn void broken_pipe_die(void)
{
    sigset_t set;
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    raise(SIGPIPE);
    _exit(STATUS_OF_SIGPIPE);
}
