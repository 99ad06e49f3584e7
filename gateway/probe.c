/* Starts the program and reads what it prints. Called at installation, where a second does not
 * matter and a clear word does. */
#include "gateway/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/place.h"
#include "protocol/ids.h"
#include "protocol/memory.h"

#define PROBE_S            30
#define ANSWER_LIMIT_BYTES 8192

extern char **environ;

char *probe_path(const char *name)
{
    char here[PATH_MAX];
    if (!strchr(name, '/'))
        return place_on_path(name);
    if (name[0] == '/' || !getcwd(here, sizeof here))
        return xstrdup(name);
    return xasprintf("%s/%s", here, name);
}

/* Starts it with its output in a pipe. Returns the reading end, or -1 with errno. */
static int start(char *const *argv, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    errno = posix_spawn(pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (errno == 0)
        return ends[0];
    close(ends[0]);
    return -1;
}

/* Reads until the end, the limit, or the deadline. */
static void read_answer(int fd, struct buffer *out)
{
    int64_t deadline = monotonic_ms() + PROBE_S * 1000;
    while (out->len < ANSWER_LIMIT_BYTES) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int64_t left = deadline - monotonic_ms();
        int ready = left > 0 ? poll(&wait, 1, (int)left) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return;
        ssize_t got = read(fd, buffer_reserve(out, 1024), 1024);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return;
        out->len += (size_t)got;
    }
}

bool probe_run(char *const *argv, struct buffer *out, struct err *e)
{
    pid_t pid;
    int fd = start(argv, &pid);
    if (fd < 0)
        return fail_errno(e, 400, "cannot run %s", argv[0]);
    read_answer(fd, out);
    close(fd);
    kill(pid, SIGKILL); /* harmless if it ended */
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return true;
}
