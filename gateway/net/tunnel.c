/* A connection that has become another protocol: bytes pass between the client and the server
 * inside as they are. Each side has one piece under way to it, and is read on when that was taken;
 * a side may end its half first.
 *
 * Invariant: the tunnel is freed when both streams are closed. */
#include "gateway/net/connection.h"
#include "gateway/net/reason.h"

struct side {
    struct tunnel *tunnel;
    struct stream *stream; /* NULL: closed */
    struct side *other;
    struct buffer out; /* with the stream; nothing is added while it has it */
    bool closing;
    bool ended; /* nothing more comes from it */
    bool shut;  /* nothing more goes to it */
};

struct tunnel {
    struct list link; /* of server.tunnels */
    struct server *server;
    struct principal principal;
    struct side client, inside;
    void (*done)(void *user);
    void *user;
};

static void tunnel_free(struct tunnel *t)
{
    struct server *s = t->server;
    void (*done)(void *user) = t->done;
    void *user = t->user;
    list_remove(&t->link);
    buffer_free(&t->client.out);
    buffer_free(&t->inside.out);
    free(t);
    if (done)
        done(user);
    s->connection_count--;
    server_check_drained(s);
}

static void close_side(struct side *side)
{
    if (!side->stream || side->closing)
        return;
    side->closing = true;
    stream_close(side->stream);
}

static void close_both(struct tunnel *t)
{
    close_side(&t->client);
    close_side(&t->inside);
}

/* What has come from one side is with the other: what next? */
static void settle(struct side *to)
{
    struct side *from = to->other;
    if (to->closing || from->closing || stream_pending(to->stream))
        return;
    if (!from->ended) {
        stream_read_start(from->stream);
        return;
    }
    if (!to->shut)
        stream_shutdown(to->stream);
    to->shut = true;
    if (from->shut)
        close_both(to->tunnel);
}

static void on_written(void *user)
{
    struct side *to = user;
    buffer_clear(&to->out);
    settle(to);
}

/* The bytes are copied: what was read is in a buffer that all streams share. */
static void push(struct side *to, struct bytes data)
{
    if (to->shut)
        return;
    buffer_add_bytes(&to->out, data);
    uv_buf_t buf = uv_buf_init(to->out.data, (unsigned)to->out.len);
    if (stream_write(to->stream, &buf, 1) < to->out.len)
        stream_read_stop(to->other->stream);
    else
        buffer_clear(&to->out);
}

static void on_read(void *user, struct bytes data)
{
    struct side *from = user;
    if (!from->closing && !from->other->closing)
        push(from->other, data);
}

static void on_end(void *user, bool broken)
{
    struct side *from = user;
    from->ended = true;
    if (broken || from->other->closing)
        close_both(from->tunnel);
    else
        settle(from->other);
}

static void on_closed(void *user)
{
    struct side *side = user;
    side->stream = NULL;
    if (side->other->stream)
        close_side(side->other);
    else
        tunnel_free(side->tunnel);
}

static const struct stream_events stream_events = {on_read, on_end, on_written, on_closed};

static void begin_side(struct side *side, struct bytes first)
{
    if (first.len)
        push(side, first);
    settle(side);
}

void tunnel_begin(struct exchange *x, struct bytes lines, struct stream *inside, struct bytes early,
                  void (*done)(void *user), void *user)
{
    struct connection *c = x->connection;
    struct tunnel *t = xcalloc(1, sizeof *t);
    scoped(buffer) struct buffer to_client = {0}, to_inside = {0};
    const struct reply_as as = {
        .status = 101, .reason = reason_phrase(101), .lines = lines, .length = -1};
    *t =
        (struct tunnel){.server = c->server, .principal = x->principal, .done = done, .user = user};
    t->client = (struct side){.tunnel = t, .other = &t->inside};
    t->inside = (struct side){.tunnel = t, .other = &t->client, .stream = inside};
    list_add(&t->server->tunnels, &t->link);
    t->server->connection_count++;
    if (!exchange_is_gone(x))
        reply_head_as(x, &as);
    buffer_add_bytes(&to_client, buffer_view(&c->out));
    buffer_clear(&c->out);
    buffer_add_bytes(&to_client, early);
    t->client.ended = c->peer_ended;
    t->client.stream = connection_detach(c, &to_inside);
    x->open = false;
    connection_release(c);
    stream_hand_over(inside, &stream_events, &t->inside);
    if (!t->client.stream) {
        close_side(&t->inside);
        return;
    }
    stream_hand_over(t->client.stream, &stream_events, &t->client);
    stream_read_stop(t->client.stream);
    stream_read_stop(inside);
    begin_side(&t->client, buffer_view(&to_client));
    begin_side(&t->inside, buffer_view(&to_inside));
}

static struct tunnel *tunnel_of(struct list *link)
{
    return list_owner(link, struct tunnel, link);
}

void tunnels_recheck(struct server *s)
{
    list_each(&s->tunnels, link) if (!auth_still(s->auth, &tunnel_of(link)->principal))
        close_both(tunnel_of(link));
}

void tunnels_tick(struct server *s, int64_t now_ms)
{
    list_each(&s->tunnels, link)
    {
        struct tunnel *t = tunnel_of(link);
        if (t->client.stream && !t->client.closing && server_lost(s, t->client.stream, now_ms))
            close_both(t);
    }
}

void tunnels_cut(struct server *s)
{
    list_each(&s->tunnels, link) close_both(tunnel_of(link));
}
