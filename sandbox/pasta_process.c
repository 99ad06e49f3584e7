/* pasta stays in the foreground, as our child, and says that it is ready by writing its pid file,
 * which is a pipe. The options are those that the version of 2023 and later ones have in common. */
#include "sandbox/pasta_process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/ids.h"
#include "protocol/memory.h"
#include "sandbox/way.h"

#define READY_MOST_MS 3000
#define WORDS_MOST    48
#define TEXT_BYTES    300

struct command {
    const char *argv[WORDS_MOST];
    char user[40], net[40];
};

static void add(struct command *c, size_t *n, const char *option, const char *value)
{
    c->argv[(*n)++] = option;
    if (value)
        c->argv[(*n)++] = value;
}

/* No port is forwarded in either direction, and nothing but what the sandbox asks for is sent. */
static void write_command(struct command *c, const char *program, pid_t guide,
                          const struct outside *o)
{
    static const char *const always[] = {"--foreground", "--quiet",     "--no-netns-quit",
                                         "--no-dhcp",    "--no-dhcpv6", "--no-ra",
                                         "-t",           "none",        "-u",
                                         "none",         "-T",          "none",
                                         "-U",           "none",        "--search",
                                         "none",         "-I",          WAY_TAP,
                                         "--pid",        "/dev/fd/1",   "--no-map-gw"};
    size_t n = 0;
    *c = (struct command){0};
    snprintf(c->user, sizeof c->user, "/proc/%d/ns/user", (int)guide);
    snprintf(c->net, sizeof c->net, "/proc/%d/ns/net", (int)guide);
    add(c, &n, program, NULL);
    for (size_t i = 0; i < countof(always); i++)
        add(c, &n, always[i], NULL);
    add(c, &n, "--userns", c->user);
    add(c, &n, "--netns", c->net);
    if (!o->v4 || !o->v6)
        add(c, &n, o->v4 ? "-4" : "-6", NULL);
    if (o->v4) {
        add(c, &n, "-a", WAY_INSIDE);
        add(c, &n, "-n", "29");
        add(c, &n, "-g", WAY_GATEWAY);
    }
    /* It reads resolv.conf itself: one on loopback that is named here the version of 2023 refuses
     */
    if (o->v4 && *o->resolver4)
        add(c, &n, "--dns-forward", WAY_RESOLVER);
    if (o->v6 && *o->resolver6)
        add(c, &n, "--dns-forward", WAY_RESOLVER6);
}

static _Noreturn void become(const struct command *c, int out_fd, int err_fd)
{
    static char *const none[] = {NULL};
    int null = open("/dev/null", O_RDWR);
    sigset_t empty;
    sigemptyset(&empty);
    sigprocmask(SIG_SETMASK, &empty, NULL);
    signal(SIGPIPE, SIG_DFL); /* the version of 2023 takes an ignored one for an error */
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out_fd, STDOUT_FILENO) < 0 ||
        dup2(err_fd, STDERR_FILENO) < 0 || chdir("/") != 0 ||
        close_range(STDERR_FILENO + 1, ~0U, 0) != 0)
        _exit(127);
    execve(c->argv[0], (char *const *)c->argv, none);
    _exit(127);
}

/* The last line that is pasta's own: it complains about an absent system log, too. */
static void last_words(int fd, char *text, size_t room)
{
    char all[4096];
    ssize_t len = read(fd, all, sizeof all - 1); /* never blocks: see O_NONBLOCK */
    all[len > 0 ? len : 0] = '\0';
    text[0] = '\0';
    char *rest = all, *line;
    while ((line = strsep(&rest, "\n")))
        if (*line && !strstr(line, "to syslog"))
            snprintf(text, room, "%s", line);
}

static bool is_ready(int fd)
{
    int64_t due_ms = monotonic_ms() + READY_MOST_MS, left_ms;
    while ((left_ms = due_ms - monotonic_ms()) > 0) {
        char text[32];
        struct pollfd ready = {fd, POLLIN, 0};
        if (poll(&ready, 1, (int)left_ms) <= 0)
            continue;
        ssize_t got = read(fd, text, sizeof text);
        if (got < 0 && errno == EINTR)
            continue;
        return got > 0;
    }
    return false;
}

bool pasta_process_start(struct pasta_process *p, const char *program, pid_t guide,
                         const struct outside *o, struct err *e)
{
    struct command command;
    int out[2], err[2];
    char text[TEXT_BYTES];
    write_command(&command, program, guide, o);
    if (pipe2(out, O_CLOEXEC) != 0)
        return fail_errno(e, 503, "network: no pipe for pasta");
    if (pipe2(err, O_CLOEXEC | O_NONBLOCK) != 0) { /* full: what it says more is lost */
        fail_errno(e, 503, "network: no pipe for pasta");
        close(out[0]);
        close(out[1]);
        return false;
    }
    p->pid = fork();
    if (p->pid == 0)
        become(&command, out[1], err[1]);
    close(out[1]);
    close(err[1]);
    p->err_fd = err[0];
    bool ready = p->pid > 0 && is_ready(out[0]);
    close(out[0]);
    last_words(err[0], text, sizeof text);
    if (ready)
        return true; /* what it complained about at its start did not hinder it */
    pasta_process_kill(p);
    return fail(e, 503, "network: pasta did not start: %s", *text ? text : "it gave no reason");
}

void pasta_process_kill(struct pasta_process *p)
{
    if (p->pid > 0) {
        kill(p->pid, SIGKILL);
        while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (p->err_fd >= 0)
        close(p->err_fd);
    *p = (struct pasta_process){.pid = -1, .err_fd = -1};
}

void pasta_process_bury(struct pasta_process *p, char *text, size_t room)
{
    last_words(p->err_fd, text, room);
    p->pid = -1;
    pasta_process_kill(p);
}
