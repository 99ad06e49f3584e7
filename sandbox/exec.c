/* fork, join, confine, exec. The keeper has one thread, so that the child may do what it likes
 * between fork and exec; but it shares nothing with a user's code until exec has replaced its
 * memory: it is not dumpable, so that nobody in the namespaces it joins can read it. */
#include "sandbox/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/memory.h"
#include "sandbox/confine.h"
#include "sandbox/join.h"
#include "sandbox/priority.h"

#define FD_ROOM 64 /* above what the child uses for itself */

extern char **environ;

static void plain_signals(void)
{
    sigset_t none;
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL); /* fails for those that cannot be changed */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The plan's descriptors at 0, 1, 2 ..., control behind them, and nothing else. */
static bool arrange_fds(const struct exec_plan *plan, int *control)
{
    int moved[EXEC_FDS_MOST + 1];
    for (size_t n = 0; n < plan->fd_count; n++)
        moved[n] = fcntl(plan->fds[n], F_DUPFD, FD_ROOM);
    moved[plan->fd_count] = fcntl(*control, F_DUPFD, FD_ROOM);
    for (size_t n = 0; n <= plan->fd_count; n++)
        if (moved[n] < 0 || dup2(moved[n], (int)n) < 0)
            return false;
    *control = (int)plan->fd_count;
    fcntl(*control, F_SETFD, FD_CLOEXEC);
    return close_range((unsigned)*control + 1, ~0u, 0) == 0;
}

static void wait_for_go(int control)
{
    char go;
    ssize_t got;
    while ((got = read(control, &go, 1)) < 0 && errno == EINTR)
        ;
    if (got != 1)
        _exit(127); /* the keeper has gone, or thought better of it */
}

/* The step that failed, with errno. */
static const char *become(const struct exec_plan *plan, int *control)
{
    setsid();
    priority_restore();
    plain_signals();
    if (!arrange_fds(plan, control))
        return "its descriptors";
    wait_for_go(*control);
    /* the sandbox's own limits may have been changed while it waited, and hold for it then */
    if (plan->nofile && !confine_rlimit(RLIMIT_NOFILE, *plan->nofile))
        return "the limit of open files";
    const char *step = plan->confine ? plan->confine(plan->data) : NULL;
    if (step)
        return step;
    if (plan->cwd && chdir(plan->cwd) != 0)
        return "its working directory";
    umask(plan->umask);
    environ = (char **)plan->env;
    execvp(plan->argv[0], plan->argv);
    return "exec";
}

struct birth {
    const struct exec_plan *plan;
    int control;
};

static void be_the_child(void *data)
{
    const struct birth *birth = data;
    int control = birth->control;
    struct exec_failure failure = {0};
    const char *step = become(birth->plan, &control);
    failure.cause = errno;
    snprintf(failure.step, sizeof failure.step, "%s", step);
    ssize_t written = write(control, &failure, sizeof failure);
    (void)written;
    _exit(127);
}

pid_t exec_begin(const struct exec_plan *plan, int *control, struct err *e)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        fail_errno(e, 503, "cannot start %s", plan->argv[0]);
        return -1;
    }
    struct birth birth = {plan, pair[1]};
    pid_t pid = plan->namespaces ? join_fork(plan->namespaces, be_the_child, &birth, e) : fork();
    if (pid == 0)
        be_the_child(&birth);
    if (pid < 0 && !plan->namespaces)
        fail_errno(e, 503, "cannot start %s", plan->argv[0]);
    close(pair[1]);
    if (pid < 0)
        close(pair[0]);
    else
        *control = pair[0];
    return pid;
}

void exec_go(int control)
{
    ssize_t sent;
    while ((sent = send(control, "g", 1, MSG_NOSIGNAL)) < 0 && errno == EINTR)
        ;
}

bool exec_result(int control, const char *program, struct exec_failure *out, struct err *e)
{
    struct exec_failure failure;
    ssize_t got;
    while ((got = recv(control, &failure, sizeof failure, 0)) < 0 && errno == EINTR)
        ;
    if (got != sizeof failure)
        return true;
    failure.step[sizeof failure.step - 1] = '\0';
    if (out)
        *out = failure;
    return fail(e, 503, "cannot start %s: %s: %s", program, failure.step, strerror(failure.cause));
}
