/* A WebSocket: wslay takes frames apart; frames out are built here, so that a message which many
 * sockets share goes from its one place in memory to each of them.
 *
 * What is sent during a loop turn is queued and leaves with one writev before the loop sleeps. The
 * queue is a ring; its first `in_flight` items belong to the stream's pending write. Invariant: a
 * socket is freed only after its stream has closed, and its owner is not called after on_closed. */
#include "gateway/net/websocket.h"

#include <assert.h>
#include <endian.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <wslay/wslay.h>

#include "gateway/log.h"
#include "gateway/net/connection.h"
#include "protocol/ids.h"
#include "protocol/utf8.h"

#define FRAME_HEAD_LIMIT 10
#define ACCEPT_TEXT      29 /* base64 of a SHA-1 and a NUL */

struct outgoing {
    struct shared *shared; /* a reference; NULL: control bytes, owned by part */
    struct bytes part;
    uint8_t head[FRAME_HEAD_LIMIT];
    uint8_t head_len;
    void (*on_sent)(void *user, uint64_t cookie);
    uint64_t cookie;
};

enum closing {
    CLOSING_NO,
    CLOSING_QUEUED, /* our close frame is in the queue, or the peer's answer is awaited */
    CLOSING_ENDED,  /* our side is ended; the peer's end is awaited */
    CLOSING_STREAM, /* the stream is closing or gone */
};

struct websocket {
    struct list link;   /* of server.websockets */
    struct list unsent; /* of server.unsent */
    struct server *server;
    struct principal principal;     /* who opened it */
    struct stream *stream;          /* owned; NULL: the client was gone before the upgrade */
    wslay_event_context_ptr frames; /* owned */
    struct websocket_events events;
    void *user;
    bool owner_told;        /* on_closed was called */
    bool starting;          /* until the first flush, what comes is put into early */
    struct buffer early;    /* bytes that arrived with the request */
    struct bytes input;     /* what wslay may read; borrowed for the call */
    struct outgoing *queue; /* ring */
    size_t queue_first, queue_count, queue_room;
    size_t in_flight;                                   /* items at the front that the stream has */
    uint8_t heads[WEBSOCKET_BUFFERS][FRAME_HEAD_LIMIT]; /* theirs: the ring may move meanwhile */
    size_t queued_bytes;
    size_t control_bytes;  /* of them, pongs and the like */
    struct buffer control; /* what wslay is writing */
    bool turn_wanted;      /* on_turn is owed */
    bool owner_waits;      /* websocket_send returned false: on_drain is owed */
    enum closing closing;
    bool answered;        /* our close frame, by the peer's */
    bool refused;         /* wslay cannot read on */
    int64_t deadline_ms;  /* of the closing */
    int64_t next_ping_ms; /* 0: none */
    int64_t stall_ms;    /* when it is looked whether the client takes anything; 0: nothing waits */
    int64_t taken_bytes; /* when last looked at */
};

const struct principal *websocket_principal(const struct websocket *w)
{
    return &w->principal;
}

struct websocket *websocket_of_link(struct list *link)
{
    return list_owner(link, struct websocket, link);
}

struct websocket *websocket_of_unsent(struct list *link)
{
    return list_owner(link, struct websocket, unsent);
}

static void on_read(void *user, struct bytes data);

static void tell_owner(struct websocket *w)
{
    if (w->owner_told)
        return;
    w->owner_told = true;
    w->events.on_closed(w->user);
}

static void close_stream(struct websocket *w)
{
    if (w->closing == CLOSING_STREAM)
        return;
    w->closing = CLOSING_STREAM;
    if (w->stream)
        stream_close(w->stream);
}

static struct outgoing *queue_at(struct websocket *w, size_t i)
{
    return &w->queue[(w->queue_first + i) % w->queue_room];
}

static struct outgoing *queue_push(struct websocket *w)
{
    if (w->queue_count == w->queue_room) {
        size_t room = w->queue_room ? 2 * w->queue_room : 16;
        struct outgoing *bigger = xmalloc(room * sizeof *bigger);
        for (size_t i = 0; i < w->queue_count; i++)
            bigger[i] = *queue_at(w, i);
        free(w->queue);
        w->queue = bigger;
        w->queue_room = room;
        w->queue_first = 0;
    }
    struct outgoing *o = queue_at(w, w->queue_count++);
    memset(o, 0, sizeof *o);
    return o;
}

static size_t outgoing_bytes(const struct outgoing *o)
{
    return o->head_len + o->part.len;
}

static void outgoing_release(struct outgoing *o)
{
    if (o->shared)
        shared_free(o->shared);
    else
        free((void *)o->part.data);
}

/* Takes the first item, which has been written, off the queue and tells its sender. */
static void queue_pop_sent(struct websocket *w)
{
    struct outgoing o = *queue_at(w, 0);
    w->queue_first = (w->queue_first + 1) % w->queue_room;
    w->queue_count--;
    w->queued_bytes -= outgoing_bytes(&o);
    if (!o.shared)
        w->control_bytes -= o.part.len;
    outgoing_release(&o);
    if (o.on_sent && !w->owner_told)
        o.on_sent(w->user, o.cookie);
}

static void schedule(struct websocket *w)
{
    if (!list_empty(&w->unsent))
        return;
    list_add(&w->server->unsent, &w->unsent);
    server_hurry(w->server);
}

static void push_control(struct websocket *w, char *data, size_t len) /* data is taken */
{
    struct outgoing *o = queue_push(w);
    o->part = (struct bytes){data, len};
    w->queued_bytes += len;
    w->control_bytes += len;
    schedule(w);
}

/* Moves what wslay wants to send (pongs, close frames) behind what is queued. */
static void take_control(struct websocket *w)
{
    size_t len;
    if (w->refused || !wslay_event_want_write(w->frames))
        return;
    wslay_event_send(w->frames);
    char *data = buffer_take(&w->control, &len);
    push_control(w, data, len);
}

static void update_reading(struct websocket *w)
{
    if (w->starting || w->control_bytes > WEBSOCKET_CONTROL_LIMIT_BYTES)
        stream_read_stop(w->stream);
    else
        stream_read_start(w->stream);
}

static void begin_closing(struct websocket *w)
{
    if (w->closing != CLOSING_NO)
        return;
    w->closing = CLOSING_QUEUED;
    w->next_ping_ms = 0;
    w->deadline_ms = monotonic_ms() + WEBSOCKET_CLOSE_MS;
    update_reading(w);
}

/* Our close frame is with the socket. When the peer's has come too, nothing is left to wait for; a
 * peer that broke the protocol may still be writing, so it is given time to read why. */
static void finish_closing(struct websocket *w)
{
    if (w->closing != CLOSING_QUEUED || w->queue_count || stream_pending(w->stream))
        return;
    if (!w->refused && !wslay_event_get_close_sent(w->frames))
        return;
    if (wslay_event_get_read_enabled(w->frames))
        return; /* nothing has ended the peer's side yet */
    w->closing = CLOSING_ENDED;
    stream_shutdown(w->stream);
    if (w->answered || wslay_event_get_close_received(w->frames))
        close_stream(w);
}

static void tell_drained(struct websocket *w)
{
    if (!w->owner_waits || w->queued_bytes > WEBSOCKET_LOW_WATER_BYTES)
        return;
    w->owner_waits = false;
    if (!w->owner_told && w->closing == CLOSING_NO && w->events.on_drain)
        w->events.on_drain(w->user);
}

/* Collects the front of the queue into buffers, counting the items. */
static unsigned collect(struct websocket *w, uv_buf_t bufs[WEBSOCKET_BUFFERS])
{
    unsigned used = 0;
    w->in_flight = 0;
    while (w->in_flight < w->queue_count && used + 2 <= WEBSOCKET_BUFFERS) {
        struct outgoing *o = queue_at(w, w->in_flight++);
        if (o->head_len) {
            memcpy(w->heads[used], o->head, o->head_len);
            bufs[used] = uv_buf_init((char *)w->heads[used], o->head_len);
            used++;
        }
        if (o->part.len)
            bufs[used++] = uv_buf_init((char *)o->part.data, (unsigned)o->part.len);
    }
    return used;
}

/* Tells the owner how far the coming write will get, if it is sure to get there. Returns whether it
 * did. */
static bool announce(struct websocket *w)
{
    if (!w->events.on_sending || w->owner_told)
        return false;
    size_t total = 0;
    uint64_t cookie = 0;
    for (size_t i = 0; i < w->in_flight; i++) {
        struct outgoing *o = queue_at(w, i);
        total += outgoing_bytes(o);
        if (o->on_sent && o->cookie)
            cookie = o->cookie;
    }
    if (!cookie || total > stream_room(w->stream))
        return false;
    w->events.on_sending(w->user, cookie);
    return true;
}

static void write_queue(struct websocket *w)
{
    uv_buf_t bufs[WEBSOCKET_BUFFERS];
    while (w->closing < CLOSING_ENDED && w->queue_count && !stream_pending(w->stream)) {
        unsigned count = collect(w, bufs);
        bool announced = announce(w);
        size_t sent = stream_write(w->stream, bufs, count);
        if (announced && stream_pending(w->stream))
            w->events.on_sending(w->user, 0);
        while (w->in_flight && sent >= outgoing_bytes(queue_at(w, 0))) {
            sent -= outgoing_bytes(queue_at(w, 0));
            w->in_flight--;
            queue_pop_sent(w);
        }
    }
}

/* The bytes that came with the request, now that its handler has returned. */
static void read_early(struct websocket *w)
{
    scoped(buffer) struct buffer early = w->early;
    w->early = (struct buffer){0};
    w->starting = false;
    if (early.len)
        on_read(w, buffer_view(&early));
}

void websocket_flush(struct websocket *w)
{
    list_remove(&w->unsent);
    if (!w->stream) {
        websocket_abort(w);
        return;
    }
    if (w->turn_wanted) {
        w->turn_wanted = false;
        if (!w->owner_told && w->closing == CLOSING_NO)
            w->events.on_turn(w->user);
    }
    write_queue(w);
    if (w->closing == CLOSING_STREAM)
        return;
    tell_drained(w);
    if (w->starting)
        read_early(w);
    if (w->closing == CLOSING_STREAM)
        return;
    update_reading(w);
    finish_closing(w);
}

static void on_written(void *user)
{
    struct websocket *w = user;
    while (w->in_flight) {
        w->in_flight--;
        queue_pop_sent(w);
    }
    websocket_flush(w);
}

/* What came is no frame at all. wslay would close without a code then, so the close frame is made
 * here. */
static void refuse_frames(struct websocket *w)
{
    static const char protocol_error[] = {(char)0x88, 2, 1002 >> 8, (char)(1002 & 0xff)};
    if (w->refused)
        return;
    w->refused = true;
    wslay_event_shutdown_read(w->frames);
    push_control(w, xmemdup(protocol_error, sizeof protocol_error), sizeof protocol_error);
}

static ssize_t on_frames_want(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags,
                              void *user)
{
    struct websocket *w = user;
    (void)flags;
    if (!w->input.len) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    size_t part = len < w->input.len ? len : w->input.len;
    memcpy(buf, w->input.data, part);
    w->input.data += part;
    w->input.len -= part;
    return (ssize_t)part;
}

static ssize_t on_frames_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len,
                              int flags, void *user)
{
    struct websocket *w = user;
    (void)ctx;
    (void)flags;
    buffer_add(&w->control, data, len);
    return (ssize_t)len;
}

static void on_frames_message(wslay_event_context_ptr ctx,
                              const struct wslay_event_on_msg_recv_arg *arg, void *user)
{
    struct websocket *w = user;
    (void)ctx;
    if (!wslay_is_ctrl_frame(arg->opcode) && !w->owner_told && w->closing == CLOSING_NO)
        w->events.on_message(w->user, (struct bytes){(const char *)arg->msg, arg->msg_length},
                             arg->opcode == WSLAY_BINARY_FRAME);
}

static const struct wslay_event_callbacks frame_callbacks = {
    .recv_callback = on_frames_want,
    .send_callback = on_frames_send,
    .on_msg_recv_callback = on_frames_message,
};

static void on_read(void *user, struct bytes data)
{
    struct websocket *w = user;
    if (w->closing >= CLOSING_ENDED)
        return;
    if (w->starting) {
        buffer_add_bytes(&w->early, data);
        return;
    }
    w->input = data;
    int status = wslay_event_recv(w->frames);
    w->input = (struct bytes){0};
    if (w->closing == CLOSING_STREAM)
        return;
    if (status != 0)
        refuse_frames(w);
    take_control(w);
    /* wslay 1.1 does not count a close frame that answers ours as received */
    w->answered = w->closing == CLOSING_QUEUED && !w->refused;
    if (!wslay_event_get_read_enabled(w->frames)) {
        begin_closing(w);
        tell_owner(w);
    }
    update_reading(w);
    finish_closing(w);
}

static void on_end(void *user, bool broken)
{
    struct websocket *w = user;
    (void)broken;
    websocket_abort(w);
}

static void websocket_free(struct websocket *w)
{
    tell_owner(w);
    for (size_t i = 0; i < w->queue_count; i++)
        outgoing_release(queue_at(w, i));
    free(w->queue);
    buffer_free(&w->control);
    buffer_free(&w->early);
    wslay_event_context_free(w->frames);
    list_remove(&w->unsent);
    list_remove(&w->link);
    w->server->connection_count--;
    server_check_drained(w->server);
    free(w);
}

static void on_stream_closed(void *user)
{
    websocket_free(user);
}

void websocket_abort(struct websocket *w)
{
    close_stream(w);
    tell_owner(w);
    if (!w->stream)
        websocket_free(w);
}

static const struct stream_events stream_events = {on_read, on_end, on_written, on_stream_closed};

bool websocket_offered(const struct exchange *x, const char *subprotocol)
{
    for (size_t i = 0; i < x->header_count; i++)
        if (strcasecmp(x->text.data + x->headers[i].name, "sec-websocket-protocol") == 0 &&
            header_has_token(x->text.data + x->headers[i].value, subprotocol))
            return true;
    return false;
}

/* Sec-WebSocket-Accept, RFC 6455 section 4.2.2. */
static void accept_key(const char *key, char out[ACCEPT_TEXT])
{
    static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char joined[24 + sizeof magic];
    unsigned char digest[SHA_DIGEST_LENGTH];
    snprintf(joined, sizeof joined, "%s%s", key, magic);
    SHA1((const unsigned char *)joined, strlen(joined), digest);
    EVP_EncodeBlock((unsigned char *)out, digest, sizeof digest);
}

static struct websocket *websocket_new(struct server *s, const struct websocket_events *events,
                                       void *user)
{
    struct websocket *w = xcalloc(1, sizeof *w);
    w->server = s;
    w->events = *events;
    w->user = user;
    if (wslay_event_context_server_init(&w->frames, &frame_callbacks, w) != 0)
        abort(); /* out of memory */
    wslay_event_config_set_max_recv_msg_length(w->frames,
                                               (uint64_t)s->settings->ws_message_limit_bytes);
    if (s->settings->ws_ping_interval_s)
        w->next_ping_ms = monotonic_ms() + s->settings->ws_ping_interval_s * 1000;
    list_init(&w->unsent);
    list_add(&s->websockets, &w->link);
    s->connection_count++;
    return w;
}

struct websocket *websocket_accept(struct exchange *x, const char *subprotocol,
                                   const struct websocket_events *events, void *user)
{
    struct connection *c = x->connection;
    assert(x->open && x->route->kind == ROUTE_UPGRADE);
    struct websocket *w = websocket_new(c->server, events, user);
    w->principal = x->principal;
    char key[ACCEPT_TEXT];
    accept_key(exchange_header(x, "sec-websocket-key"), key);
    exchange_add_header(x, "Upgrade", "websocket");
    exchange_add_header(x, "Sec-WebSocket-Accept", key);
    if (subprotocol)
        exchange_add_header(x, "Sec-WebSocket-Protocol", subprotocol);
    x->upgraded = true;
    if (c->stream && c->state != CONNECTION_CLOSED)
        reply_head(x, 101, NULL, -1);
    struct buffer head = c->out;
    c->out = (struct buffer){0};
    w->starting = true;
    w->stream = connection_detach(c, &w->early);
    x->open = false;
    connection_release(c);
    size_t head_len;
    char *head_bytes = buffer_take(&head, &head_len);
    push_control(w, head_bytes, head_len);
    if (w->stream) {
        stream_hand_over(w->stream, &stream_events, w);
        stream_read_stop(w->stream);
    }
    return w;
}

static void make_head(struct outgoing *o, size_t len, bool binary)
{
    o->head[0] = 0x80 | (binary ? WSLAY_BINARY_FRAME : WSLAY_TEXT_FRAME);
    if (len < 126) {
        o->head[1] = (uint8_t)len;
        o->head_len = 2;
    } else if (len <= UINT16_MAX) {
        uint16_t wire = htobe16((uint16_t)len);
        o->head[1] = 126;
        memcpy(o->head + 2, &wire, sizeof wire);
        o->head_len = 4;
    } else {
        uint64_t wire = htobe64(len);
        o->head[1] = 127;
        memcpy(o->head + 2, &wire, sizeof wire);
        o->head_len = 10;
    }
}

bool websocket_send(struct websocket *w, struct shared *data, struct bytes part, bool binary,
                    void (*on_sent)(void *user, uint64_t cookie), uint64_t cookie)
{
    if (w->closing != CLOSING_NO || w->owner_told)
        return true;
    struct outgoing *o = queue_push(w);
    make_head(o, part.len, binary);
    o->shared = shared_ref(data);
    o->part = part;
    o->on_sent = on_sent;
    o->cookie = cookie;
    w->queued_bytes += outgoing_bytes(o);
    schedule(w);
    if (w->queued_bytes <= WEBSOCKET_HIGH_WATER_BYTES)
        return true;
    w->owner_waits = true;
    return false;
}

void websocket_later(struct websocket *w)
{
    w->turn_wanted = true;
    schedule(w);
}

void websocket_audit(const struct websocket *w, const char *method, const char *route,
                     const char *id, int status)
{
    char remote[STREAM_PEER_TEXT] = "";
    if (!w->server->audit)
        return;
    if (w->stream && w->closing != CLOSING_STREAM)
        stream_peer_text(w->stream, remote);
    audit_add(w->server->audit, &(struct audit_line){.who = &w->principal,
                                                     .method = method,
                                                     .route = route,
                                                     .remote = remote,
                                                     .id = id,
                                                     .status = status});
}

int64_t websocket_message_limit(const struct websocket *w)
{
    return w->server->settings->ws_message_limit_bytes;
}

void websocket_close(struct websocket *w, int code, const char *reason)
{
    struct bytes text = bytes_of(reason);
    if (w->closing != CLOSING_NO)
        return;
    text.len = text.len > 120 ? 120 : text.len; /* a control frame holds 125 bytes */
    text.len -= utf8_tail(text);
    wslay_event_queue_close(w->frames, (uint16_t)code, (const uint8_t *)text.data, text.len);
    take_control(w);
    if (w->stream)
        begin_closing(w);
    schedule(w);
}

/* Has the client taken nothing from one look to the next? */
static bool stalls(struct websocket *w, int64_t now_ms)
{
    if (!w->stream || w->closing == CLOSING_STREAM || !stream_pending(w->stream)) {
        w->stall_ms = 0;
        return false;
    }
    if (w->stall_ms && now_ms < w->stall_ms)
        return false;
    int64_t taken = stream_taken_bytes(w->stream);
    bool same = w->stall_ms && taken == w->taken_bytes;
    w->stall_ms = now_ms + WEBSOCKET_STALL_MS;
    w->taken_bytes = taken;
    return same;
}

void websocket_tick(struct websocket *w, int64_t now_ms)
{
    bool open = w->stream && w->closing != CLOSING_STREAM;
    if ((w->deadline_ms && now_ms >= w->deadline_ms) || stalls(w, now_ms) ||
        (open && server_lost(w->server, w->stream, now_ms))) {
        websocket_abort(w);
    } else if (w->next_ping_ms && now_ms >= w->next_ping_ms) {
        const struct wslay_event_msg ping = {.opcode = WSLAY_PING};
        w->next_ping_ms = now_ms + w->server->settings->ws_ping_interval_s * 1000;
        if (!w->queue_count) /* something is on its way already: that proves as much */
            wslay_event_queue_msg(w->frames, &ping);
        take_control(w);
    }
}
