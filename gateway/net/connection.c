/* One HTTP/1.1 connection: bytes in, requests one after another, replies in their order.
 *
 * A request is parsed as far as its end, handed to exchange.c outside of llhttp, and only when its
 * reply is whole does parsing go on with the bytes that were held back meanwhile: so pipelined
 * requests are answered in order and never run at the same time. A handler that replied later than
 * in its own call is not run into by the next one: that one comes in a turn of its own. A refused
 * connection is shut down, drained and then closed, because a close with unread bytes would take
 * the refusal back (TCP reset). */
#include "gateway/net/connection.h"

#include <assert.h>

#include "gateway/log.h"
#include "protocol/ids.h"

static int64_t request_deadline(const struct connection *c)
{
    return monotonic_ms() + c->server->settings->request_timeout_s * 1000;
}

static int on_message_begin(llhttp_t *parser)
{
    struct connection *c = parser->data;
    exchange_reset(&c->exchange);
    c->header_bytes = 0;
    c->in_message = true;
    c->deadline_ms = request_deadline(c);
    return 0;
}

/* A refusal from inside a parser callback: the parse ends and the verdict is answered. */
__attribute__((format(printf, 3, 4))) static int refuse(struct connection *c, int status,
                                                        const char *format, ...)
{
    va_list args;
    va_start(args, format);
    c->exchange.verdict.status = status;
    vsnprintf(c->exchange.verdict.text, sizeof c->exchange.verdict.text, format, args);
    va_end(args);
    return HPE_USER;
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    struct connection *c = parser->data;
    if (c->exchange.text.len + len > URL_LIMIT_BYTES)
        return refuse(c, 414, "the request target is longer than %d bytes", URL_LIMIT_BYTES);
    buffer_add(&c->exchange.text, at, len);
    return 0;
}

static int on_url_complete(llhttp_t *parser)
{
    struct connection *c = parser->data;
    buffer_add(&c->exchange.text, "", 1);
    return 0;
}

static int count_header_bytes(struct connection *c, size_t len)
{
    c->header_bytes += len;
    if (c->header_bytes > HEADER_BLOCK_LIMIT_BYTES)
        return refuse(c, 431, "the headers are longer than %d bytes", HEADER_BLOCK_LIMIT_BYTES);
    return 0;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t len)
{
    struct connection *c = parser->data;
    struct exchange *x = &c->exchange;
    int status = count_header_bytes(c, len);
    if (status || x->head_done)
        return status;
    if (x->header_count == HEADERS_LIMIT)
        return refuse(c, 431, "there are more than %d headers", HEADERS_LIMIT);
    if (!x->headers[x->header_count].name)
        x->headers[x->header_count].name = (uint32_t)x->text.len;
    buffer_add(&x->text, at, len);
    return 0;
}

static int on_header_field_complete(llhttp_t *parser)
{
    struct connection *c = parser->data;
    struct exchange *x = &c->exchange;
    if (x->head_done)
        return 0;
    if (!x->headers[x->header_count].name) /* an empty name; exchange_judge refuses it */
        x->headers[x->header_count].name = (uint32_t)x->text.len;
    buffer_add(&x->text, "", 1);
    x->headers[x->header_count].value = (uint32_t)x->text.len;
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t len)
{
    struct connection *c = parser->data;
    int status = count_header_bytes(c, len);
    if (status || c->exchange.head_done)
        return status;
    buffer_add(&c->exchange.text, at, len);
    return 0;
}

static int on_header_value_complete(llhttp_t *parser)
{
    struct connection *c = parser->data;
    struct exchange *x = &c->exchange;
    if (x->head_done)
        return 0;
    size_t start = x->headers[x->header_count].value;
    while (x->text.len > start &&
           (x->text.data[x->text.len - 1] == ' ' || x->text.data[x->text.len - 1] == '\t'))
        x->text.len--;
    buffer_add(&x->text, "", 1);
    x->header_count++;
    return 0;
}

static bool is_streamed(const struct exchange *x)
{
    return x->has_body && x->route && !x->options && !x->verdict.status &&
           (x->route->kind == ROUTE_STREAM || x->route->kind == ROUTE_RELAY);
}

/* A streamed body is read on when its handler, which is called outside of llhttp, has begun. */
static int on_headers_complete(llhttp_t *parser)
{
    struct connection *c = parser->data;
    struct exchange *x = &c->exchange;
    x->head_done = true;
    x->has_body = (parser->flags & F_CHUNKED) || parser->content_length > 0;
    x->body_length = parser->flags & F_CHUNKED            ? -1
                     : parser->content_length > INT64_MAX ? INT64_MAX
                                                          : (int64_t)parser->content_length;
    x->close = !llhttp_should_keep_alive(parser);
    exchange_judge(x);
    if (!x->route || (x->route->kind != ROUTE_UPGRADE && !x->wants_upgrade) || x->options ||
        x->verdict.status)
        parser->upgrade = 0;
    if (x->verdict.status && x->has_body)
        return HPE_USER;
    c->deadline_ms = request_deadline(c);
    if (is_streamed(x))
        return HPE_PAUSED;
    if (x->has_body)
        body_continue(x);
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    struct connection *c = parser->data;
    size_t limit = (size_t)c->server->settings->body_limit_bytes;
    if (c->state == CONNECTION_RECEIVING)
        limit = SIZE_MAX; /* the handler counts */
    if (len > limit || c->exchange.body.len > limit - len)
        return refuse(c, 413, "the body is longer than %zu bytes", limit);
    buffer_add(&c->exchange.body, at, len);
    c->deadline_ms = request_deadline(c);
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    struct connection *c = parser->data;
    c->in_message = false;
    c->scan = SCAN_BEFORE;
    return HPE_PAUSED;
}

/* Trailers (which are passed over) and chunk extensions count as headers, so that they cannot go on
 * for ever. */
static int on_chunk_extension(llhttp_t *parser, const char *at, size_t len)
{
    (void)at;
    return count_header_bytes(parser->data, len);
}

static const llhttp_settings_t callbacks = {
    .on_message_begin = on_message_begin,
    .on_url = on_url,
    .on_url_complete = on_url_complete,
    .on_header_field = on_header_field,
    .on_header_field_complete = on_header_field_complete,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_chunk_extension_name = on_chunk_extension,
    .on_chunk_extension_value = on_chunk_extension,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* A method in capitals that llhttp stumbles over is one that we do not know; all else is noise. */
static bool looks_like_method(struct bytes data, const char *at)
{
    return at && at >= data.data && at < data.data + data.len && *at >= 'A' && *at <= 'Z';
}

/* What llhttp found wrong, as a verdict. */
static void judge_parse_error(struct connection *c, llhttp_errno_t code, struct bytes data)
{
    struct exchange *x = &c->exchange;
    if (x->verdict.status)
        return;
    if (code == HPE_INVALID_METHOD && looks_like_method(data, llhttp_get_error_pos(&c->parser)))
        fail(&x->verdict, 501, "this method is not known");
    else if (code == HPE_PAUSED_H2_UPGRADE || code == HPE_INVALID_VERSION)
        fail(&x->verdict, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    else
        fail(&x->verdict, 400, "not a valid HTTP request: %s",
             llhttp_get_error_reason(&c->parser) ? llhttp_get_error_reason(&c->parser)
                                                 : llhttp_errno_name(code));
}

static void run_exchange(struct connection *c)
{
    c->state = CONNECTION_REPLYING;
    c->in_message = false;
    c->deadline_ms = 0;
    c->exchange.incoming.ended = true;
    exchange_dispatch(&c->exchange);
}

static void run_streamed(struct connection *c)
{
    c->state = CONNECTION_RECEIVING;
    exchange_dispatch(&c->exchange);
}

static void end_streamed(struct connection *c)
{
    c->state = CONNECTION_REPLYING;
    c->deadline_ms = 0;
    c->exchange.incoming.ended = true;
    body_arrived(&c->exchange);
}

/* Keeps bytes behind the request being answered; beyond the limit the client waits. */
static void hold(struct connection *c, struct bytes data)
{
    buffer_add_bytes(&c->held, data);
    if (c->held.len > HELD_LIMIT_BYTES)
        stream_read_stop(c->stream);
}

/* Looks for a folded header line (LF and a blank) in the bytes of a head, across reads. llhttp
 * joins such lines silently, and RFC 9112 lets a server refuse them: two programs may not agree on
 * what they say. */
static bool is_folded(struct connection *c, struct bytes data)
{
    const char *at = data.data, *end = at + data.len;
    while (at < end && c->scan != SCAN_DONE) {
        if (c->scan == SCAN_LINE) {
            at = memchr(at, '\n', (size_t)(end - at));
            if (!at)
                return false;
            at++;
            c->scan = SCAN_LINE_START;
        } else if (*at == '\r' || *at == '\n') {
            c->scan = c->scan == SCAN_LINE_START ? SCAN_DONE : c->scan;
            at++;
        } else if (c->scan == SCAN_LINE_START && (*at == ' ' || *at == '\t')) {
            return true;
        } else {
            c->scan = SCAN_LINE;
        }
    }
    return false;
}

static size_t refuse_folded(struct connection *c, struct bytes data)
{
    if (!c->in_message)
        exchange_reset(&c->exchange);
    fail(&c->exchange.verdict, 400, "a header value must not be folded over several lines");
    c->exchange.close = true;
    run_exchange(c);
    return data.len;
}

/* Parses data up to the end of one request. Returns how many bytes were used. */
static size_t parse(struct connection *c, struct bytes data)
{
    if (is_folded(c, data))
        return refuse_folded(c, data);
    llhttp_errno_t code = llhttp_execute(&c->parser, data.data, data.len);
    if (code == HPE_OK) {
        if (c->state == CONNECTION_RECEIVING)
            body_arrived(&c->exchange);
        return data.len;
    }
    if (code == HPE_PAUSED) {
        size_t used = (size_t)(llhttp_get_error_pos(&c->parser) - data.data);
        llhttp_resume(&c->parser);
        if (c->in_message) {
            run_streamed(c);
            return used;
        }
        if (c->state == CONNECTION_RECEIVING) {
            end_streamed(c);
            return used;
        }
        if (c->parser.upgrade) { /* what follows belongs to the WebSocket: put by before it takes
                                    the stream */
            hold(c, (struct bytes){data.data + used, data.len - used});
            used = data.len;
        }
        run_exchange(c);
        return used;
    }
    judge_parse_error(c, code, data);
    c->exchange.close = true;
    if (c->state == CONNECTION_RECEIVING)
        body_break(&c->exchange, &c->exchange.verdict);
    else
        run_exchange(c);
    return data.len;
}

static void feed(struct connection *c, struct bytes data)
{
    c->feeding = true;
    while (data.len && (c->state == CONNECTION_READING || c->state == CONNECTION_RECEIVING)) {
        size_t used = parse(c, data);
        data.data += used;
        data.len -= used;
    }
    c->feeding = false;
    if (!c->stream) {
        connection_release(c);
        return;
    }
    if (data.len && c->state == CONNECTION_REPLYING)
        hold(c, data);
    if (c->peer_ended && c->state == CONNECTION_READING)
        c->state = CONNECTION_ENDING;
    connection_flush(c);
}

/* Bytes that are held go first, in the next turn. */
static bool resumes(const struct connection *c)
{
    return c->state == CONNECTION_READING && !list_empty(&c->later.link);
}

static void on_read(void *user, struct bytes data)
{
    struct connection *c = user;
    if (resumes(c)) {
        hold(c, data);
    } else if (c->state == CONNECTION_READING ||
               (c->state == CONNECTION_RECEIVING && !c->exchange.incoming.broken.status)) {
        feed(c, data);
    } else if (c->state == CONNECTION_REPLYING) {
        hold(c, data);
    } else if (c->state == CONNECTION_LINGERING) {
        c->lingered_bytes += data.len;
        if (c->refusing)
            c->deadline_ms = monotonic_ms() + LINGER_MS;
        if (c->lingered_bytes > (c->refusing ? LINGER_STREAM_LIMIT_BYTES : LINGER_LIMIT_BYTES))
            connection_close(c);
    }
}

/* A client may end its side right behind its last request and still wait for the replies. */
static void on_end(void *user, bool broken)
{
    struct connection *c = user;
    c->peer_ended = true;
    if (broken || c->state == CONNECTION_LINGERING || (c->pieces.events && c->pieces.endless) ||
        (c->state == CONNECTION_READING && !resumes(c) && !stream_pending(c->stream)))
        connection_close(c);
    else if (c->state == CONNECTION_READING && !resumes(c))
        c->state = CONNECTION_ENDING;
    else if (c->state == CONNECTION_RECEIVING)
        body_break(&c->exchange,
                   &(struct err){.status = 400, .text = "the body is shorter than was said"});
}

/* Ends our side, and throws away what still comes, so that the peer can read our last words. */
static void linger(struct connection *c)
{
    c->state = CONNECTION_LINGERING;
    buffer_free(&c->held);
    if (c->peer_ended) {
        connection_close(c);
        return;
    }
    c->deadline_ms = monotonic_ms() + LINGER_MS;
    stream_shutdown(c->stream);
    stream_read_start(c->stream);
}

/* Everything is with the socket: what next? */
static void after_flush(struct connection *c)
{
    if (c->file)
        file_reply_continue(c->file);
    else if (c->pieces.events)
        pieces_continue(c);
    else if (c->state == CONNECTION_ENDING)
        linger(c);
    else if (c->state == CONNECTION_READING && !c->in_message)
        c->deadline_ms = monotonic_ms() + KEEP_ALIVE_MS;
}

static void on_written(void *user)
{
    struct connection *c = user;
    buffer_clear(&c->sending);
    if (c->state == CONNECTION_REPLYING)
        c->deadline_ms = 0;
    connection_flush(c);
}

static void on_stream_closed(void *user)
{
    struct connection *c = user;
    struct server *s = c->server;
    c->stream = NULL;
    server_orphan(s, &c->link);
    connection_release(c);
    server_check_drained(s);
}

static const struct stream_events stream_events = {on_read, on_end, on_written, on_stream_closed};

void connection_accept(struct server *s, uv_stream_t *listener)
{
    struct connection *c = xcalloc(1, sizeof *c);
    c->stream = stream_accept(listener, s->tls, &stream_events, c);
    if (!c->stream) {
        free(c);
        return;
    }
    c->server = s;
    c->exchange.connection = c;
    list_init(&c->later.link);
    llhttp_init(&c->parser, HTTP_REQUEST, &callbacks);
    c->parser.data = c;
    c->deadline_ms = request_deadline(c);
    list_add(&s->connections, &c->link);
    s->connection_count++;
    s->accepted++;
    if (s->connection_count > (size_t)s->settings->connections_limit) {
        log_warn("connection refused: too many", F_INT("open", (int64_t)s->connection_count));
        connection_close(c);
        return;
    }
    stream_read_start(c->stream);
}

static void buffer_trim(struct buffer *b)
{
    if (b->capacity > KEPT_BUFFER_BYTES)
        buffer_free(b);
    else
        buffer_clear(b);
}

void connection_flush(struct connection *c)
{
    if (!c->stream || c->state == CONNECTION_CLOSED || stream_pending(c->stream))
        return;
    if (c->out.len) {
        struct buffer spare = c->sending;
        c->sending = c->out;
        c->out = spare;
        uv_buf_t buf = uv_buf_init(c->sending.data, (unsigned)c->sending.len);
        if (stream_write(c->stream, &buf, 1) < c->sending.len) {
            c->deadline_ms = monotonic_ms() + WRITE_STALL_MS;
            c->taken_bytes = stream_taken_bytes(c->stream);
            return;
        }
        buffer_trim(&c->sending);
    }
    after_flush(c);
}

/* Goes on with the bytes that came while the last request was answered. */
static void resume(struct connection *c)
{
    size_t len;
    stream_read_start(c->stream);
    char *data = buffer_take(&c->held, &len);
    feed(c, (struct bytes){data, len});
    free(data);
}

void connection_later(struct connection *c, void (*run)(struct connection *c))
{
    c->later.run = run;
    if (list_empty(&c->later.link))
        list_add(&c->server->later, &c->later.link);
    server_hurry(c->server);
}

void connection_reply_done(struct connection *c)
{
    struct exchange *x = &c->exchange;
    x->open = false;
    list_remove(&c->later.link);
    if (!c->stream || c->state == CONNECTION_CLOSED) {
        connection_release(c);
        return;
    }
    buffer_trim(&x->body);
    c->refusing = c->state == CONNECTION_RECEIVING;
    c->in_message = c->in_message && !c->refusing;
    bool last = x->close || c->refusing || (c->peer_ended && !c->held.len);
    c->state = last ? CONNECTION_ENDING : CONNECTION_READING;
    if (c->feeding)
        return;
    connection_flush(c);
    if (c->state == CONNECTION_READING && c->held.len)
        connection_later(c, resume);
    else if (c->state == CONNECTION_READING)
        stream_read_start(c->stream);
}

void connection_close(struct connection *c)
{
    if (c->state == CONNECTION_CLOSED)
        return;
    bool receiving = c->state == CONNECTION_RECEIVING;
    if (resumes(c))
        list_remove(&c->later.link);
    c->state = CONNECTION_CLOSED;
    c->deadline_ms = 0;
    if (c->file)
        file_reply_abort(c->file);
    if (c->pieces.events)
        pieces_abort(c);
    stream_close(c->stream);
    if (receiving)
        body_break(&c->exchange, &(struct err){.status = 400, .text = "the client has gone"});
}

void connection_tick(struct connection *c, int64_t now_ms)
{
    if (c->state == CONNECTION_CLOSED)
        return;
    if (server_lost(c->server, c->stream, now_ms)) {
        connection_close(c);
        return;
    }
    if (!c->deadline_ms || now_ms < c->deadline_ms)
        return;
    int64_t taken = stream_taken_bytes(c->stream);
    if (stream_pending(c->stream) && taken != c->taken_bytes) { /* slow, but it reads */
        c->taken_bytes = taken;
        c->deadline_ms = now_ms + WRITE_STALL_MS;
        return;
    }
    if (!c->in_message || stream_pending(c->stream)) {
        connection_close(c);
        return;
    }
    fail(&c->exchange.verdict, 408, "the request did not arrive in time");
    c->exchange.close = true;
    if (c->state == CONNECTION_RECEIVING)
        body_break(&c->exchange, &c->exchange.verdict);
    else
        run_exchange(c);
}

bool connection_idle(const struct connection *c)
{
    return c->state == CONNECTION_READING && !c->in_message && !resumes(c) &&
           !stream_pending(c->stream);
}

struct stream *connection_detach(struct connection *c, struct buffer *leftover)
{
    struct stream *stream = c->state == CONNECTION_CLOSED ? NULL : c->stream;
    if (!stream)
        return NULL;
    *leftover = c->held;
    c->held = (struct buffer){0};
    c->stream = NULL;
    c->state = CONNECTION_CLOSED;
    server_orphan(c->server, &c->link);
    return stream;
}

void connection_release(struct connection *c)
{
    if (c->stream || c->exchange.open || c->feeding || c->file)
        return;
    connection_free(c);
}

void connection_free(struct connection *c)
{
    list_remove(&c->link);
    list_remove(&c->later.link);
    exchange_free(&c->exchange);
    buffer_free(&c->held);
    buffer_free(&c->out);
    buffer_free(&c->sending);
    free(c);
}
