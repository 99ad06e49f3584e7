/* A libuv stream with at most one write under way. Plain bytes go straight from the caller's memory
 * to the socket; under TLS they pass through `cipher` in pieces of TLS_PIECE_BYTES, so a big write
 * never doubles in memory. Invariant: `pending` is true exactly while libuv holds `request`, or
 * until on_written was called for a write that stream_write did not finish. */
#include "gateway/net/stream.h"

#include <assert.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct stream {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    const struct stream_events *events;
    void *user;
    struct tls_session *tls; /* owned; NULL: plain */
    uv_write_t request;
    bool pending; /* the user waits for on_written */
    bool writing; /* libuv holds request */
    bool reading;
    bool ended;           /* on_end was called */
    bool broken;          /* and told that nothing can be written either; this may come second */
    struct buffer cipher; /* TLS: what is being sent */
    size_t cipher_sent;
    int64_t given_bytes; /* to libuv, ever */
    struct {
        int64_t given_bytes, taken_bytes; /* when stream_is_lost last found news of the peer */
        int64_t since_ms;                 /* and when that was; 0: nothing was on its way */
    } heard;
    uv_buf_t
        rest[WEBSOCKET_BUFFERS]; /* TLS: plain text not yet encrypted; borrowed from the user */
    unsigned rest_count;
};

static void on_uv_write(uv_write_t *request, int status);
static bool tls_push(struct stream *s);

static void end(struct stream *s, bool broken)
{
    if (uv_is_closing(&s->uv.handle) || s->broken || (s->ended && !broken))
        return;
    s->ended = true;
    s->broken = broken;
    s->events->on_end(s->user, broken);
}

/* Keepalive asks a peer that was sent nothing; what was sent and is not acknowledged TCP repeats
 * for some 15 minutes, and stream_is_lost is for that. TCP_USER_TIMEOUT is not for us: Linux 6.18
 * ends by it a connection whose peer takes a little now and then, because its window never has room
 * for a whole segment. */
static void set_tcp_options(uv_tcp_t *tcp)
{
    uv_os_fd_t fd;
    int interval = TCP_PROBE_S, count = TCP_PROBES;
    uv_tcp_nodelay(tcp, 1);
    uv_tcp_keepalive(tcp, 1, TCP_KEEPALIVE_S);
    if (uv_fileno((uv_handle_t *)tcp, &fd) != 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

static void on_refused(uv_handle_t *handle)
{
    free(handle);
}

struct stream *stream_accept(uv_stream_t *listener, struct tls *tls,
                             const struct stream_events *events, void *user)
{
    struct stream *s = xcalloc(1, sizeof *s);
    if (listener->type == UV_TCP)
        uv_tcp_init(listener->loop, &s->uv.tcp);
    else
        uv_pipe_init(listener->loop, &s->uv.pipe, 0);
    if (uv_accept(listener, &s->uv.stream) != 0) {
        uv_close(&s->uv.handle, on_refused);
        return NULL;
    }
    s->uv.handle.data = s;
    s->events = events;
    s->user = user;
    if (listener->type == UV_TCP)
        set_tcp_options(&s->uv.tcp);
    if (tls)
        s->tls = tls_session_new(tls);
    return s;
}

struct stream *stream_adopt(uv_loop_t *loop, int fd, const struct stream_events *events, void *user)
{
    struct stream *s = xcalloc(1, sizeof *s);
    uv_tcp_init(loop, &s->uv.tcp);
    if (uv_tcp_open(&s->uv.tcp, fd) != 0) {
        close(fd);
        uv_close(&s->uv.handle, on_refused);
        return NULL;
    }
    s->uv.handle.data = s;
    s->events = events;
    s->user = user;
    set_tcp_options(&s->uv.tcp);
    return s;
}

void stream_hand_over(struct stream *s, const struct stream_events *events, void *user)
{
    s->events = events;
    s->user = user;
}

/* One buffer serves all streams: what is read is used up before the next read. */
static void on_uv_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    static char piece[READ_PIECE_BYTES];
    (void)handle;
    (void)suggested;
    *buf = uv_buf_init(piece, sizeof piece);
}

static void tls_receive(struct stream *s, struct bytes cipher)
{
    static char plain[READ_PIECE_BYTES];
    tls_session_feed(s->tls, cipher);
    for (;;) {
        long got = tls_session_read(s->tls, plain, sizeof plain);
        if (!s->writing && !s->pending)
            tls_push(s);
        if (uv_is_closing(&s->uv.handle))
            return;
        if (got <= 0) {
            if (got < 0)
                end(s, got == -2);
            return;
        }
        s->events->on_read(s->user, (struct bytes){plain, (size_t)got});
        if (uv_is_closing(&s->uv.handle))
            return;
    }
}

static void on_uv_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct stream *s = stream->data;
    if (got == 0)
        return;
    if (got < 0) {
        stream_read_stop(s);
        end(s, got != UV_EOF);
    } else if (s->tls) {
        tls_receive(s, (struct bytes){buf->base, (size_t)got});
    } else {
        s->events->on_read(s->user, (struct bytes){buf->base, (size_t)got});
    }
}

void stream_read_start(struct stream *s)
{
    if (s->reading || s->ended || uv_is_closing(&s->uv.handle))
        return;
    s->reading = true;
    uv_read_start(&s->uv.stream, on_uv_alloc, on_uv_read);
}

void stream_read_stop(struct stream *s)
{
    if (!s->reading)
        return;
    s->reading = false;
    uv_read_stop(&s->uv.stream);
}

void stream_read_rest(struct stream *s)
{
    uv_os_fd_t fd;
    char piece[4096];
    ssize_t got;
    stream_read_stop(s);
    assert(!s->tls);
    if (uv_fileno(&s->uv.handle, &fd) != 0)
        return;
    for (size_t all = 0; all < STREAM_REST_BYTES; all += (size_t)got) {
        do
            got = recv(fd, piece, sizeof piece, MSG_DONTWAIT);
        while (got < 0 && errno == EINTR);
        if (got <= 0 || uv_is_closing(&s->uv.handle))
            return;
        s->events->on_read(s->user, (struct bytes){piece, (size_t)got});
    }
}

/* Gives libuv what try_write left; the buffers are copied by it, the memory behind them is not. */
static void write_later(struct stream *s, const uv_buf_t *bufs, unsigned count, size_t sent)
{
    uv_buf_t left[WEBSOCKET_BUFFERS];
    unsigned kept = 0;
    for (unsigned i = 0; i < count; i++) {
        size_t skip = sent < bufs[i].len ? sent : bufs[i].len;
        sent -= skip;
        if (skip < bufs[i].len)
            left[kept++] = uv_buf_init(bufs[i].base + skip, (unsigned)(bufs[i].len - skip));
        s->given_bytes += (int64_t)(bufs[i].len - skip);
    }
    s->request.data = s;
    if (uv_write(&s->request, &s->uv.stream, left, kept, on_uv_write) == 0)
        s->writing = true;
}

/* Sends the plain text that is left, piece by piece. True: all of it is with the socket. */
static bool tls_push(struct stream *s)
{
    for (;;) {
        if (s->cipher_sent == s->cipher.len) {
            buffer_clear(&s->cipher);
            s->cipher_sent = 0;
            while (s->rest_count && s->cipher.len < TLS_PIECE_BYTES) {
                size_t len = s->rest[0].len < TLS_PIECE_BYTES ? s->rest[0].len : TLS_PIECE_BYTES;
                tls_session_write(s->tls, s->rest[0].base, len);
                s->rest[0].base += len;
                s->rest[0].len -= len;
                if (!s->rest[0].len)
                    memmove(s->rest, s->rest + 1, --s->rest_count * sizeof *s->rest);
                tls_session_take(s->tls, &s->cipher);
            }
            tls_session_take(s->tls, &s->cipher);
            if (!s->cipher.len)
                return true;
        }
        uv_buf_t piece = uv_buf_init(s->cipher.data + s->cipher_sent,
                                     (unsigned)(s->cipher.len - s->cipher_sent));
        int sent = uv_try_write(&s->uv.stream, &piece, 1);
        s->cipher_sent += sent > 0 ? (size_t)sent : 0;
        s->given_bytes += sent > 0 ? sent : 0;
        if (s->cipher_sent == s->cipher.len)
            continue;
        piece = uv_buf_init(s->cipher.data + s->cipher_sent,
                            (unsigned)(s->cipher.len - s->cipher_sent));
        write_later(s, &piece, 1, 0);
        return false;
    }
}

static void on_uv_write(uv_write_t *request, int status)
{
    struct stream *s = request->data;
    s->writing = false;
    if (uv_is_closing(&s->uv.handle))
        return;
    if (status < 0) {
        end(s, true);
        return;
    }
    if (s->tls) {
        s->cipher_sent = s->cipher.len;
        if (!tls_push(s))
            return;
    }
    if (s->pending) {
        s->pending = false;
        s->events->on_written(s->user);
    }
}

static size_t tls_write(struct stream *s, const uv_buf_t *bufs, unsigned count, size_t total)
{
    memcpy(s->rest, bufs, count * sizeof *bufs);
    s->rest_count = count;
    s->pending = s->writing || !tls_push(s);
    return s->pending ? 0 : total;
}

size_t stream_write(struct stream *s, const uv_buf_t *bufs, unsigned count)
{
    assert(!s->pending && count <= WEBSOCKET_BUFFERS);
    size_t total = 0;
    for (unsigned i = 0; i < count; i++)
        total += bufs[i].len;
    if (!total || uv_is_closing(&s->uv.handle))
        return total;
    if (s->tls)
        return tls_write(s, bufs, count, total);
    int status = uv_try_write(&s->uv.stream, bufs, count);
    size_t sent = status > 0 ? (size_t)status : 0;
    s->given_bytes += (int64_t)sent;
    if (sent == total)
        return total;
    s->pending = true;
    write_later(s, bufs, count, sent);
    return sent;
}

bool stream_pending(const struct stream *s)
{
    return s->pending;
}

/* Half of what is free: the kernel also counts its own bookkeeping against the buffer. */
size_t stream_room(const struct stream *s)
{
    uint32_t memory[SK_MEMINFO_VARS] = {0};
    socklen_t len = sizeof memory;
    uv_os_fd_t fd;
    if (s->pending || s->writing || uv_fileno(&s->uv.handle, &fd) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &len) != 0)
        return 0;
    size_t used = memory[SK_MEMINFO_WMEM_QUEUED] > memory[SK_MEMINFO_WMEM_ALLOC]
                      ? memory[SK_MEMINFO_WMEM_QUEUED]
                      : memory[SK_MEMINFO_WMEM_ALLOC];
    return memory[SK_MEMINFO_SNDBUF] > used ? (memory[SK_MEMINFO_SNDBUF] - used) / 2 : 0;
}

int64_t stream_taken_bytes(const struct stream *s)
{
    int held = 0;
    uv_os_fd_t fd;
    if (uv_fileno(&s->uv.handle, &fd) != 0 || ioctl(fd, SIOCOUTQ, &held) != 0)
        held = 0;
    return s->given_bytes - (int64_t)uv_stream_get_write_queue_size(&s->uv.stream) - held;
}

/* A segment that nobody acknowledges, or the questions to one whose window was full: these come as
 * far as two minutes apart, and the first may be on its way. */
static bool answers_nothing(const struct stream *s, int64_t limit_ms)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    uv_os_fd_t fd;
    if (uv_fileno(&s->uv.handle, &fd) != 0 ||
        getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return false;
    return (info.tcpi_unacked || info.tcpi_probes >= 2) && info.tcpi_last_ack_recv >= limit_ms &&
           info.tcpi_last_data_recv >= limit_ms;
}

bool stream_is_lost(struct stream *s, int64_t now_ms, int64_t limit_ms)
{
    bool idle = !s->heard.since_ms && s->heard.given_bytes == s->given_bytes;
    if (idle || stream_is_unix(s) || uv_is_closing(&s->uv.handle))
        return false;
    int64_t taken = stream_taken_bytes(s);
    if (!s->heard.since_ms || taken != s->heard.taken_bytes) {
        s->heard.given_bytes = s->given_bytes;
        s->heard.taken_bytes = taken;
        s->heard.since_ms = taken == s->given_bytes ? 0 : now_ms;
    }
    return s->heard.since_ms && now_ms - s->heard.since_ms >= limit_ms &&
           answers_nothing(s, limit_ms);
}

static void on_uv_shutdown(uv_shutdown_t *request, int status)
{
    (void)status;
    free(request);
}

void stream_shutdown(struct stream *s)
{
    assert(!s->pending);
    if (uv_is_closing(&s->uv.handle))
        return;
    if (s->tls && !s->writing) {
        tls_session_end(s->tls);
        tls_push(s);
    }
    uv_shutdown_t *request = xmalloc(sizeof *request);
    if (uv_shutdown(request, &s->uv.stream, on_uv_shutdown) != 0)
        free(request);
}

static void on_uv_closed(uv_handle_t *handle)
{
    struct stream *s = handle->data;
    const struct stream_events *events = s->events;
    void *user = s->user;
    tls_session_free(s->tls);
    buffer_free(&s->cipher);
    free(s);
    events->on_closed(user);
}

void stream_close(struct stream *s)
{
    if (!uv_is_closing(&s->uv.handle))
        uv_close(&s->uv.handle, on_uv_closed);
}

bool stream_is_unix(const struct stream *s)
{
    return s->uv.handle.type == UV_NAMED_PIPE;
}

bool stream_is_tls(const struct stream *s)
{
    return s->tls != NULL;
}

bool stream_peer_uid(const struct stream *s, uid_t *uid)
{
    uv_os_fd_t fd;
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (!stream_is_unix(s) || uv_fileno(&s->uv.handle, &fd) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return false;
    *uid = peer.uid;
    return true;
}

void stream_peer_text(const struct stream *s, char out[STREAM_PEER_TEXT])
{
    uid_t uid;
    struct sockaddr_storage address;
    int len = sizeof address;
    if (stream_peer_uid(s, &uid))
        snprintf(out, STREAM_PEER_TEXT, "uid %u", (unsigned)uid);
    else if (stream_is_unix(s) ||
             uv_tcp_getpeername(&s->uv.tcp, (struct sockaddr *)&address, &len) != 0 ||
             uv_ip_name((struct sockaddr *)&address, out, STREAM_PEER_TEXT) != 0)
        snprintf(out, STREAM_PEER_TEXT, "unknown");
}
