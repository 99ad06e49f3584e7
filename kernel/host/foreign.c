/* Starts a foreign kernel and reads its pipes, so that it never waits on them. Its output proper
 * comes over ZeroMQ; what stands in the pipes is for a person who reads the log. */
#include "kernel/host/foreign.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/host/report.h"
#include "kernel/host/spawn.h"
#include "protocol/ids.h"
#include "protocol/utf8.h"

#define READ_BYTES       (64 * 1024)
#define READS_A_TURN     16
#define LINE_BYTES       400 /* longer lines are cut in the log */
#define LAST_WORDS_BYTES 1024
#define LINES_A_WINDOW   20
#define WINDOW_MS        10000

struct pipe {
    struct foreign *owner;
    int fd; /* -1: at its end */
    struct watch *watch;
    struct buffer line; /* the line that is not complete yet */
};

struct foreign {
    pid_t pid;
    bool ended;
    int wait_status;
    struct pipe pipes[2];
    struct buffer last_words;
    int64_t window_ms;
    unsigned lines, left_out;
};

static void log_line(struct foreign *f, struct bytes line)
{
    int64_t now = monotonic_ms();
    if (f->lines == 0 || now - f->window_ms >= WINDOW_MS) {
        if (f->left_out)
            report("%u more lines of the kernel were not logged", f->left_out);
        f->window_ms = now;
        f->lines = f->left_out = 0;
    }
    if (f->lines >= LINES_A_WINDOW) {
        f->left_out++;
        return;
    }
    f->lines++;
    struct buffer clean = {0};
    if (line.len > LINE_BYTES)
        line.len = LINE_BYTES;
    utf8_clean(&clean, line);
    for (size_t i = 0; i < clean.len; i++)
        if ((unsigned char)clean.data[i] < ' ')
            clean.data[i] = ' ';
    report("the kernel wrote: %s", buffer_text(&clean));
    buffer_free(&clean);
}

static void line_ended(struct pipe *p)
{
    struct foreign *f = p->owner;
    if (p->line.len)
        log_line(f, buffer_view(&p->line));
    buffer_clear(&p->line);
}

static void take_text(struct pipe *p, const char *text, size_t len)
{
    for (const char *end = text + len; text < end;) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t piece = newline ? (size_t)(newline - text) : (size_t)(end - text);
        if (p->line.len < LINE_BYTES)
            buffer_add(&p->line, text, piece);
        text += piece + (newline != NULL);
        if (newline)
            line_ended(p);
    }
}

static void remember(struct buffer *words, const char *text, size_t len)
{
    if (len > LAST_WORDS_BYTES) {
        text += len - LAST_WORDS_BYTES;
        len = LAST_WORDS_BYTES;
    }
    buffer_add(words, text, len);
    if (words->len > LAST_WORDS_BYTES)
        buffer_drop(words, words->len - LAST_WORDS_BYTES);
}

static void pipe_close(struct pipe *p)
{
    line_ended(p);
    watch_close(take(&p->watch));
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

static void read_pipe(struct pipe *p)
{
    char text[READ_BYTES];
    for (int i = 0; i < READS_A_TURN && p->fd >= 0; i++) {
        ssize_t got = read(p->fd, text, sizeof text);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0) {
            pipe_close(p);
            return;
        }
        if (p == &p->owner->pipes[1])
            remember(&p->owner->last_words, text, (size_t)got);
        take_text(p, text, (size_t)got);
    }
}

static void on_pipe(void *data, uint32_t events)
{
    (void)events;
    read_pipe(data);
}

static void pipe_open(struct foreign *f, struct pipe *p, struct loop *loop, int fd)
{
    fcntl(fd, F_SETFL, O_NONBLOCK);
    *p = (struct pipe){.owner = f, .fd = fd};
    p->watch = loop_watch(loop, fd, EPOLLIN, on_pipe, p);
}

static pid_t run(char *const *argv, int out_fd, int err_fd, struct err *e)
{
    char parent[40];
    snprintf(parent, sizeof parent, "JPY_PARENT_PID=%d", (int)getpid());
    const char *const env[] = {parent, NULL};
    struct spawn plan = {
        .argv = argv, .env = env, .stdout_fd = out_fd, .stderr_fd = err_fd, .link_fd = -1};
    return spawn_run(&plan, e);
}

struct foreign *foreign_start(struct loop *loop, char *const *argv, struct err *e)
{
    int out[2], err[2];
    if (pipe2(out, O_CLOEXEC) != 0) {
        fail_errno(e, 503, "cannot start the kernel");
        return NULL;
    }
    if (pipe2(err, O_CLOEXEC) != 0) {
        fail_errno(e, 503, "cannot start the kernel");
        close(out[0]);
        close(out[1]);
        return NULL;
    }
    pid_t pid = run(argv, out[1], err[1], e);
    close(out[1]);
    close(err[1]);
    if (pid < 0) {
        close(out[0]);
        close(err[0]);
        return NULL;
    }
    struct foreign *f = xcalloc(1, sizeof *f);
    f->pid = pid;
    pipe_open(f, &f->pipes[0], loop, out[0]);
    pipe_open(f, &f->pipes[1], loop, err[0]);
    return f;
}

void foreign_free(struct foreign *f)
{
    if (!f)
        return;
    foreign_signal(f, SIGKILL);
    for (size_t i = 0; i < countof(f->pipes); i++) {
        pipe_close(&f->pipes[i]);
        buffer_free(&f->pipes[i].line);
    }
    buffer_free(&f->last_words);
    free(f);
}

pid_t foreign_pid(const struct foreign *f)
{
    return f->pid;
}

void foreign_signal(struct foreign *f, int signo)
{
    /* Its group may not exist yet right after the fork; the process always does until it is reaped.
     */
    if (!f->ended && kill(-f->pid, signo) != 0)
        kill(f->pid, signo);
}

void foreign_reaped(struct foreign *f, int wait_status)
{
    f->ended = true;
    f->wait_status = wait_status;
    for (size_t i = 0; i < countof(f->pipes); i++) {
        read_pipe(&f->pipes[i]);
        pipe_close(&f->pipes[i]);
    }
}

bool foreign_ended(const struct foreign *f)
{
    return f->ended;
}

int foreign_status(const struct foreign *f)
{
    return f->wait_status;
}

char *foreign_end_text(int wait_status)
{
    if (!WIFSIGNALED(wait_status))
        return xasprintf("the kernel ended with status %d", WEXITSTATUS(wait_status));
    const char *name = sigabbrev_np(WTERMSIG(wait_status));
    return xasprintf("the kernel was killed by signal %d (SIG%s)", WTERMSIG(wait_status),
                     name ? name : "?");
}

char *foreign_last_words(const struct foreign *f)
{
    struct bytes words = buffer_view(&f->last_words);
    const char *newline =
        words.len == LAST_WORDS_BYTES ? memchr(words.data, '\n', words.len) : NULL;
    if (newline) /* the first line was cut */
        words = (struct bytes){newline + 1, words.len - (size_t)(newline + 1 - words.data)};
    while (words.len && strchr(" \r\n", words.data[words.len - 1]))
        words.len--;
    struct buffer clean = {0};
    utf8_clean(&clean, words);
    return buffer_take(&clean, &(size_t){0});
}
