/* Replies that come piece by piece, for as long as their handler likes: as chunks, or to HTTP/1.0
 * as bytes until the connection ends. A client that reads slowly is waited for, so that it costs no
 * more memory than what it was sent last.
 *
 * Invariant: no callback comes from inside exchange_send, exchange_yield, exchange_end or
 * exchange_cut. */
#include <assert.h>

#include "gateway/net/connection.h"

static void stop_waiting(struct connection *c)
{
    c->pieces.waiting = false;
    c->pieces.turn_bytes = 0;
    list_remove(&c->later.link);
}

/* False: nobody will take pieces; the reply is then done when head was written. */
static bool begin(struct exchange *x, bool plain, const struct pieces_events *events, void *user)
{
    struct connection *c = x->connection;
    if (x->head)
        return false;
    c->pieces.events = events;
    c->pieces.user = user;
    c->pieces.plain = plain || x->http_1_0;
    c->pieces.endless = false;
    stop_waiting(c);
    if (c->pieces.plain)
        x->close = x->close || !plain;
    else
        exchange_add_header(x, "Transfer-Encoding", "chunked");
    return true;
}

bool exchange_is_gone(const struct exchange *x)
{
    return !x->connection->stream || x->connection->state == CONNECTION_CLOSED;
}

bool exchange_begin(struct exchange *x, int status, const char *content_type,
                    const struct pieces_events *events, void *user)
{
    struct connection *c = x->connection;
    assert(x->open && !c->pieces.events);
    exchange_add_header(x, "Cache-Control", "no-store");
    bool begun = !exchange_is_gone(x) && begin(x, false, events, user);
    if (!exchange_is_gone(x))
        reply_head(x, status, content_type, -1);
    if (!begun)
        connection_reply_done(c);
    return begun;
}

bool exchange_begin_as(struct exchange *x, const struct reply_as *as,
                       const struct pieces_events *events, void *user)
{
    struct connection *c = x->connection;
    assert(x->open && !c->pieces.events);
    bool begun = !exchange_is_gone(x) && begin(x, !as->has_body || as->length >= 0, events, user);
    if (!exchange_is_gone(x))
        reply_head_as(x, as);
    if (!begun)
        connection_reply_done(c);
    return begun;
}

void exchange_ends_with_client(struct exchange *x)
{
    struct connection *c = x->connection;
    assert(c->pieces.events);
    c->pieces.endless = true;
    if (c->peer_ended)
        connection_later(c, connection_close);
}

static void add_chunk(struct exchange *x, struct bytes piece)
{
    struct buffer *out = &x->connection->out;
    bool plain = x->connection->pieces.plain;
    if (!plain)
        buffer_printf(out, "%zx\r\n", piece.len);
    buffer_add_bytes(out, piece);
    if (!plain)
        buffer_add_text(out, "\r\n");
}

bool exchange_send(struct exchange *x, struct bytes piece)
{
    struct connection *c = x->connection;
    assert(c->pieces.events);
    if (piece.len)
        add_chunk(x, piece);
    c->pieces.waiting = false;
    c->pieces.turn_bytes += piece.len;
    connection_flush(c);
    bool pending = stream_pending(c->stream);
    c->pieces.waiting = pending || c->pieces.turn_bytes >= PIECES_TURN_BYTES;
    if (c->pieces.waiting && !pending) /* a socket that takes everything, and one who always has
                                          more, must not stop all others */
        connection_later(c, pieces_continue);
    return !c->pieces.waiting;
}

void exchange_yield(struct exchange *x)
{
    struct connection *c = x->connection;
    assert(c->pieces.events);
    c->pieces.waiting = true;
    if (!stream_pending(c->stream))
        connection_later(c, pieces_continue);
}

void exchange_end(struct exchange *x)
{
    struct connection *c = x->connection;
    assert(c->pieces.events);
    c->pieces.events = NULL;
    stop_waiting(c);
    if (!c->pieces.plain)
        buffer_add_text(&c->out, "0\r\n\r\n");
    connection_reply_done(c);
}

void exchange_cut(struct exchange *x)
{
    struct connection *c = x->connection;
    assert(c->pieces.events);
    c->pieces.events = NULL;
    stop_waiting(c);
    x->close = true;
    connection_reply_done(c);
}

void pieces_continue(struct connection *c)
{
    bool waiting = c->pieces.waiting;
    stop_waiting(c);
    if (waiting && c->pieces.events)
        c->pieces.events->on_ready(c->pieces.user);
}

void pieces_abort(struct connection *c)
{
    const struct pieces_events *events = c->pieces.events;
    c->pieces.events = NULL;
    stop_waiting(c);
    c->exchange.open = false;
    events->on_gone(c->pieces.user);
}
