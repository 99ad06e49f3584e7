/* Starting what stays outside. The keeper's descriptors and its environment do not go along: only
 * the socket, the three standard ones, and PATH. */
#include "sandbox/outsider.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONTROL_FD   3
#define OPTIONS_MOST 8

struct outsider {
    int control; /* the keeper's end; owned */
    int theirs;  /* owned; -1: it is where it belongs */
    char program[PATH_MAX];
};

static bool find(const char *name, const char *variable, char out[PATH_MAX], struct err *e)
{
    const char *given = getenv(variable);
    if (given)
        return snprintf(out, PATH_MAX, "%s", given) < PATH_MAX || fail(e, 503, "no %s", name);
    ssize_t len = readlink("/proc/self/exe", out, PATH_MAX - 1);
    out[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(out, '/');
    size_t room = slash ? PATH_MAX - (size_t)(slash + 1 - out) : 0;
    if (!slash || snprintf(slash + 1, room, "%s", name) >= (int)room)
        return fail(e, 503, "cannot find %s", name);
    return access(out, X_OK) == 0 || fail_errno(e, 503, "no %s", out);
}

struct outsider *outsider_new(const char *program, const char *variable, struct err *e)
{
    int ends[2];
    struct outsider *o = xcalloc(1, sizeof *o);
    if (!find(program, variable, o->program, e)) {
        free(o);
        return NULL;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        fail_errno(e, 503, "no socket for %s", program);
        free(o);
        return NULL;
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK); /* it may hang: the keeper may not */
    o->control = ends[0];
    o->theirs = ends[1];
    return o;
}

void outsider_keep(struct outsider *o)
{
    if (o->theirs >= 0)
        close(o->theirs);
    o->theirs = -1;
}

void outsider_free(struct outsider *o)
{
    if (!o)
        return;
    outsider_keep(o);
    close(o->control); /* it ends by that */
    free(o);
}

int outsider_fd(const struct outsider *o)
{
    return o->control;
}

/* In the child: CONTROL_FD is the socket, and there is no other but the three. */
static _Noreturn void become(const struct outsider *o, const char *const *options)
{
    const char *argv[OPTIONS_MOST + 4] = {o->program, "--control-fd", "3"};
    const char *path = getenv("PATH");
    scoped(string) char *variable = xasprintf("PATH=%s", path ? path : "/usr/bin:/bin");
    char *const environment[] = {variable, NULL};
    for (size_t n = 0; n < OPTIONS_MOST && options[n]; n++)
        argv[n + 3] = options[n];
    sigset_t empty;
    sigemptyset(&empty);
    sigprocmask(SIG_SETMASK, &empty, NULL);
    setsid();
    /* dup2 onto itself would leave the close-on-exec flag */
    int control = o->theirs == CONTROL_FD ? dup(o->theirs) : o->theirs;
    if (dup2(control, CONTROL_FD) == CONTROL_FD && close_range(CONTROL_FD + 1, ~0U, 0) == 0)
        execve(o->program, (char *const *)argv, environment);
    _exit(127);
}

bool outsider_start(struct outsider *o, const char *const *options, struct err *e)
{
    pid_t pid = fork();
    if (pid == 0)
        become(o, options);
    outsider_keep(o);
    return pid > 0 || fail_errno(e, 503, "cannot start %s", o->program);
}
