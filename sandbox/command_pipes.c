/* What a command reads and writes. Both outputs go into one log in the order in which they were
 * read, each read of at most a record; reading never waits for a reader of the log, so a program is
 * never held up by one. */
#include "sandbox/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIPE_BYTES (256 * 1024)
#define CALM_MS    2           /* a pipe that had little is left alone for so long: */
#define CALM_BYTES (16 * 1024) /* so no program makes a record of each byte */

static bool make_pipe(int *ours, int *theirs, bool we_write, uid_t uid, struct err *e)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return fail_errno(e, 503, "the command cannot be given its pipes");
    *ours = ends[we_write];
    *theirs = ends[!we_write];
    fcntl(*ours, F_SETFL, O_NONBLOCK);
    fcntl(*ours, F_SETPIPE_SZ, PIPE_BYTES); /* fewer wake-ups; smaller does, too */
    /* so that it may open them again, as /dev/stdout */
    if (uid && fchown(*theirs, uid, uid) != 0)
        return fail_errno(e, 503, "the command cannot be given its pipes");
    return true;
}

bool pipes_make(struct command *c, uid_t uid, struct err *e)
{
    return make_pipe(&c->in, &c->theirs[0], true, uid, e) &&
           make_pipe(&c->out[0], &c->theirs[1], false, uid, e) &&
           make_pipe(&c->out[1], &c->theirs[2], false, uid, e);
}

void pipes_given(struct command *c)
{
    for (int n = 0; n < 3; n++) {
        if (c->theirs[n] >= 0)
            close(c->theirs[n]);
        c->theirs[n] = -1;
    }
}

/* --- what it writes */

static void timer_close_if(struct timer **timer)
{
    if (*timer)
        timer_close(take(timer));
}

static void close_output(struct command *c, int n)
{
    timer_close_if(&c->calm[n]);
    watch_close(take(&c->out_watch[n]));
    if (c->out[n] >= 0)
        close(c->out[n]);
    c->out[n] = -1;
}

/* What its limit still allows; a limit of 0 is none. */
static size_t room(const struct command *c)
{
    uint64_t written = c->log.bytes[0] + c->log.bytes[1];
    uint64_t limit = c->plan.output_bytes > 0 ? (uint64_t)c->plan.output_bytes : UINT64_MAX;
    uint64_t left = limit > written ? limit - written : 0;
    return left < RECORD_LIMIT_BYTES ? (size_t)left : RECORD_LIMIT_BYTES;
}

static void stop_at_limit(struct command *c)
{
    char reason[120];
    snprintf(reason, sizeof reason, "it wrote more than its limit of %lld bytes",
             (long long)c->plan.output_bytes);
    for (int n = 0; n < 2; n++) { /* the pipes stay open: no signal but the kill reaches it */
        timer_close_if(&c->calm[n]);
        watch_close(take(&c->out_watch[n]));
    }
    command_kill(c, END_OUTPUT, reason);
}

/* False: nothing is there now, or never again, or may be taken. */
static bool read_output(struct command *c, int n)
{
    static char piece[RECORD_LIMIT_BYTES];
    if (c->out[n] < 0 || c->end == END_OUTPUT)
        return false;
    ssize_t got = read(c->out[n], piece, sizeof piece);
    if (got < 0 && errno == EINTR)
        return true;
    if (got == 0 || (got < 0 && errno != EAGAIN))
        close_output(c, n);
    if (got <= 0)
        return false;
    size_t most = room(c);
    size_t kept = (size_t)got < most ? (size_t)got : most;
    if (kept)
        command_add(c, n == 0 ? RECORD_STDOUT : RECORD_STDERR, (struct bytes){piece, kept});
    if (kept == (size_t)got)
        return true;
    stop_at_limit(c);
    return false;
}

static void take_output(struct command *c, int n)
{
    uint64_t before = c->log.bytes[n];
    if (!read_output(c, n) || !c->calm[n] || c->log.bytes[n] - before >= CALM_BYTES)
        return;
    watch_want(c->out_watch[n], 0);
    timer_start(c->calm[n], CALM_MS);
}

static void on_stdout(void *data, uint32_t events)
{
    (void)events;
    take_output(data, 0);
}

static void on_stderr(void *data, uint32_t events)
{
    (void)events;
    take_output(data, 1);
}

static void on_stdout_calm(void *data)
{
    struct command *c = data;
    watch_want(c->out_watch[0], EPOLLIN);
}

static void on_stderr_calm(void *data)
{
    struct command *c = data;
    watch_want(c->out_watch[1], EPOLLIN);
}

void pipes_drain(struct command *c)
{
    for (int n = 0; n < 2; n++) {
        while (read_output(c, n))
            ;
        close_output(c, n);
    }
}

/* --- what it reads */

static void drop_piece(struct command *c)
{
    struct stdin_piece *piece = c->pieces;
    c->pieces = piece->next;
    c->piece_bytes -= piece->end - piece->at;
    close(piece->fd);
    free(piece);
}

static void close_input(struct command *c)
{
    watch_close(take(&c->in_watch));
    if (c->in >= 0)
        close(c->in);
    c->in = -1;
    while (c->pieces)
        drop_piece(c);
}

/* One write of what is next; false: the program has closed its end. */
static bool write_some(struct command *c)
{
    char text[RECORD_LIMIT_BYTES];
    struct stdin_piece *piece = c->pieces;
    int64_t left = piece->end - piece->at;
    size_t want = left < (int64_t)sizeof text ? (size_t)left : sizeof text;
    ssize_t got = pread(piece->fd, text, want, (off_t)piece->at);
    ssize_t wrote = got > 0 ? write(c->in, text, (size_t)got) : 0;
    if (wrote < 0)
        return errno == EAGAIN || errno == EINTR;
    piece->at += wrote;
    c->piece_bytes -= wrote;
    if (got <= 0 || piece->at == piece->end)
        drop_piece(c);
    return true;
}

static void on_stdin(void *data, uint32_t events)
{
    struct command *c = data;
    if (events & EPOLLERR || (c->pieces && !write_some(c))) {
        close_input(c);
        return;
    }
    if (c->pieces)
        return;
    if (c->in_ends)
        close_input(c);
    else
        watch_want(c->in_watch, 0);
}

bool pipes_feed(struct command *c, int fd, bool ends, struct err *e)
{
    struct stat found;
    if (c->in_ends || (c->phase >= COMMAND_RUNS && c->in < 0)) {
        if (fd >= 0)
            close(fd);
        return fail(e, 409, "stdin: is closed");
    }
    int64_t bytes = fd >= 0 && fstat(fd, &found) == 0 ? (int64_t)found.st_size : 0;
    if (bytes > STDIN_QUEUE_LIMIT_BYTES - c->piece_bytes) {
        close(fd);
        return fail(e, 503, "stdin: the command has not read %lld bytes yet, no more are taken",
                    (long long)c->piece_bytes);
    }
    c->in_ends = ends;
    struct stdin_piece **last = &c->pieces;
    while (*last)
        last = &(*last)->next;
    if (bytes > 0) {
        *last = xcalloc(1, sizeof **last);
        **last = (struct stdin_piece){.fd = fd, .end = bytes};
        c->piece_bytes += bytes;
    } else if (fd >= 0) {
        close(fd);
    }
    if (c->in_watch)
        watch_want(c->in_watch, EPOLLOUT);
    return true;
}

void pipes_begin(struct command *c)
{
    c->out_watch[0] = loop_watch(c->loop, c->out[0], EPOLLIN, on_stdout, c);
    c->out_watch[1] = loop_watch(c->loop, c->out[1], EPOLLIN, on_stderr, c);
    c->calm[0] = loop_timer(c->loop, on_stdout_calm, c);
    c->calm[1] = loop_timer(c->loop, on_stderr_calm, c);
    c->in_watch = loop_watch(c->loop, c->in, EPOLLOUT, on_stdin, c);
}

void pipes_close(struct command *c)
{
    pipes_given(c);
    close_input(c);
    close_output(c, 0);
    close_output(c, 1);
}
