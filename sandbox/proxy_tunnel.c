/* A tunnel: reads a request's head, asks the allow-list, looks the name up, connects to an address
 * that is not forbidden, and passes bytes both ways, each way with one chunk in flight: a peer that
 * is slow slows the other and costs no memory. Invariant: a name that is not allowed is never
 * looked up, and no connection is tried that allow_address has not seen. */
#include "sandbox/proxy_tunnel.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/bytes.h"
#include "sandbox/proxy_audit.h"
#include "sandbox/proxy_head.h"

#define ADDRESSES_MOST 8
#define LINGER_MS      2000 /* for a refusal to be read */

/* One direction. */
struct way {
    struct tunnel *tunnel;
    uv_stream_t *from, *to;
    uv_write_t write;
    uv_shutdown_t shutdown;
    char *chunk; /* TUNNEL_CHUNK; owned */
    int64_t bytes;
    int64_t uncounted; /* our own words among them */
    bool ended;
};

struct tunnel {
    struct tunnel *next;
    struct box *box;
    const struct patience *patience;
    void (*on_less)(struct box *box);
    uv_tcp_t client, server;
    uv_timer_t timer;
    uv_getaddrinfo_t lookup;
    uv_connect_t connect;
    uv_write_t reply_write;
    uv_shutdown_t reply_shutdown;
    char *reply; /* of a refusal; owned */
    struct buffer received;
    struct proxy_head head;
    struct sockaddr_storage addresses[ADDRESSES_MOST];
    size_t address_count, address_next;
    struct way up, down;
    char verdict[160];
    size_t handles; /* that are to be closed before the memory goes */
    bool looking_up, closing, refused;
    bool renewing; /* the server's socket, after a connection that failed */
};

/* --- the end */

static void tunnel_freed(struct tunnel *t)
{
    struct box *box = t->box;
    void (*on_less)(struct box *) = t->on_less;
    struct tunnel **at = &box->tunnels;
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    box->tunnel_count--;
    buffer_free(&t->received);
    proxy_head_free(&t->head);
    free(t->up.chunk);
    free(t->down.chunk);
    free(t->reply);
    free(t);
    on_less(box);
}

static void on_closed(uv_handle_t *handle)
{
    struct tunnel *t = handle->data;
    if (--t->handles == 0 && !t->looking_up)
        tunnel_freed(t);
}

static void tunnel_close(struct tunnel *t)
{
    if (t->closing)
        return;
    t->closing = true;
    audit_write(&(struct audit_line){
        .sandbox = t->box->id,
        .method = t->head.method,
        .host = t->head.host,
        .port = t->head.port,
        .verdict = t->verdict[0] ? t->verdict : "failed: the sandbox closed the connection",
        .sent_bytes = t->up.bytes - t->up.uncounted,
        .received_bytes = t->down.bytes - t->down.uncounted,
    });
    if (t->looking_up)
        uv_cancel((uv_req_t *)&t->lookup);
    uv_close((uv_handle_t *)&t->client, on_closed);
    if (!t->renewing)
        uv_close((uv_handle_t *)&t->server, on_closed);
    uv_close((uv_handle_t *)&t->timer, on_closed);
}

void tunnels_close(struct box *box)
{
    for (struct tunnel *t = box->tunnels; t; t = t->next)
        tunnel_close(t);
}

/* --- refusals: answered, ended, and read on until the client has seen it */

static void on_allocate_waste(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    static char waste[4096];
    (void)handle;
    (void)suggested;
    *out = uv_buf_init(waste, sizeof waste);
}

static void on_waste(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    (void)buf;
    if (n < 0)
        tunnel_close(stream->data);
}

static void on_replied(uv_write_t *write, int status)
{
    struct tunnel *t = write->data;
    if (status != 0 || t->closing ||
        uv_shutdown(&t->reply_shutdown, (uv_stream_t *)&t->client, NULL))
        tunnel_close(t);
    else
        uv_read_start((uv_stream_t *)&t->client, on_allocate_waste, on_waste);
}

static void on_patience_lost(uv_timer_t *timer)
{
    tunnel_close(timer->data);
}

static const char *reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } rows[] = {{400, "Bad Request"},
                {403, "Forbidden"},
                {501, "Not Implemented"},
                {502, "Bad Gateway"},
                {504, "Gateway Timeout"}};
    for (size_t i = 0; i < countof(rows); i++)
        if (rows[i].status == status)
            return rows[i].reason;
    return "Error";
}

__attribute__((format(printf, 3, 4))) static void refuse(struct tunnel *t, int status,
                                                         const char *format, ...)
{
    va_list args;
    if (t->closing || t->refused)
        return;
    t->refused = true;
    va_start(args, format);
    vsnprintf(t->verdict, sizeof t->verdict, format, args);
    va_end(args);
    t->reply = xasprintf("HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
                         "Connection: close\r\n\r\n%s\n",
                         status, reason(status), strlen(t->verdict) + 1, t->verdict);
    uv_buf_t buf = uv_buf_init(t->reply, (unsigned)strlen(t->reply));
    t->reply_write.data = t;
    uv_read_stop((uv_stream_t *)&t->client);
    uv_timer_start(&t->timer, on_patience_lost, LINGER_MS, 0);
    if (uv_write(&t->reply_write, (uv_stream_t *)&t->client, &buf, 1, on_replied) != 0)
        tunnel_close(t);
}

/* --- passing bytes */

static void restart_idle(struct tunnel *t)
{
    uv_timer_start(&t->timer, on_patience_lost, t->patience->idle_ms, 0);
}

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct tunnel *t = handle->data;
    struct way *way = (uv_stream_t *)handle == t->up.from ? &t->up : &t->down;
    (void)suggested;
    *out = uv_buf_init(way->chunk, TUNNEL_CHUNK);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void on_written(uv_write_t *write, int status)
{
    struct way *way = write->data;
    if (way->tunnel->closing)
        return;
    if (status != 0 || uv_read_start(way->from, on_allocate, on_read) != 0)
        tunnel_close(way->tunnel);
}

static void way_write(struct way *way, size_t len)
{
    uv_buf_t buf = uv_buf_init(way->chunk, (unsigned)len);
    way->bytes += (int64_t)len;
    way->write.data = way;
    uv_read_stop(way->from);
    if (uv_write(&way->write, way->to, &buf, 1, on_written) != 0)
        tunnel_close(way->tunnel);
}

/* One side has said all: the other is told so, and may go on. */
static void way_end(struct way *way)
{
    struct tunnel *t = way->tunnel;
    way->ended = true;
    uv_read_stop(way->from);
    if ((t->up.ended && t->down.ended) || uv_shutdown(&way->shutdown, way->to, NULL) != 0)
        tunnel_close(t);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct tunnel *t = stream->data;
    struct way *way = stream == t->up.from ? &t->up : &t->down;
    (void)buf;
    if (n == 0)
        return;
    restart_idle(t);
    if (n > 0)
        way_write(way, (size_t)n);
    else if (n == UV_EOF)
        way_end(way);
    else
        tunnel_close(t);
}

/* first: what goes before anything that is read; at most a chunk. */
static void way_begin(struct way *way, struct tunnel *t, uv_tcp_t *from, uv_tcp_t *to,
                      struct bytes first)
{
    way->tunnel = t;
    way->from = (uv_stream_t *)from;
    way->to = (uv_stream_t *)to;
    way->chunk = xmalloc(TUNNEL_CHUNK);
    if (first.len == 0) {
        if (uv_read_start(way->from, on_allocate, on_read) != 0)
            tunnel_close(t);
        return;
    }
    memcpy(way->chunk, first.data, first.len);
    way_write(way, first.len);
}

static void join(struct tunnel *t)
{
    static const char established[] = "HTTP/1.1 200 Connection established\r\n\r\n";
    struct bytes down = t->head.tunnel ? bytes_of(established) : (struct bytes){0};
    snprintf(t->verdict, sizeof t->verdict, "allowed");
    uv_tcp_nodelay(&t->client, 1);
    uv_tcp_nodelay(&t->server, 1);
    restart_idle(t);
    buffer_add_bytes(&t->head.forward, buffer_view(&t->received));
    t->down.uncounted = (int64_t)down.len;
    way_begin(&t->up, t, &t->client, &t->server, buffer_view(&t->head.forward));
    if (!t->closing)
        way_begin(&t->down, t, &t->server, &t->client, down);
    buffer_free(&t->received);
    buffer_free(&t->head.forward);
}

/* --- reaching the host */

static void try_next(struct tunnel *t, int why);

static void on_connected(uv_connect_t *connect, int status)
{
    struct tunnel *t = connect->data;
    if (t->closing || t->refused)
        return;
    if (status == 0)
        return join(t);
    try_next(t, status);
}

static void on_server_closed(uv_handle_t *handle)
{
    struct tunnel *t = handle->data;
    if (t->closing) {
        on_closed(handle);
        return;
    }
    t->renewing = false;
    uv_tcp_init(handle->loop, &t->server);
    if (!t->refused)
        try_next(t, 0);
}

/* A socket on which a connection failed is of no more use. */
static void try_next(struct tunnel *t, int why)
{
    if (why != 0 && t->address_next < t->address_count) {
        t->address_next++;
        if (t->address_next < t->address_count) {
            t->renewing = true;
            uv_close((uv_handle_t *)&t->server, on_server_closed);
            return;
        }
    }
    if (t->address_next >= t->address_count)
        return refuse(t, 502, "failed: %s", uv_strerror(why));
    t->connect.data = t;
    t->server.data = t;
    int status = uv_tcp_connect(&t->connect, &t->server,
                                (struct sockaddr *)&t->addresses[t->address_next], on_connected);
    if (status != 0)
        refuse(t, 502, "failed: %s", uv_strerror(status));
}

/* One of this machine's own addresses, on whatever interface. */
static bool is_our_own(const struct sockaddr *address)
{
    uv_interface_address_t *own;
    int count;
    bool found = false;
    if (uv_interface_addresses(&own, &count) != 0)
        return false;
    for (int i = 0; i < count && !found; i++) {
        const struct sockaddr_in *four = &own[i].address.address4;
        const struct sockaddr_in6 *six = &own[i].address.address6;
        if (four->sin_family != address->sa_family)
            continue;
        found = address->sa_family == AF_INET
                    ? four->sin_addr.s_addr ==
                          ((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr
                    : memcmp(&six->sin6_addr,
                             &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr,
                             sizeof six->sin6_addr) == 0;
    }
    uv_free_interface_addresses(own, count);
    return found;
}

static void keep_addresses(struct tunnel *t, const struct addrinfo *found)
{
    const char *kind = NULL, *refused = NULL;
    for (; found && t->address_count < ADDRESSES_MOST; found = found->ai_next) {
        if (!allow_address(&t->box->allow, found->ai_addr, &kind)) {
            refused = kind;
        } else if (!kind && is_our_own(found->ai_addr) &&
                   !allow_listed(&t->box->allow, found->ai_addr)) {
            refused = "host's own";
        } else {
            memcpy(&t->addresses[t->address_count++], found->ai_addr, found->ai_addrlen);
        }
    }
    if (t->address_count > 0)
        return try_next(t, 0);
    refuse(t, 403, "refused: %s has a %s address, which must be listed itself", t->head.host,
           refused ? refused : "strange");
}

static void on_looked_up(uv_getaddrinfo_t *lookup, int status, struct addrinfo *found)
{
    struct tunnel *t = lookup->data;
    t->looking_up = false;
    if (t->closing) {
        if (t->handles == 0)
            tunnel_freed(t);
    } else if (status != 0) {
        refuse(t, 502, "failed: %s: %s", t->head.host, uv_strerror(status));
    } else if (!t->refused) {
        keep_addresses(t, found);
    }
    uv_freeaddrinfo(found);
}

static void on_too_slow(uv_timer_t *timer)
{
    struct tunnel *t = timer->data;
    refuse(t, 504, "failed: %s does not answer", t->head.host);
}

static void reach(struct tunnel *t)
{
    static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    char port[8];
    snprintf(port, sizeof port, "%u", t->head.port);
    t->lookup.data = t;
    t->looking_up = true;
    uv_timer_start(&t->timer, on_too_slow, t->patience->step_ms, 0);
    int status =
        uv_getaddrinfo(t->client.loop, &t->lookup, on_looked_up, t->head.host, port, &hints);
    if (status != 0) {
        t->looking_up = false;
        refuse(t, 502, "failed: %s: %s", t->head.host, uv_strerror(status));
    }
}

/* --- the head */

static void decide(struct tunnel *t, size_t len)
{
    struct err e = {0};
    uv_read_stop((uv_stream_t *)&t->client);
    struct bytes head = {t->received.data, len};
    if (!proxy_head_read(head, &t->head, &e))
        return refuse(t, e.status, "refused: %s", e.text);
    buffer_drop(&t->received, len);
    if (!allow_host(&t->box->allow, t->head.host, t->head.port))
        return refuse(t, 403, "refused: %.100s:%u is not in the sandbox's list", t->head.host,
                      t->head.port);
    reach(t);
}

static void on_allocate_head(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct tunnel *t = handle->data;
    size_t room = PROXY_HEAD_BYTES - t->received.len;
    (void)suggested;
    *out = uv_buf_init(buffer_reserve(&t->received, room), (unsigned)room);
}

static void on_head(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct tunnel *t = stream->data;
    (void)buf;
    if (n < 0)
        return tunnel_close(t);
    t->received.len += (size_t)n;
    size_t len = proxy_head_length(buffer_view(&t->received));
    if (len)
        decide(t, len);
    else if (t->received.len >= PROXY_HEAD_BYTES)
        refuse(t, 400, "refused: the head of the request is longer than %d bytes",
               PROXY_HEAD_BYTES);
}

void tunnel_accept(struct box *box, const struct patience *patience,
                   void (*on_less)(struct box *box))
{
    struct tunnel *t = xcalloc(1, sizeof *t);
    t->box = box;
    t->patience = patience;
    t->on_less = on_less;
    t->handles = 3;
    t->next = box->tunnels;
    box->tunnels = t;
    box->tunnel_count++;
    uv_tcp_init(box->listener.loop, &t->client);
    uv_tcp_init(box->listener.loop, &t->server);
    uv_timer_init(box->listener.loop, &t->timer);
    t->client.data = t->server.data = t->timer.data = t;
    uv_timer_start(&t->timer, on_patience_lost, patience->step_ms, 0);
    if (uv_accept((uv_stream_t *)&box->listener, (uv_stream_t *)&t->client) != 0 ||
        uv_read_start((uv_stream_t *)&t->client, on_allocate_head, on_head) != 0)
        tunnel_close(t);
}
