/* The body of a request whose route streams: connection.c parses it into exchange.body, and its
 * handler takes it from there by exchange_receive, a piece at a time. A piece that is in and not
 * taken stops the reading, so a body costs two pieces of memory however long it is. */
#include <assert.h>

#include "gateway/net/connection.h"
#include "protocol/ids.h"

void body_continue(struct exchange *x)
{
    if (x->incoming.continued)
        return;
    x->incoming.continued = true;
    if (x->http_1_0 || !exchange_header(x, "expect"))
        return;
    buffer_add_text(&x->connection->out, "HTTP/1.1 100 Continue\r\n\r\n");
    connection_flush(x->connection);
}

static bool is_whole(const struct exchange *x)
{
    return x->body.len >= BODY_PIECE_BYTES || x->incoming.ended;
}

/* Hands over what is there to who waits. */
static void deliver(struct exchange *x)
{
    struct buffer *into = x->incoming.into;
    const struct err *e = x->incoming.broken.status ? &x->incoming.broken : NULL;
    if (!into || !(e || is_whole(x) || (x->incoming.eager && x->body.len)))
        return;
    struct buffer spare = *into;
    x->incoming.into = NULL;
    buffer_clear(&spare);
    *into = x->body;
    x->body = spare;
    x->incoming.done(x->incoming.user, e || x->incoming.ended, e);
}

/* Reading goes on while there is room for a piece, and by the clock while it does. */
static void pace(struct connection *c)
{
    if (c->state != CONNECTION_RECEIVING || c->exchange.incoming.broken.status)
        return;
    if (is_whole(&c->exchange)) {
        stream_read_stop(c->stream);
        c->deadline_ms = 0;
    } else {
        stream_read_start(c->stream);
        c->deadline_ms = monotonic_ms() + c->server->settings->request_timeout_s * 1000;
    }
}

void body_arrived(struct exchange *x)
{
    struct connection *c = x->connection;
    bool receiving = c->state == CONNECTION_RECEIVING;
    deliver(x); /* may end an exchange that nobody waits for, and so free c */
    if (receiving)
        pace(c);
}

void body_break(struct exchange *x, const struct err *e)
{
    struct connection *c = x->connection;
    if (!x->open || x->incoming.broken.status)
        return;
    x->incoming.broken = *e;
    c->in_message = false;
    c->deadline_ms = 0;
    if (c->state == CONNECTION_RECEIVING)
        stream_read_stop(c->stream);
    deliver(x);
}

void exchange_receive_eagerly(struct exchange *x)
{
    x->incoming.eager = true;
}

int64_t exchange_body_length(const struct exchange *x)
{
    return x->body_length;
}

void exchange_receive(struct exchange *x, struct buffer *piece,
                      void (*done)(void *user, bool last, const struct err *e), void *user)
{
    struct connection *c = x->connection;
    assert(x->open && !x->incoming.into);
    x->incoming.into = piece;
    x->incoming.done = done;
    x->incoming.user = user;
    if (c->state == CONNECTION_RECEIVING)
        body_continue(x);
    body_arrived(x);
}
