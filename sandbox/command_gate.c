/* The gateway's end: one connection at a time, the one that it was started with or that of a
 * gateway that has come back. It is told that the log has grown, never what with: it reads the log.
 * While there is none the lease runs. */
#include "sandbox/command.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol/json.h"

static void on_lease(void *data)
{
    command_kill(data, END_KILLED, "no gateway came back within its lease");
}

static void lose(struct command *c)
{
    watch_close(take(&c->gate_watch));
    if (c->gate_fd >= 0)
        close(c->gate_fd);
    c->gate_fd = -1;
    timer_start(c->lease, (c->plan.lease_s > 0 ? c->plan.lease_s : 1) * 1000);
}

/* --- what it says */

static bool answer_stdin(struct command *c, struct wire_message *m, struct err *e)
{
    bool ends = false;
    if (!field_bool(m->body, "eof", OPTIONAL, &ends, e))
        return false;
    int fd = m->fd_count ? m->fds[0] : -1;
    if (m->fd_count)
        m->fds[0] = -1;
    return pipes_feed(c, fd, ends, e);
}

static bool answer_signal(struct command *c, struct wire_message *m, struct err *e)
{
    int64_t number = 0;
    return field_int(m->body, "signal", REQUIRED, 1, 64, &number, e) &&
           command_signal(c, (int)number, e);
}

static bool answer_kill(struct command *c, struct wire_message *m, struct err *e)
{
    (void)m;
    (void)e;
    command_kill(c, END_KILLED, "it was told to");
    return true;
}

static const struct {
    uint32_t kind;
    bool (*answer)(struct command *c, struct wire_message *m, struct err *e);
} rows[] = {
    {WIRE_COMMAND_STDIN, answer_stdin},
    {WIRE_COMMAND_SIGNAL, answer_signal},
    {WIRE_COMMAND_KILL, answer_kill},
};

static void answer(struct command *c, struct wire_message *m)
{
    struct err e, unsent;
    bool good = false;
    fail(&e, 400, "kind %u: is nothing that a command does", m->kind);
    for (size_t n = 0; n < countof(rows); n++)
        if (rows[n].kind == m->kind)
            good = rows[n].answer(c, m, &e);
    json_t *body = good ? NULL : json_pack("{s:i, s:s}", "status", e.status, "message", e.text);
    if (!wire_send(c->gate_fd, good ? WIRE_OK : WIRE_FAILED, m->number, body, NULL, 0, &unsent))
        lose(c);
}

/* Also as often as the socket has room again for news that could not be sent. */
static void tell_news(struct command *c)
{
    struct err e;
    if (c->gate_fd < 0 || !c->news)
        return;
    c->news = !wire_send(c->gate_fd, WIRE_COMMAND_NEWS, 0, NULL, NULL, 0, &e);
    watch_want(c->gate_watch, EPOLLIN | (c->news ? EPOLLOUT : 0));
}

static void on_gate(void *data, uint32_t events)
{
    struct command *c = data;
    (void)events;
    for (bool more = true; more && c->gate_fd >= 0;) {
        struct wire_message m;
        struct err e;
        int got = wire_receive(c->gate_fd, &m, &e);
        if (got > 0)
            answer(c, &m);
        else if (got < 0)
            lose(c);
        more = got > 0;
        wire_message_free(&m);
    }
}

static bool on_before_sleep(void *data)
{
    tell_news(data);
    return false;
}

/* --- who comes */

static void take_on(struct command *c, int fd)
{
    watch_close(take(&c->gate_watch));
    if (c->gate_fd >= 0)
        close(c->gate_fd);
    timer_stop(c->lease);
    c->gate_fd = fd;
    c->gate_watch = loop_watch(c->loop, fd, EPOLLIN, on_gate, c);
    c->news = true;
}

static void on_listening(void *data, uint32_t events)
{
    struct command *c = data;
    struct ucred peer;
    socklen_t len = sizeof peer;
    (void)events;
    int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.uid == geteuid())
        take_on(c, fd);
    else
        close(fd);
}

bool gate_open(struct command *c, struct err *e)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(c->socket) >= sizeof address.sun_path)
        return fail(e, 503, "the socket's path is longer than %zu bytes",
                    sizeof address.sun_path - 1);
    strcpy(address.sun_path, c->socket);
    unlink(c->socket);
    c->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->listen_fd < 0 ||
        bind(c->listen_fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        listen(c->listen_fd, 4) != 0)
        return fail_errno(e, 503, "cannot listen at %s", c->socket);
    c->listening = loop_watch(c->loop, c->listen_fd, EPOLLIN, on_listening, c);
    c->lease = loop_timer(c->loop, on_lease, c);
    loop_before_sleep(c->loop, on_before_sleep, c);
    int fd = c->gate_fd;
    c->gate_fd = -1;
    if (fd >= 0)
        take_on(c, fd);
    else
        lose(c);
    return true;
}

void gate_close(struct command *c)
{
    tell_news(c);
    watch_close(take(&c->listening));
    watch_close(take(&c->gate_watch));
    if (c->lease)
        timer_close(take(&c->lease));
    if (c->listen_fd >= 0) {
        unlink(c->socket);
        close(c->listen_fd);
    }
    if (c->gate_fd >= 0)
        close(c->gate_fd);
}
