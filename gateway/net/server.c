/* Owns what all connections share, and the three handles of the loop that serve them: a timer for
 * every deadline, a prepare hook that writes what WebSockets queued during the turn, and an idle
 * handle that keeps the loop from sleeping while something is queued. Called by serve.c. */
#include "gateway/net/server.h"

#include <assert.h>

#include "gateway/log.h"
#include "gateway/net/allowance.h"
#include "gateway/net/connection.h"
#include "gateway/net/listener.h"
#include "protocol/ids.h"

#define CLOSE_POLICY 1008

static bool beyond_loopback(const struct settings_net *settings)
{
    return !*settings->socket && !origin_is_loopback(settings->ip);
}

static bool check_safe(const struct settings_net *n, struct err *e)
{
    if (!beyond_loopback(n))
        return true;
    if (n->open_tokens)
        return fail(e, 400,
                    "open-tokens: is for gateways that only this machine reaches, and this one is "
                    "to listen beyond it (%s)",
                    n->ip);
    if (!*n->token)
        return fail(e, 400, "token: must not be empty when listening beyond this machine (%s)",
                    n->ip);
    if (!*n->certfile && !n->insecure_http)
        return fail(e, 400,
                    "certfile: is needed to listen beyond this machine (%s); --insecure-http does "
                    "without TLS",
                    n->ip);
    return true;
}

static bool set_up(struct server *s, struct err *e)
{
    const struct settings_net *n = s->settings;
    if (!check_safe(n, e))
        return false;
    if (*n->certfile || *n->keyfile || *n->client_ca) {
        if (!*n->certfile)
            return fail(e, 400, "certfile: is needed beside keyfile and client_ca");
        s->tls = tls_new(n->certfile, *n->keyfile ? n->keyfile : n->certfile, n->client_ca, e);
        if (!s->tls)
            return false;
    }
    if (!allowances_check(&n->quota, e))
        return false;
    if (*n->jwt.keys && !(s->jwt = jwt_new(&n->jwt, e)))
        return false;
    s->sites_domain = *n->ports_domain                   ? n->ports_domain
                      : *n->socket || beyond_loopback(n) ? ""
                                                         : "localhost";
    s->origin = origin_policy_new(n, !beyond_loopback(n), e);
    return s->origin != NULL;
}

static void server_free(struct server *s)
{
    router_free(s->router);
    auth_free(s->auth);
    jwt_free(s->jwt);
    jwt_free(s->own_jwt);
    rate_free(s->rate);
    audit_close(s->audit);
    origin_policy_free(s->origin);
    tls_free(s->tls);
    free(s->url);
    free(s);
}

/* Closes everything that is open, at once. */
static void cut(struct server *s)
{
    list_each(&s->connections, link) connection_close(list_owner(link, struct connection, link));
    list_each(&s->websockets, link) websocket_abort(websocket_of_link(link));
    tunnels_cut(s);
    relays_cut(s);
}

/* Has this process not run, or one turn of the loop taken long? What came from the clients in that
 * time, and in their time, has not been read yet: their time goes on to the next tick. */
static bool is_late(struct server *s, int64_t now)
{
    bool late = now - s->ticked_ms >= (int64_t)2 * TICK_MS;
    s->ticked_ms = now;
    s->late_ticks = late ? s->late_ticks + 1 : 0;
    return late && s->late_ticks <= LATE_TICKS_MOST;
}

bool server_lost(const struct server *s, struct stream *stream, int64_t now_ms)
{
    char address[STREAM_PEER_TEXT];
    const char *remote = address;
    if (!s->settings->client_lost_s ||
        !stream_is_lost(stream, now_ms, s->settings->client_lost_s * 1000))
        return false;
    stream_peer_text(stream, address);
    log_info("client lost", F_STR("remote", remote));
    return true;
}

static void end_what_is_due(struct server *s, int64_t now)
{
    list_each(&s->connections, link)
        connection_tick(list_owner(link, struct connection, link), now);
    list_each(&s->websockets, link) websocket_tick(websocket_of_link(link), now);
    relays_tick(s, now);
    tunnels_tick(s, now);
    if (s->draining && s->on_drained && now >= s->drain_deadline_ms)
        cut(s);
}

static void on_tick(uv_timer_t *timer)
{
    struct server *s = timer->data;
    int64_t now = monotonic_ms();
    if (s->jwt)
        jwt_refresh(s->jwt);
    server_recheck(s);
    if (!is_late(s, now))
        end_what_is_due(s, now);
}

/* What is queued meanwhile waits for the next turn. */
static void move_all(struct list *from, struct list *to)
{
    list_init(to);
    while (!list_empty(from)) {
        struct list *first = from->next;
        list_remove(first);
        list_add(to, first);
    }
}

static void on_flush(uv_prepare_t *prepare)
{
    struct server *s = prepare->data;
    if (s->audit)
        audit_write(s->audit);
    struct list turn;
    move_all(&s->unsent, &turn);
    while (!list_empty(&turn))
        websocket_flush(websocket_of_unsent(turn.next));
    move_all(&s->later, &turn);
    while (!list_empty(&turn)) {
        struct connection *c = list_owner(turn.next, struct connection, later.link);
        list_remove(turn.next);
        c->later.run(c);
    }
    if (list_empty(&s->unsent) && list_empty(&s->later))
        uv_idle_stop(&s->hurry);
}

static void on_hurry(uv_idle_t *idle)
{
    (void)idle;
}

void server_trust(struct server *s, const struct trust *trust)
{
    auth_trust(s->auth, trust);
}

bool server_own_jwts(struct server *s, const char *issuer, json_t *secrets, struct err *e)
{
    s->own_jwt = jwt_new_own(issuer, secrets, e);
    auth_own_jwt(s->auth, s->own_jwt);
    return s->own_jwt != NULL;
}

char *server_sign_jwt(const struct server *s, json_t *claims, struct err *e)
{
    return jwt_sign(s->own_jwt, claims, e);
}

void server_reload(struct server *s)
{
    jwt_reload(s->jwt);
    server_recheck(s);
}

bool server_reloads(const struct server *s)
{
    return s->jwt != NULL;
}

bool server_audit(struct server *s, const char *path, struct err *e)
{
    s->audit = audit_open(path, e);
    return s->audit != NULL;
}

struct server *exchange_server(const struct exchange *x)
{
    return x->connection->server;
}

void server_recheck(struct server *s)
{
    list_each(&s->websockets, link)
    {
        struct websocket *w = websocket_of_link(link);
        if (!auth_still(s->auth, websocket_principal(w)))
            websocket_close(w, CLOSE_POLICY, "the token is not good any more");
    }
    tunnels_recheck(s);
    list_each(&s->connections, link)
    {
        struct connection *c = list_owner(link, struct connection, link);
        if (c->pieces.events && c->exchange.known && !auth_still(s->auth, &c->exchange.principal))
            connection_close(c);
    }
}

void server_hurry(struct server *s)
{
    if (!s->closing)
        uv_idle_start(&s->hurry, on_hurry);
}

struct server *server_new(const struct settings_net *settings, uv_loop_t *loop, struct err *e)
{
    struct server *s = xcalloc(1, sizeof *s);
    s->settings = settings;
    s->loop = loop;
    if (!set_up(s, e)) {
        server_free(s);
        return NULL;
    }
    s->router = router_new();
    s->auth = auth_new(settings->token);
    auth_jwt(s->auth, s->jwt);
    s->rate = rate_new();
    list_init(&s->connections);
    list_init(&s->orphans);
    list_init(&s->websockets);
    list_init(&s->relays);
    list_init(&s->tunnels);
    list_init(&s->unsent);
    list_init(&s->later);
    uv_timer_init(loop, &s->tick);
    uv_prepare_init(loop, &s->flush);
    uv_idle_init(loop, &s->hurry);
    s->tick.data = s->flush.data = s->hurry.data = s;
    s->ticked_ms = monotonic_ms();
    uv_timer_start(&s->tick, on_tick, TICK_MS, TICK_MS);
    uv_prepare_start(&s->flush, on_flush);
    return s;
}

void server_add_routes(struct server *s, const struct route_table *table, void *context)
{
    assert(s->table_count < TABLES_LIMIT);
    s->tables[s->table_count++] = table;
    router_add(s->router, table, context);
}

const struct route_table *const *exchange_route_tables(const struct exchange *x, size_t *count)
{
    const struct server *s = x->connection->server;
    *count = s->table_count;
    return s->tables;
}

static void on_connection(void *user, uv_stream_t *stream)
{
    connection_accept(user, stream);
}

static char *make_url(const struct server *s)
{
    const struct settings_net *n = s->settings;
    if (*n->socket)
        return xasprintf("unix:%s", n->socket);
    const char *host = strcmp(n->ip, "*") == 0 || strcmp(n->ip, "0.0.0.0") == 0 ? "127.0.0.1"
                       : strcmp(n->ip, "::") == 0                               ? "::1"
                                                                                : n->ip;
    bool six = strchr(host, ':') != NULL;
    return xasprintf("%s://%s%s%s:%d%s/", s->tls ? "https" : "http", six ? "[" : "", host,
                     six ? "]" : "", s->port, n->base_url);
}

bool server_listen(struct server *s, struct err *e)
{
    s->listener = listener_open(s->settings, s->loop, on_connection, s, e);
    if (!s->listener)
        return false;
    s->port = listener_port(s->listener);
    s->url = make_url(s);
    snprintf(s->cookie_name, sizeof s->cookie_name, "warmcell-%d", s->port);
    return true;
}

const char *server_url(const struct server *s)
{
    return s->url;
}

int server_port(const struct server *s)
{
    return s->port;
}

void exchange_server_numbers(const struct exchange *x, struct server_numbers *out)
{
    const struct server *s = x->connection->server;
    *out = (struct server_numbers){.connections = (int64_t)s->connection_count};
    memcpy(out->replies, s->replies, sizeof(out->replies));
    list_each(&s->websockets, link) out->websockets++;
}

size_t server_connections(const struct server *s)
{
    return s->connection_count;
}

uint64_t server_accepted(const struct server *s)
{
    return s->accepted;
}

void server_orphan(struct server *s, struct list *link)
{
    list_remove(link);
    list_add(&s->orphans, link);
    s->connection_count--;
}

static void stop_listening(struct server *s)
{
    if (s->listener)
        listener_close(s->listener, NULL, NULL);
    s->listener = NULL;
}

static void finish_close(struct server *s)
{
    while (!list_empty(&s->orphans))
        connection_free(list_owner(s->orphans.next, struct connection, link));
    void (*on_closed)(void *user) = s->on_closed;
    void *user = s->closed_user;
    server_free(s);
    if (on_closed)
        on_closed(user);
}

void server_check_drained(struct server *s)
{
    if (s->connection_count || !list_empty(&s->relays))
        return;
    if (s->on_drained) {
        void (*done)(void *user) = s->on_drained;
        s->on_drained = NULL;
        done(s->drained_user);
    }
    if (s->closing && !s->handles_open)
        finish_close(s);
}

void server_drain(struct server *s, void (*done)(void *user), void *user)
{
    s->draining = true;
    s->drain_deadline_ms = monotonic_ms() + s->settings->drain_s * 1000;
    stop_listening(s);
    list_each(&s->connections, link)
    {
        struct connection *c = list_owner(link, struct connection, link);
        if (connection_idle(c))
            connection_close(c);
    }
    list_each(&s->websockets, link)
        websocket_close(websocket_of_link(link), 1012, "the gateway is going down");
    tunnels_cut(s);
    relays_drain(s);
    s->on_drained = done;
    s->drained_user = user;
    server_check_drained(s);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct server *s = handle->data;
    s->handles_open--;
    server_check_drained(s);
}

void server_close(struct server *s, void (*on_closed)(void *user), void *user)
{
    s->closing = true;
    s->on_drained = NULL;
    s->on_closed = on_closed;
    s->closed_user = user;
    s->handles_open = 3;
    stop_listening(s);
    cut(s);
    uv_close((uv_handle_t *)&s->tick, on_handle_closed);
    uv_close((uv_handle_t *)&s->flush, on_handle_closed);
    uv_close((uv_handle_t *)&s->hurry, on_handle_closed);
}
