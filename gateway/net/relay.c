/* One exchange that a server inside a sandbox answers, over a connection of its own. What comes
 * from the client goes inside piece by piece, and back; who is slow is waited for with one piece in
 * memory each way. Both directions run at once: a reply may come before the body is sent.
 *
 * Invariant: x is NULL from the moment on in which the exchange was ended, and the relay is freed
 * when the stream inside is closed, or was taken by a tunnel, and x is NULL. */
#include "gateway/net/relay.h"

#include "gateway/net/connection.h"
#include "gateway/net/reason.h"
#include "gateway/net/relay_head.h"
#include "protocol/ids.h"

struct relay {
    struct list link; /* of server.relays */
    struct server *server;
    struct exchange *x;        /* NULL: ended */
    struct relay_plan plan;    /* its texts are owned */
    struct stream *inside;     /* NULL: closed, or a tunnel's */
    struct relay_reply *reply; /* owned */
    bool begun;                /* the head of the reply was sent */
    bool chunked;              /* the body of the request goes inside in chunks */
    bool receiving;            /* a piece of it is awaited */
    bool body_sent;
    bool deaf;           /* the server inside takes no more of it */
    struct buffer piece; /* of the body, as it came */
    struct buffer out;   /* with the stream inside, or to be given to it */
    int64_t deadline_ms; /* 0: none */
    int64_t left_ms;     /* when the client was first seen to have ended its side; 0: it has not */
};

static void receive(struct relay *r);

static void relay_free(struct relay *r)
{
    void (*done)(void *user) = r->plan.done;
    void *user = r->plan.user;
    list_remove(&r->link);
    relay_reply_free(r->reply);
    free(r->reply);
    buffer_free(&r->piece);
    buffer_free(&r->out);
    free((char *)r->plan.prefix);
    free((char *)r->plan.target);
    free((char *)r->plan.cookie);
    struct server *s = r->server;
    free(r);
    if (done)
        done(user);
    server_check_drained(s);
}

/* The exchange has ended: so does what is inside. */
static void leave(struct relay *r)
{
    r->x = NULL;
    r->deadline_ms = 0;
    if (r->inside)
        stream_close(r->inside);
    else
        relay_free(r);
}

static void give_up(struct relay *r, const struct err *e)
{
    struct exchange *x = r->x;
    if (!x)
        return;
    if (r->begun)
        exchange_cut(x);
    else
        exchange_fail(x, e);
    leave(r);
}

static void await_reply(struct relay *r)
{
    r->deadline_ms = monotonic_ms() + r->plan.reply_s * 1000;
}

/* --- the request, inwards */

static void on_inside_written(void *user)
{
    struct relay *r = user;
    buffer_clear(&r->out);
    if (r->x && !r->body_sent)
        receive(r);
}

/* True: all of it is with the socket. */
static bool push(struct relay *r)
{
    uv_buf_t buf = uv_buf_init(r->out.data, (unsigned)r->out.len);
    if (r->out.len && stream_write(r->inside, &buf, 1) < r->out.len)
        return false;
    buffer_clear(&r->out);
    return true;
}

static void add_piece(struct relay *r, bool last)
{
    if (r->chunked && r->piece.len)
        buffer_printf(&r->out, "%zx\r\n", r->piece.len);
    buffer_add_bytes(&r->out, buffer_view(&r->piece));
    if (r->chunked && r->piece.len)
        buffer_add_text(&r->out, "\r\n");
    if (r->chunked && last)
        buffer_add_text(&r->out, "0\r\n\r\n");
}

static void on_piece(void *user, bool last, const struct err *e)
{
    struct relay *r = user;
    r->receiving = false;
    if (e) {
        give_up(r, e);
        return;
    }
    r->body_sent = last;
    await_reply(r);
    if (r->deaf) { /* the rest is not read: the connection ends behind the reply */
        r->body_sent = true;
        return;
    }
    add_piece(r, last);
    if (push(r) && !last)
        receive(r);
}

static void receive(struct relay *r)
{
    if (r->receiving || r->deaf)
        return;
    r->receiving = true;
    r->deadline_ms = 0; /* the client has its own */
    exchange_receive(r->x, &r->piece, on_piece, r);
}

/* --- the reply, outwards */

static void on_ready(void *user)
{
    struct relay *r = user;
    if (r->inside)
        stream_read_start(r->inside);
}

static void on_gone(void *user)
{
    leave(user);
}

static const struct pieces_events pieces_events = {on_ready, on_gone};

static const char *reason_of(struct relay_reply *reply)
{
    const char *text = buffer_text(&reply->reason);
    for (const char *c = text; *c; c++)
        if (*c < ' ' || *c > '~')
            return reason_phrase(reply->status);
    return *text ? text : reason_phrase(reply->status);
}

/* False: the exchange has ended by this: nobody wants more than the head, or anything. */
static bool begin(struct relay *r)
{
    scoped(buffer) struct buffer lines = {0};
    struct relay_reply *reply = r->reply;
    relay_reply_lines(r->x, &r->plan, reply, &lines);
    const struct reply_as as = {.status = reply->status,
                                .reason = reason_of(reply),
                                .lines = buffer_view(&lines),
                                .length = reply->length,
                                .has_body = reply->has_body};
    r->begun = true;
    r->deadline_ms = 0;
    if (exchange_begin_as(r->x, &as, &pieces_events, r))
        return true;
    leave(r);
    return false;
}

static void switch_over(struct relay *r, struct bytes early)
{
    scoped(buffer) struct buffer lines = {0};
    struct exchange *x = r->x;
    struct err e;
    /* of a stream that is broken there is nothing to make a tunnel of, and on_inside_end, which
     * reads the rest of it, has to find the relay again */
    if (r->deaf || stream_pending(r->inside)) {
        fail(&e, 502, "the server inside switched protocols before it had read the request");
        give_up(r, &e);
        return;
    }
    relay_upgrade_lines(x, &r->plan, r->reply, &lines);
    struct stream *inside = take(&r->inside);
    r->x = NULL;
    tunnel_begin(x, buffer_view(&lines), inside, early, r->plan.done, r->plan.user);
    r->plan.done = NULL;
    relay_free(r);
}

/* Passes on what the parser has made of it; the relay may be gone afterwards. */
static void pass_on(struct relay *r, struct bytes left)
{
    struct relay_reply *reply = r->reply;
    if (!reply->has_head)
        return;
    if (reply->upgraded) {
        switch_over(r, left);
        return;
    }
    bool news = reply->body.len || !r->begun; /* the head is sent without waiting for the body */
    if (!r->begun && !begin(r))
        return;
    bool keeps_up = !news || exchange_send(r->x, buffer_view(&reply->body));
    buffer_clear(&reply->body);
    if (reply->ended) {
        exchange_end(r->x);
        leave(r);
        return;
    }
    if (!keeps_up)
        stream_read_stop(r->inside);
}

static void on_inside_read(void *user, struct bytes data)
{
    struct relay *r = user;
    struct err e;
    size_t used;
    if (!r->x)
        return;
    if (!relay_reply_feed(r->reply, data, &used, &e))
        give_up(r, &e);
    else
        pass_on(r, (struct bytes){data.data + used, data.len - used});
}

static void on_inside_end(void *user, bool broken)
{
    struct relay *r = user;
    struct err e;
    if (!r->x)
        return;
    if (broken && !r->deaf) { /* it may have said why before it closed */
        r->deaf = true;
        stream_read_rest(r->inside);
        if (!r->x)
            return;
    }
    if (!relay_reply_close(r->reply, &e))
        give_up(r, &e);
    else
        pass_on(r, (struct bytes){0});
}

static void on_inside_closed(void *user)
{
    struct relay *r = user;
    r->inside = NULL;
    if (!r->x)
        relay_free(r);
}

static const struct stream_events stream_events = {on_inside_read, on_inside_end, on_inside_written,
                                                   on_inside_closed};

/* --- its life */

void relay_begin(struct exchange *x, int fd, const struct relay_plan *plan)
{
    struct server *s = x->connection->server;
    struct err e;
    struct relay *r = xcalloc(1, sizeof *r);
    r->server = s;
    r->x = x;
    r->plan = *plan;
    r->plan.prefix = plan->prefix ? xstrdup(plan->prefix) : NULL;
    r->plan.target = xstrdup(plan->target);
    r->plan.cookie = plan->cookie ? xstrdup(plan->cookie) : NULL;
    r->reply = xcalloc(1, sizeof *r->reply);
    relay_reply_init(r->reply, x->head, x->wants_upgrade);
    r->chunked = x->has_body && x->body_length < 0;
    r->body_sent = !x->has_body;
    list_add(&s->relays, &r->link);
    r->inside = stream_adopt(s->loop, fd, &stream_events, r);
    if (!r->inside) {
        fail(&e, 503, "the connection to the sandbox cannot be watched");
        give_up(r, &e);
    } else if (!relay_request_head(x, &r->plan, &r->out, &e)) {
        give_up(r, &e);
    } else {
        await_reply(r);
        stream_read_start(r->inside);
        exchange_receive_eagerly(x);
        if (push(r) && !r->body_sent)
            receive(r);
    }
}

static struct relay *relay_of(struct list *link)
{
    return list_owner(link, struct relay, link);
}

/* A client that has ended its side may still read, as after `nc -N`; most have gone. */
static bool has_left(struct relay *r, int64_t now_ms)
{
    const struct connection *c = r->x->connection;
    if (exchange_is_gone(r->x))
        return !r->begun; /* else on_gone was called */
    if (!c->peer_ended)
        return false;
    if (!r->left_ms)
        r->left_ms = now_ms;
    return now_ms - r->left_ms >= LINGER_MS;
}

/* A relay that ends may be freed, with its own link alone. */
void relays_tick(struct server *s, int64_t now_ms)
{
    struct err e;
    list_each(&s->relays, link)
    {
        struct relay *r = relay_of(link);
        if (r->x && has_left(r, now_ms))
            give_up(r, (fail(&e, 502, "the client has gone"), &e));
        else if (r->x && r->deadline_ms && now_ms >= r->deadline_ms)
            give_up(r, (fail(&e, 504, "the server inside did not reply within %lld s",
                             (long long)r->plan.reply_s),
                        &e));
    }
}

void relays_drain(struct server *s)
{
    struct err e;
    fail(&e, 503, "the gateway is going down");
    list_each(&s->relays, link)
    {
        struct relay *r = relay_of(link);
        if (r->x && r->begun && r->reply->length < 0)
            give_up(r, &e);
    }
}

void relays_cut(struct server *s)
{
    struct err e;
    fail(&e, 503, "the gateway is going down");
    list_each(&s->relays, link) give_up(relay_of(link), &e);
}
