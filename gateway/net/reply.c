/* The ways to reply: each writes a whole head and body into the connection's buffer, or nothing
 * when the client has gone, and ends the exchange. Every reply carries the CORS lines and forbids
 * browsers to guess content types. */
#include <assert.h>
#include <inttypes.h>
#include <time.h>

#include "gateway/log.h"
#include "gateway/net/connection.h"
#include "gateway/net/reason.h"
#include "gateway/net/trace.h"
#include "protocol/ids.h"
#include "protocol/json.h"

/* "Sat, 31 Jan 2026 23:59:59 GMT", made once a second. */
static const char *date_text(void)
{
    static char text[32];
    static time_t made;
    time_t now = time(NULL);
    if (now != made) {
        struct tm parts;
        gmtime_r(&now, &parts);
        strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
        made = now;
    }
    return text;
}

static bool gone(const struct exchange *x)
{
    const struct connection *c = x->connection;
    return !c->stream || c->state == CONNECTION_CLOSED;
}

void exchange_add_header(struct exchange *x, const char *name, const char *value)
{
    assert(!strpbrk(value, "\r\n"));
    buffer_add_text(&x->extra_headers, name);
    buffer_add_text(&x->extra_headers, ": ");
    buffer_add_text(&x->extra_headers, value);
    buffer_add_text(&x->extra_headers, "\r\n");
}

void exchange_made(struct exchange *x, const char *id)
{
    snprintf(x->made, sizeof(x->made), "%s", id);
}

/* The pattern stands for the path, which may hold names of files; neither query nor bodies are in
 * it. length < 0: of a stream, not known. */
static void log_reply(const struct exchange *x, int status, int64_t length)
{
    enum log_level level = x->connection->server->settings->access_log ? LOG_INFO : LOG_DEBUG;
    const char *parent = trace_parent(exchange_header(x, "traceparent"));
    char id[TRACE_TEXT] = "";
    const char *trace = id;
    if (!x->started_us)
        return;
    if (parent)
        trace_id(parent, id);
    log_at(level, "request", F_STR("method", llhttp_method_name(x->connection->parser.method)),
           F_STR("route", x->route ? x->route->pattern : ""), F_INT("status", status),
           F_INT("us", monotonic_us() - x->started_us), F_INT("bytes", length),
           F_STR("principal", x->known ? x->principal.name : ""), F_STR("trace", trace));
}

/* What changed something or carried all there is, or was refused to somebody. */
static bool is_for_audit(const struct exchange *x, int status)
{
    bool reads = x->method == GET && x->route->kind != ROUTE_RECORD &&
                 x->route->kind != ROUTE_UPGRADE && !x->wants_upgrade;
    if (x->route->access == ACCESS_OPEN || x->options)
        return false;
    return !reads || status == 401 || status == 403 || status == 429;
}

static void audit(const struct exchange *x, int status)
{
    struct audit *log = x->connection->server->audit;
    char remote[STREAM_PEER_TEXT];
    if (!log || !x->route || !is_for_audit(x, status))
        return;
    stream_peer_text(x->connection->stream, remote);
    struct audit_line line = {
        .who = exchange_principal(x),
        .method = llhttp_method_name(x->connection->parser.method),
        .route = x->route->pattern,
        .remote = remote,
        .id = *x->made ? x->made : NULL,
        .status = status,
    };
    for (size_t i = 0; i < x->param_count; i++)
        if (bytes_is(x->params[i].name, "id") || bytes_is(x->params[i].name, "template"))
            line.id = x->params[i].value;
    audit_add(log, &line);
}

static void add_framing(struct exchange *x, int status, int64_t length)
{
    struct buffer *out = &x->connection->out;
    if (length >= 0)
        buffer_printf(out, "Content-Length: %" PRId64 "\r\n", length);
    if (status == 101)
        buffer_add_text(out, "Connection: Upgrade\r\n");
    else if (x->close)
        buffer_add_text(out, "Connection: close\r\n");
    else if (x->http_1_0)
        buffer_add_text(out, "Connection: keep-alive\r\n");
}

static void begin_head(struct exchange *x, int status, const char *reason)
{
    struct connection *c = x->connection;
    if (c->server->draining || c->state == CONNECTION_RECEIVING)
        x->close = true;
    buffer_reserve(&c->out, 512);
    buffer_printf(&c->out, "HTTP/1.1 %d %s\r\n", status, reason);
}

static void end_head(struct exchange *x, int status, int64_t length)
{
    struct connection *c = x->connection;
    buffer_add_bytes(&c->out, buffer_view(&x->extra_headers));
    buffer_add_text(&c->out, "\r\n");
    c->server->replies[status / 100 % 6]++;
    log_reply(x, status, length);
    audit(x, status);
}

void reply_head(struct exchange *x, int status, const char *content_type, int64_t length)
{
    struct connection *c = x->connection;
    begin_head(x, status, reason_phrase(status));
    buffer_printf(&c->out, "Server: warmcell\r\nDate: %s\r\n", date_text());
    if (content_type)
        buffer_printf(&c->out, "Content-Type: %s\r\n", content_type);
    add_framing(x, status, length);
    buffer_add_text(&c->out, "X-Content-Type-Options: nosniff\r\n");
    origin_add_headers(c->server->origin, exchange_header(x, "origin"), &c->out);
    end_head(x, status, length);
}

/* What pages of a sandbox's own origin tell others is their own; ours speaks for itself. */
void reply_head_as(struct exchange *x, const struct reply_as *as)
{
    struct connection *c = x->connection;
    begin_head(x, as->status, as->reason);
    buffer_add_bytes(&c->out, as->lines);
    add_framing(x, as->status, as->length);
    if (!x->site)
        origin_add_headers(c->server->origin, exchange_header(x, "origin"), &c->out);
    end_head(x, as->status, as->length);
}

static bool has_content(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

void exchange_reply(struct exchange *x, int status, const char *content_type, struct bytes body)
{
    assert(x->open);
    if (!gone(x)) {
        reply_head(x, status, content_type, has_content(status) ? (int64_t)body.len : -1);
        if (!x->head)
            buffer_add_bytes(&x->connection->out, body);
    }
    connection_reply_done(x->connection);
}

/* API replies are data: a browser shall run nothing of them, nor frame them. */
static void add_api_headers(struct exchange *x)
{
    buffer_add_text(&x->extra_headers,
                    "Content-Security-Policy: default-src 'none'; frame-ancestors 'self'\r\n");
}

void exchange_reply_json(struct exchange *x, int status, json_t *body)
{
    scoped(buffer) struct buffer text = {0};
    json_write(&text, body);
    json_decref(body);
    add_api_headers(x);
    exchange_reply(x, status, "application/json", buffer_view(&text));
}

void exchange_reply_empty(struct exchange *x, int status)
{
    exchange_reply(x, status, NULL, (struct bytes){0});
}

static void add_error_headers(struct exchange *x, int status)
{
    if (status == 401)
        exchange_add_header(x, "WWW-Authenticate", "Bearer realm=\"warmcell\"");
    if (status == 405)
        exchange_add_header(x, "Allow", x->allow);
    if (status == 503 || status == 429)
        exchange_add_header(x, "Retry-After", "1");
    add_api_headers(x);
}

void exchange_problem(struct buffer *out, const struct err *e)
{
    buffer_printf(out, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":",
                  reason_phrase(e->status), e->status);
    json_quote(out, bytes_of(e->text));
    if (e->quota.name)
        buffer_printf(out, ",\"quota\":\"%s\",\"limit\":%" PRId64 ",\"used\":%" PRId64,
                      e->quota.name, e->quota.limit, e->quota.used);
    buffer_add_text(out, "}");
}

static void write_jupyter_error(struct buffer *out, const struct err *e)
{
    buffer_add_text(out, "{\"message\":");
    json_quote(out, bytes_of(e->text));
    buffer_printf(out, ",\"reason\":\"%s\"}", reason_phrase(e->status));
}

static void write_cloud_error(struct buffer *out, const struct err *e)
{
    buffer_add_text(out,
                    e->status == 401 ? "{\"error\":\"unauthorized\",\"message\":" : "{\"error\":");
    json_quote(out, bytes_of(e->text));
    buffer_add_text(out, "}");
}

void exchange_fail(struct exchange *x, const struct err *e)
{
    assert(e->status >= 400 && e->status < 600);
    scoped(buffer) struct buffer text = {0};
    bool problem = x->error_form == ERRORS_PROBLEM;
    if (problem)
        exchange_problem(&text, e);
    else if (x->error_form == ERRORS_CLOUD)
        write_cloud_error(&text, e);
    else
        write_jupyter_error(&text, e);
    add_error_headers(x, e->status);
    exchange_reply(x, e->status, problem ? "application/problem+json" : "application/json",
                   buffer_view(&text));
}
