/* Connects, attaches, reads frames and writes them. Used by kernel.c.
 *
 * Invariant: the first frame on every connection is ATTACH, and a frame is queued whole or not at
 * all; what was partly written when a connection ended is dropped with it. */
#include "gateway/core/uplink.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define RETRY_FIRST_MS    1
#define RETRY_SLOWER      64 /* a host that starts is tried each millisecond for so long */
#define RETRY_LAST_MS     50
#define TURN_LIMIT_BYTES  (1024 * 1024) /* taken from one host before others have their turn */
#define FRAME_LIMIT_BYTES (768u * 1024 * 1024)

struct uplink {
    struct uplink_events events;
    void *user;
    char *path;
    uv_timer_t retry;
    uv_poll_t *poll; /* NULL while not connected; closed on its own */
    int fd;
    uint64_t retry_ms;
    unsigned tries; /* since it was attached */
    struct link_reader *reader;
    struct buffer out;
    size_t out_sent; /* bytes at the start of out that are written */
    int interest;    /* that poll was started with */
    bool attached, paused, closed;
};

static void on_poll(uv_poll_t *poll, int status, int events);
static void on_retry(uv_timer_t *timer);

static void set_interest(struct uplink *u)
{
    if (!u->poll)
        return;
    int wanted = (u->paused ? 0 : UV_READABLE) | (u->out.len > u->out_sent ? UV_WRITABLE : 0);
    if (wanted == u->interest)
        return; /* starting it again is a system call */
    u->interest = wanted;
    if (wanted)
        uv_poll_start(u->poll, wanted, on_poll);
    else
        uv_poll_stop(u->poll);
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

static void disconnect(struct uplink *u)
{
    if (!u->poll)
        return;
    uv_poll_stop(u->poll);
    u->interest = 0;
    uv_close((uv_handle_t *)u->poll, free_handle);
    u->poll = NULL;
    close(u->fd);
    u->fd = -1;
    u->attached = false;
    link_reader_free(u->reader);
    u->reader = NULL;
}

static void lose(struct uplink *u, const char *why)
{
    disconnect(u);
    buffer_clear(&u->out); /* its first frame may be half sent */
    u->out_sent = 0;
    uv_timer_start(&u->retry, on_retry, u->retry_ms, 0);
    u->events.on_lost(u->user, why);
}

/* Writes what is queued as far as the socket takes it. False: the connection is gone. */
static bool flush(struct uplink *u)
{
    while (u->out.len > u->out_sent) {
        ssize_t sent = send(u->fd, u->out.data + u->out_sent, u->out.len - u->out_sent,
                            MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (sent < 0)
            return false;
        u->out_sent += (size_t)sent;
    }
    if (u->out_sent > TURN_LIMIT_BYTES) {
        buffer_drop(&u->out, u->out_sent);
        u->out_sent = 0;
    }
    if (u->out_sent == u->out.len) {
        u->out_sent = 0;
        if (u->out.capacity > TURN_LIMIT_BYTES)
            buffer_free(&u->out);
        else
            buffer_clear(&u->out);
    }
    return true;
}

static void attach(struct uplink *u)
{
    struct buffer first = {0};
    const struct bytes json = bytes_of("{\"version\":1}");
    link_encode(&first, &(struct link_frame){.kind = LINK_ATTACH,
                                             .number = u->events.stored(u->user),
                                             .parts = &json,
                                             .part_count = 1});
    buffer_add_bytes(&first, buffer_view(&u->out));
    buffer_free(&u->out);
    u->out = first;
    u->out_sent = 0;
    u->reader = link_reader_new(FRAME_LIMIT_BYTES);
    flush(u); /* a failure shows when it is read */
    set_interest(u);
}

static bool try_connect(struct uplink *u)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, u->path, strlen(u->path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    int room = 1024 * 1024;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        return false;
    }
    uv_poll_t *poll = xmalloc(sizeof(*poll));
    if (uv_poll_init(u->retry.loop, poll, fd) != 0) {
        free(poll);
        close(fd);
        return false;
    }
    poll->data = u;
    u->poll = poll;
    u->fd = fd;
    return true;
}

static void on_retry(uv_timer_t *timer)
{
    struct uplink *u = timer->data;
    if (try_connect(u)) {
        attach(u);
        return;
    }
    if (++u->tries > RETRY_SLOWER)
        u->retry_ms = u->retry_ms * 2 < RETRY_LAST_MS ? u->retry_ms * 2 : RETRY_LAST_MS;
    uv_timer_start(&u->retry, on_retry, u->retry_ms, 0);
}

struct uplink *uplink_open(uv_loop_t *loop, const char *path, const struct uplink_events *events,
                           void *user)
{
    assert(strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path));
    struct uplink *u = xcalloc(1, sizeof(*u));
    u->events = *events;
    u->user = user;
    u->path = xstrdup(path);
    u->fd = -1;
    u->retry_ms = RETRY_FIRST_MS;
    uv_timer_init(loop, &u->retry);
    u->retry.data = u;
    uv_timer_start(&u->retry, on_retry, 0, 0);
    return u;
}

static void on_closed(uv_handle_t *handle)
{
    struct uplink *u = handle->data;
    buffer_free(&u->out);
    free(u->path);
    free(u);
}

void uplink_close(struct uplink *u)
{
    if (!u || u->closed)
        return;
    u->closed = true;
    disconnect(u);
    uv_close((uv_handle_t *)&u->retry, on_closed);
}

bool uplink_attached(const struct uplink *u)
{
    return u && u->attached;
}

bool uplink_connected(const struct uplink *u)
{
    return u && u->poll;
}

bool uplink_send(struct uplink *u, const struct link_frame *frame, struct err *e)
{
    if (u->out.len - u->out_sent > UPLINK_QUEUE_LIMIT_BYTES)
        return fail(e, 503, "the kernel does not take messages; it has %zu bytes waiting",
                    u->out.len - u->out_sent);
    link_encode(&u->out, frame);
    if (u->poll) {
        flush(u); /* a failure shows when it is read */
        set_interest(u);
    }
    return true;
}

void uplink_pause(struct uplink *u, bool paused)
{
    if (u->paused == paused)
        return;
    u->paused = paused;
    set_interest(u);
}

/* Gives all whole frames; false: the connection or the uplink is gone. */
static bool give_frames(struct uplink *u)
{
    struct link_frame frame;
    struct err e = {0};
    for (;;) {
        int got = link_reader_next(u->reader, &frame, &e);
        if (got == 0)
            return true;
        if (got < 0) {
            u->events.on_batch(u->user);
            if (!u->closed)
                lose(u, e.text);
            return false;
        }
        if (frame.kind == LINK_STATE) {
            u->attached = true;
            u->retry_ms = RETRY_FIRST_MS;
            u->tries = 0;
        }
        u->events.on_frame(u->user, &frame);
        if (u->closed || !u->poll)
            return false;
    }
}

static void take_frames(struct uplink *u)
{
    size_t taken = 0;
    const char *end = NULL;
    while (!end && taken < TURN_LIMIT_BYTES) {
        size_t room = 0;
        char *space = link_reader_space(u->reader, &room);
        ssize_t got = recv(u->fd, space, room, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (got <= 0) {
            end = got == 0 ? "end of file" : strerror(errno);
            break;
        }
        taken += (size_t)got;
        link_reader_filled(u->reader, (size_t)got);
        if (!give_frames(u))
            return;
        if ((size_t)got < room)
            break; /* a stream socket that gave less is empty; the poll tells of more */
    }
    u->events.on_batch(u->user);
    if (end && !u->closed && u->poll)
        lose(u, end);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct uplink *u = poll->data;
    if (status != 0)
        u->interest = 0; /* libuv has stopped it */
    if ((events & UV_WRITABLE) && status == 0) {
        flush(u);
        set_interest(u);
    }
    if (((events & UV_READABLE) || status != 0) && !u->paused)
        take_frames(u);
}
