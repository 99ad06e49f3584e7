/* fork and exec. The host has threads (ZeroMQ's), so the child calls only async-signal-safe
 * functions between the two. An exec that fails is told through a pipe that closes itself when exec
 * succeeds. */
#include "kernel/host/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/bytes.h"

#define FD_ROOM 64 /* above what the child uses for itself */

extern char **environ;

/* The environment of the child: ours, with those of plan->env instead of ours. Memory in one block.
 */
static char **environment(const char *const *extra)
{
    size_t count = 0, extras = 0;
    while (environ[count])
        count++;
    while (extra && extra[extras])
        extras++;
    char **env = xcalloc(count + extras + 1, sizeof *env);
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        bool replaced = false;
        for (size_t j = 0; j < extras && !replaced; j++) {
            size_t name = strcspn(extra[j], "=") + 1;
            replaced = strncmp(environ[i], extra[j], name) == 0;
        }
        if (!replaced)
            env[used++] = environ[i];
    }
    for (size_t j = 0; j < extras; j++)
        env[used++] = (char *)extra[j];
    return env;
}

static void plain_signals(void)
{
    static const int changed[] = {SIGINT,  SIGTERM, SIGHUP,  SIGPIPE, SIGCHLD,
                                  SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM};
    for (size_t i = 0; i < countof(changed); i++)
        signal(changed[i], SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Moves fd out of the way of 0..4, so that dup2 into those cannot hit one still needed. */
static int out_of_the_way(int fd)
{
    return fd < 0 ? fd : fcntl(fd, F_DUPFD, FD_ROOM);
}

__attribute__((noreturn)) static void be_the_child(const struct spawn *plan, char **env,
                                                   int tell_fd)
{
    setsid();
    plain_signals();
    tell_fd = out_of_the_way(tell_fd);
    int in = out_of_the_way(open("/dev/null", O_RDONLY));
    int out = out_of_the_way(plan->stdout_fd);
    int err = out_of_the_way(plan->stderr_fd);
    int link = out_of_the_way(plan->link_fd);
    int pipes = link >= 0 ? out_of_the_way(plan->pipes_fd) : -1;
    int first_unused = SPAWN_LINK_FD;
    bool good = dup2(in, 0) >= 0 && dup2(out, 1) >= 0 && dup2(err, 2) >= 0;
    if (good && link >= 0)
        good = dup2(link, first_unused++) >= 0 && dup2(pipes, first_unused++) >= 0;
    good =
        good && dup2(tell_fd, first_unused) >= 0 && fcntl(first_unused, F_SETFD, FD_CLOEXEC) == 0;
    close_range((unsigned)first_unused + 1, ~0u, 0);
    if (good && plan->cwd && chdir(plan->cwd) != 0)
        good = false;
    if (good)
        execvpe(plan->argv[0], plan->argv, env);
    int cause = errno;
    ssize_t written = write(first_unused, &cause, sizeof cause);
    (void)written;
    _exit(127);
}

static int told_cause(int fd)
{
    int cause = 0;
    ssize_t got;
    while ((got = read(fd, &cause, sizeof cause)) < 0 && errno == EINTR)
        ;
    return got == sizeof cause ? cause : 0;
}

pid_t spawn_run(const struct spawn *plan, struct err *e)
{
    int tell[2];
    if (pipe2(tell, O_CLOEXEC) != 0) {
        fail_errno(e, 503, "cannot start %s", plan->argv[0]);
        return -1;
    }
    char **env = environment(plan->env);
    pid_t pid = fork();
    if (pid == 0)
        be_the_child(plan, env, tell[1]);
    int fork_cause = errno;
    free(env);
    close(tell[1]);
    int cause = pid < 0 ? fork_cause : told_cause(tell[0]);
    close(tell[0]);
    if (cause == 0)
        return pid;
    if (pid > 0)
        waitpid(pid, NULL, 0);
    fail(e, 503, "cannot start %s: %s", plan->argv[0], strerror(cause));
    return -1;
}
