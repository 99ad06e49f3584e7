/* The gateway's server in front of handlers that do what tests of net/ need: echo, wait, send much,
 * close. It takes the options of `warmcell serve`. */
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "gateway/net/connection.h"
#include "gateway/net/list.h"
#include "gateway/net/websocket.h"
#include "gateway/serve.h"
#include "protocol/ids.h"

#define CLIENTS_LIMIT 20000

struct client {
    struct place *place;
    struct websocket *socket;
    size_t index;        /* in place->clients */
    struct shared *wave; /* what a flood repeats; owned */
    int64_t left;        /* of it */
    uint64_t next, sent, drains;
    bool hears_all;
};

/* Who takes a body piece by piece. */
struct taker {
    struct list link; /* of place->takers, while it waits for /api/go */
    struct exchange *exchange;
    struct buffer piece;
    int64_t bytes, pieces, most, refuse_at; /* -1: never */
    uint32_t sum;                           /* CRC-32 */
    bool last;
};

struct place {
    uv_loop_t *loop;
    struct list laters;
    struct list takers;
    bool replies_later; /* in a reply of /api/later */
    int let_down;
    char ended[200]; /* how many takers were let down, and how the last one was */
    struct client *clients[CLIENTS_LIMIT];
    size_t count;
};

struct later {
    struct list link;
    uv_timer_t timer;
    struct exchange *exchange;
    struct place *place;
    bool upgrade;
};

static struct shared *copy_shared(struct bytes data)
{
    return shared_new(xmemdup(data.data ? data.data : "", data.len), data.len);
}

static void client_send(struct client *c, const char *text)
{
    struct shared *s = copy_shared(bytes_of(text));
    websocket_send(c->socket, s, shared_view(s), false, NULL, 0);
    shared_free(s);
}

static void on_sent(void *user, uint64_t cookie)
{
    struct client *c = user;
    if (cookie != c->sent)
        abort(); /* out of order, or twice */
    c->sent++;
}

static void flood(struct client *c)
{
    while (c->left > 0) {
        c->left--;
        if (!websocket_send(c->socket, c->wave, shared_view(c->wave), true, on_sent, c->next++))
            return;
    }
}

static void on_drain(void *user)
{
    struct client *c = user;
    c->drains++;
    if (c->wave)
        flood(c);
}

/* Text commands: "close CODE REASON", "hold", "sent"; all else, and every binary message, is
 * echoed, or heard by every client of /api/ws/chat. */
static void on_message(void *user, struct bytes data, bool binary)
{
    struct client *c = user;
    scoped(string) char *text = xstrndup(data.data ? data.data : "", binary ? 0 : data.len);
    int code, at = 0;
    if (sscanf(text, "close %d %n", &code, &at) == 1 && at) {
        websocket_close(c->socket, code, text + at);
    } else if (strcmp(text, "sent") == 0) {
        char reply[80];
        snprintf(reply, sizeof reply, "sent %llu drains %llu", (unsigned long long)c->sent,
                 (unsigned long long)c->drains);
        client_send(c, reply);
    } else {
        struct shared *s = copy_shared(data);
        struct place *p = c->place;
        for (size_t i = 0; i < p->count; i++)
            if (p->clients[i] == c || (c->hears_all && p->clients[i]->hears_all))
                websocket_send(p->clients[i]->socket, s, shared_view(s), binary, NULL, 0);
        shared_free(s);
    }
}

static void on_closed(void *user)
{
    struct client *c = user;
    struct place *p = c->place;
    p->clients[c->index] = p->clients[--p->count];
    p->clients[c->index]->index = c->index;
    shared_free(c->wave);
    free(c);
}

static const struct websocket_events client_events = {on_message, on_drain, on_closed, NULL, NULL};

static struct client *client_accept(struct exchange *x, struct place *p)
{
    struct client *c = xcalloc(1, sizeof *c);
    const char *protocol = websocket_offered(x, "v1.test") ? "v1.test" : NULL;
    if (p->count == CLIENTS_LIMIT)
        abort();
    c->place = p;
    c->index = p->count;
    p->clients[p->count++] = c;
    c->hears_all = strcmp(exchange_path(x), "/api/ws/chat") == 0;
    c->socket = websocket_accept(x, protocol, &client_events, c);
    return c;
}

static void open_socket(struct exchange *x, void *context)
{
    client_accept(x, context);
}

static int64_t number_of(struct exchange *x, const char *name, int64_t fallback)
{
    const char *text = exchange_query(x, name);
    return text ? strtoll(text, NULL, 10) : fallback;
}

/* Sends ?count messages of ?bytes each, as fast as the water marks allow. */
static void open_flood(struct exchange *x, void *context)
{
    size_t len = (size_t)number_of(x, "bytes", 1000);
    int64_t count = number_of(x, "count", 1);
    struct client *c = client_accept(x, context);
    char *data = xmalloc(len);
    memset(data, 'f', len);
    c->wave = shared_new(data, len);
    c->left = count;
    flood(c);
}

static void on_later_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_later(uv_timer_t *timer)
{
    struct later *l = timer->data;
    list_remove(&l->link);
    l->place->replies_later = true;
    if (l->upgrade)
        client_accept(l->exchange, l->place);
    else
        exchange_reply(l->exchange, 200, "text/plain", bytes_of("later"));
    l->place->replies_later = false;
    uv_close((uv_handle_t *)timer, on_later_closed);
}

static void reply_later(struct exchange *x, void *context)
{
    struct place *p = context;
    struct later *l = xcalloc(1, sizeof *l);
    l->exchange = x;
    l->place = p;
    l->upgrade = strncmp(exchange_path(x), "/api/ws/", 8) == 0;
    list_add(&p->laters, &l->link);
    uv_timer_init(p->loop, &l->timer);
    l->timer.data = l;
    uv_timer_start(&l->timer, on_later, (uint64_t)number_of(x, "ms", 50), 0);
}

/* Whether this runs inside of another's reply. */
static void tell_inside(struct exchange *x, void *context)
{
    struct place *p = context;
    exchange_reply(x, 200, "text/plain", bytes_of(p->replies_later ? "inside" : "outside"));
}

static void echo(struct exchange *x, void *context)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    struct bytes body = exchange_body(x);
    const char *query = exchange_query(x, "q"), *header = exchange_header(x, "x-test");
    (void)context;
    exchange_reply_json(x, 200,
                        json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:i, s:s%, s:s}", "method",
                                  methods[exchange_method(x)], "path", exchange_path(x), "name",
                                  exchange_param(x, "name"), "query", query, "header", header,
                                  "body_bytes", (int)body.len, "body", body.data ? body.data : "",
                                  body.len < 1000 ? body.len : (size_t)0, "principal",
                                  exchange_principal(x) ? exchange_principal(x)->name : ""));
}

static void take_on(struct taker *t);

static void end_taker(struct taker *t, const struct err *e)
{
    struct exchange *x = t->exchange;
    json_t *reply =
        json_pack("{s:I, s:I, s:I, s:I}", "bytes", (json_int_t)t->bytes, "pieces",
                  (json_int_t)t->pieces, "most", (json_int_t)t->most, "sum", (json_int_t)t->sum);
    buffer_free(&t->piece);
    free(t);
    if (e) {
        json_decref(reply);
        exchange_fail(x, e);
    } else {
        exchange_reply_json(x, 200, reply);
    }
}

/* What a test reads at /api/ended is about the taker that ended last. */
static struct place *the_place;

static void on_taken(void *user, bool last, const struct err *e)
{
    struct taker *t = user;
    if (e) {
        struct err why = *e;
        snprintf(the_place->ended, sizeof the_place->ended, "%d %d %.150s", ++the_place->let_down,
                 why.status, why.text);
        end_taker(t, &why);
        return;
    }
    t->sum = (uint32_t)crc32_z(t->sum, (const unsigned char *)t->piece.data, t->piece.len);
    t->bytes += (int64_t)t->piece.len;
    t->pieces += t->piece.len > 0;
    t->most = (int64_t)t->piece.len > t->most ? (int64_t)t->piece.len : t->most;
    t->last = last;
    if (t->refuse_at >= 0 && t->bytes >= t->refuse_at)
        end_taker(t, &(struct err){.status = 507, .text = "that is enough"});
    else
        take_on(t);
}

static void take_on(struct taker *t)
{
    if (t->last)
        end_taker(t, NULL);
    else if (!list_empty(&t->link)) /* it waits */
        return;
    else
        exchange_receive(t->exchange, &t->piece, on_taken, t);
}

/* ?refuse=N: with 507 after N bytes; ?wait: takes nothing before /api/go. */
static void take_stream(struct exchange *x, void *context)
{
    struct place *p = context;
    struct taker *t = xcalloc(1, sizeof *t);
    t->exchange = x;
    t->refuse_at = number_of(x, "refuse", -1);
    list_init(&t->link);
    if (exchange_query(x, "wait"))
        list_add(&p->takers, &t->link);
    if (t->refuse_at == 0)
        end_taker(t, &(struct err){.status = 507, .text = "nothing at all"});
    else
        take_on(t);
}

static void let_go(struct exchange *x, void *context)
{
    struct place *p = context;
    list_each(&p->takers, link)
    {
        list_remove(link);
        list_init(link);
        take_on(list_owner(link, struct taker, link));
    }
    exchange_reply_empty(x, 204);
}

static void tell_ended(struct exchange *x, void *context)
{
    struct place *p = context;
    exchange_reply(x, 200, "text/plain", bytes_of(p->ended));
}

static void send_name(struct exchange *x, void *context)
{
    (void)context;
    exchange_reply(x, 200, "application/octet-stream", bytes_of(exchange_param(x, "name")));
}

static void send_bytes(struct exchange *x, void *context)
{
    size_t len = (size_t)strtoull(exchange_param(x, "count"), NULL, 10);
    scoped(buffer) struct buffer text = {0};
    (void)context;
    memset(buffer_reserve(&text, len), 'b', len);
    text.len = len;
    exchange_reply(x, 200, "application/octet-stream", buffer_view(&text));
}

/* Who is answered piece by piece. */
struct teller {
    struct exchange *exchange;
    struct buffer piece;
    int64_t left;
    bool cut;
};

static void end_teller(struct teller *t)
{
    buffer_free(&t->piece);
    free(t);
}

static void tell_on(void *user)
{
    struct teller *t = user;
    while (t->left > 0) {
        t->left--;
        if (!exchange_send(t->exchange, buffer_view(&t->piece)))
            return;
    }
    if (t->cut)
        exchange_cut(t->exchange);
    else
        exchange_end(t->exchange);
    end_teller(t);
}

static void on_teller_gone(void *user)
{
    snprintf(the_place->ended, sizeof the_place->ended, "%d gone", ++the_place->let_down);
    end_teller(user);
}

/* Sends ?count pieces of ?bytes each; ?cut: breaks off behind them. */
static void send_pieces(struct exchange *x, void *context)
{
    static const struct pieces_events events = {tell_on, on_teller_gone};
    size_t len = (size_t)number_of(x, "bytes", 10);
    struct teller *t = xcalloc(1, sizeof *t);
    (void)context;
    t->exchange = x;
    t->left = number_of(x, "count", 1);
    t->cut = exchange_query(x, "cut") != NULL;
    memset(buffer_reserve(&t->piece, len), 'p', len);
    t->piece.len = len;
    if (exchange_begin(x, 200, "text/plain", &events, t))
        tell_on(t);
    else
        end_teller(t);
}

/* How many replies are not with the socket, and WebSockets there are, and then the server's clock,
 * ?ms= ahead, looks at every connection. */
static void tick_ahead(struct exchange *x, void *context)
{
    const struct server *s = x->connection->server;
    int64_t now_ms = monotonic_ms() + number_of(x, "ms", 0);
    int pending = 0;
    (void)context;
    list_each(&s->connections, link)
    {
        struct connection *c = list_owner(link, struct connection, link);
        pending += stream_pending(c->stream);
        connection_tick(c, now_ms);
    }
    list_each(&s->websockets, link)
    {
        pending++; /* those that there are */
        websocket_tick(websocket_of_link(link), now_ms);
    }
    exchange_reply_json(x, 200, json_pack("{s:i}", "pending", pending));
}

static void send_file(struct exchange *x, void *context)
{
    (void)context;
    exchange_reply_file(x, exchange_query(x, "path"), "text/plain", exchange_query(x, "etag"));
}

static void fail_with(struct exchange *x, void *context)
{
    struct err e = {0};
    (void)context;
    fail(&e, (int)strtol(exchange_param(x, "status"), NULL, 10), "told \"to\" fail");
    exchange_fail(x, &e);
}

static void version(struct exchange *x, void *context)
{
    (void)context;
    exchange_reply_json(x, 200, json_pack("{s:s}", "version", WARMCELL_VERSION));
}

static const struct route routes[] = {
    {GET, "/api", version, .summary = "", .access = ACCESS_OPEN},
    {GET, "/api/echo/{name}", echo, .summary = ""},
    {POST, "/api/echo/{name}", echo, .summary = ""},
    {PUT, "/api/echo/{name}", echo, .summary = ""},
    {PATCH, "/api/echo/{name}", echo, .summary = ""},
    {DELETE, "/api/echo/{name}", echo, .summary = ""},
    {GET, "/api/tree/{name*}", echo, .summary = ""},
    {PUT, "/api/stream/{name}", take_stream, .summary = "", .kind = ROUTE_STREAM},
    {POST, "/api/go", let_go, .summary = ""},
    {GET, "/api/ended", tell_ended, .summary = ""},
    {GET, "/api/raw/{name*}", send_name, .summary = ""},
    {GET, "/api/later", reply_later, .summary = ""},
    {POST, "/api/later", reply_later, .summary = ""},
    {GET, "/api/inside", tell_inside, .summary = ""},
    {GET, "/api/bytes/{count}", send_bytes, .summary = ""},
    {GET, "/api/tick", tick_ahead, .summary = ""},
    {GET, "/api/file", send_file, .summary = ""},
    {GET, "/api/pieces", send_pieces, .summary = ""},
    {GET, "/api/fail/{status}", fail_with, .summary = ""},
    {GET, "/v1/fail/{status}", fail_with, .summary = "", .error_form = ERRORS_PROBLEM},
    {GET, "/api/ws/echo", open_socket, .summary = "", .kind = ROUTE_UPGRADE},
    {GET, "/api/ws/chat", open_socket, .summary = "", .kind = ROUTE_UPGRADE},
    {GET, "/api/ws/flood", open_flood, .summary = "", .kind = ROUTE_UPGRADE},
    {GET, "/api/ws/late", reply_later, .summary = "", .kind = ROUTE_UPGRADE},
    {GET, "/api/ws/fail/{status}", fail_with, .summary = "", .kind = ROUTE_UPGRADE},
};

static const struct route_table table = {routes, countof(routes)};

static void *service_open(const struct settings *settings, uv_loop_t *loop, struct server *server,
                          struct err *e)
{
    struct place *p = xcalloc(1, sizeof *p);
    (void)settings;
    (void)e;
    p->loop = loop;
    list_init(&p->laters);
    list_init(&p->takers);
    the_place = p;
    server_add_routes(server, &table, p);
    return p;
}

static void service_drain(void *self, void (*done)(void *user), void *user)
{
    (void)self;
    done(user);
}

static void service_close(void *self)
{
    struct place *p = self;
    list_each(&p->laters, link)
        uv_close((uv_handle_t *)&list_owner(link, struct later, link)->timer, on_later_closed);
    free(p);
}

static const struct service service = {service_open, service_drain, service_close, NULL};

int main(int argc, char **argv)
{
    return serve_run(argv + 1, (size_t)argc - 1, &service);
}
