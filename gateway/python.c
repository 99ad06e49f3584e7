/* Starts the executable with a small script and reads what it prints. Called at installation, where
 * a second does not matter and a clear word does. */
#include "gateway/python.h"

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
#include "protocol/bytes.h"
#include "protocol/ids.h"

#define PROBE_S            30
#define ANSWER_LIMIT_BYTES 8192

extern char **environ;

static const char script[] = "import sys\n"
                             "print(sys.prefix)\n"
                             "print('%d.%d.%d' % sys.version_info[:3])\n"
                             "import IPython\n"
                             "print(IPython.__version__)\n";

/* "bin/python" -> "/here/bin/python"; a bare name is looked up on PATH. "" when there is none. */
static char *absolute(const char *name)
{
    char here[PATH_MAX];
    if (!strchr(name, '/'))
        return place_on_path(name);
    if (name[0] == '/' || !getcwd(here, sizeof here))
        return xstrdup(name);
    return xasprintf("%s/%s", here, name);
}

/* Starts it with its output in a pipe. Returns the reading end, or -1 with errno. */
static int start(const char *executable, pid_t *pid)
{
    char *argv[] = {(char *)executable, "-c", (char *)script, NULL};
    posix_spawn_file_actions_t actions;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    errno = posix_spawn(pid, executable, &actions, NULL, argv, environ);
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

static char *line_take(const char **text)
{
    size_t len = strcspn(*text, "\n");
    char *line = xstrndup(*text, len);
    *text += len + ((*text)[len] == '\n');
    return line;
}

static bool judge(struct python *p, const char *answer, struct err *e)
{
    p->prefix = line_take(&answer);
    p->version = line_take(&answer);
    scoped(string) char *ipython = line_take(&answer);
    if (strncmp(p->version, "3.", 2) != 0 || p->prefix[0] != '/')
        return fail(e, 400, "--python: %s does not run as a Python 3", p->executable);
    if (!*ipython)
        return fail(
            e, 400,
            "--python: %s cannot import IPython; install it with: %s -m pip install ipython",
            p->executable, p->executable);
    return true;
}

bool python_probe(const char *name, struct python *out, struct err *e)
{
    scoped(buffer) struct buffer answer = {0};
    pid_t pid;
    *out = (struct python){.executable = absolute(name)};
    if (!*out->executable)
        return fail(e, 400, "--python: there is no %s on PATH", name);
    int fd = start(out->executable, &pid);
    if (fd < 0)
        return fail_errno(e, 400, "--python: cannot run %s", out->executable);
    read_answer(fd, &answer);
    close(fd);
    kill(pid, SIGKILL); /* harmless if it ended */
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return judge(out, buffer_text(&answer), e);
}

void python_free(struct python *p)
{
    free(p->executable);
    free(p->prefix);
    free(p->version);
    *p = (struct python){0};
}
