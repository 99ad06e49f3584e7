/* Blocking sockets and llhttp: a tool waits for one thing at a time, and where it waits for several
 * it polls call_fd. Every reply ends its connection. */
#include "gateway/cli/call.h"

#include <errno.h>
#include <llhttp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/cli/cli.h"
#include "gateway/net/url.h"
#include "protocol/json.h"

#define READ_BYTES         (128 * 1024)
#define HEADER_LIMIT_BYTES (64 * 1024)
#define REFUSAL_LIMIT      (64 * 1024)

struct call {
    int fd;
    const char *base_url; /* borrowed from the target */
    llhttp_t parser;
    llhttp_settings_t settings;
    struct buffer name, value, location;
    struct buffer body; /* what the last read brought */
    bool chunked, refused_body;
    bool head_done, ended, broken;
    char in[READ_BYTES];
};

/* --- the reply */

static int add_limited(struct buffer *out, const char *at, size_t len)
{
    if (out->len + len > HEADER_LIMIT_BYTES)
        return -1;
    buffer_add(out, at, len);
    return 0;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t len)
{
    struct call *c = parser->data;
    return add_limited(&c->name, at, len);
}

static int on_header_value(llhttp_t *parser, const char *at, size_t len)
{
    struct call *c = parser->data;
    return add_limited(&c->value, at, len);
}

static int on_header_value_complete(llhttp_t *parser)
{
    struct call *c = parser->data;
    if (strcasecmp(buffer_text(&c->name), "location") == 0) {
        buffer_clear(&c->location);
        buffer_add_bytes(&c->location, buffer_view(&c->value));
    }
    buffer_clear(&c->name);
    buffer_clear(&c->value);
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct call *c = parser->data;
    c->head_done = parser->status_code >= 200;
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    struct call *c = parser->data;
    buffer_add(&c->body, at, len);
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    struct call *c = parser->data;
    c->ended = c->head_done;
    return 0;
}

/* Takes in what one read brings. */
static bool receive(struct call *c, struct err *e)
{
    ssize_t got;
    buffer_clear(&c->body);
    do
        got = recv(c->fd, c->in, sizeof c->in, 0);
    while (got < 0 && errno == EINTR);
    c->broken = got < 0;
    if (got < 0)
        return fail_errno(e, CLI_FAILED, "the connection to the gateway broke");
    llhttp_errno_t problem =
        got ? llhttp_execute(&c->parser, c->in, (size_t)got) : llhttp_finish(&c->parser);
    if (c->ended)
        return true;
    c->broken = got == 0;
    if (got == 0)
        return fail(e, CLI_FAILED, "the gateway closed the connection before its answer was whole");
    return problem == HPE_OK || fail(e, CLI_FAILED, "what answers is no gateway of ours (%s)",
                                     llhttp_errno_name(problem));
}

bool call_next(struct call *c, struct bytes *piece, struct err *e)
{
    while (c->body.len == 0 && !c->ended)
        if (!receive(c, e))
            return false;
    *piece = buffer_view(&c->body);
    c->body.len = 0; /* its memory stays until the next read */
    return true;
}

/* The sentence of a refusal: "detail" of a problem, or "message" as Jupyter has it. */
static bool refuse(struct call *c, struct err *e)
{
    scoped(buffer) struct buffer text = {0};
    int status = c->parser.status_code;
    const char *detail = NULL;
    struct bytes piece;
    while (text.len < REFUSAL_LIMIT && call_next(c, &piece, NULL) && piece.len)
        buffer_add_bytes(&text, piece);
    scoped(json) json_t *body =
        json_parse_object(buffer_view(&text), "answer", 2 * REFUSAL_LIMIT, NULL);
    if (body && !json_is_string(json_object_get(body, "detail")))
        field_str(body, "message", OPTIONAL, &detail, NULL);
    else if (body)
        field_str(body, "detail", OPTIONAL, &detail, NULL);
    if (status == 401)
        return fail(e, status,
                    "the gateway wants a token, or another one; name a file that has it with "
                    "--token-file");
    return detail ? fail(e, status, "%s", detail)
                  : fail(e, status, "the gateway refused with status %d", status);
}

bool call_accepted(struct call *c, struct err *e)
{
    while (!c->head_done)
        if (!receive(c, e))
            return false;
    return c->parser.status_code < 400 || refuse(c, e);
}

int call_status(const struct call *c)
{
    return c->parser.status_code;
}

const char *call_location(const struct call *c)
{
    const char *location = c->location.len ? buffer_text((struct buffer *)&c->location) : "";
    size_t len = strlen(c->base_url);
    return strncmp(location, c->base_url, len) == 0 && location[len] == '/' ? location + len : "";
}

bool call_broken(const struct call *c)
{
    return c->broken;
}

bool call_ready(const struct call *c)
{
    return c->body.len || c->ended;
}

int call_fd(const struct call *c)
{
    return c->fd;
}

/* --- the request */

/* False without e->status: the other side takes no more. */
static bool send_all(struct call *c, struct bytes data, struct err *e)
{
    while (data.len) {
        ssize_t sent = send(c->fd, data.data, data.len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) {
            c->refused_body = true;
            return false;
        }
        if (sent < 0)
            return fail_errno(e, CLI_FAILED, "the connection to the gateway broke");
        data.data += sent;
        data.len -= (size_t)sent;
    }
    return true;
}

/* A gateway that refuses says so before it has the whole body. */
static bool answered_already(const struct call *c)
{
    struct pollfd poll_fd = {.fd = c->fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) > 0;
}

bool call_write(struct call *c, struct bytes piece, struct err *e)
{
    char size[24];
    if (c->refused_body || (answered_already(c) && (c->refused_body = true)))
        return false;
    if (piece.len == 0)
        return true;
    if (!c->chunked)
        return send_all(c, piece, e);
    snprintf(size, sizeof size, "%zx\r\n", piece.len);
    return send_all(c, bytes_of(size), e) && send_all(c, piece, e) &&
           send_all(c, bytes_of("\r\n"), e);
}

bool call_finish(struct call *c, struct err *e)
{
    return c->refused_body || !c->chunked || send_all(c, bytes_of("0\r\n\r\n"), e) ||
           c->refused_body;
}

static void add_head(struct buffer *out, const struct target *t, const struct call_request *r)
{
    buffer_printf(out, "%s %s%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", r->method,
                  t->base_url, r->path, t->authority);
    if (*t->token)
        buffer_printf(out, "Authorization: token %s\r\n", t->token);
    if (r->accept)
        buffer_printf(out, "Accept: %s\r\n", r->accept);
    if (r->content_type)
        buffer_printf(out, "Content-Type: %s\r\n", r->content_type);
    if (r->body_follows && r->length_bytes == CALL_BODY_FOLLOWS_CHUNKED)
        buffer_add_text(out, "Transfer-Encoding: chunked\r\n");
    else
        buffer_printf(out, "Content-Length: %lld\r\n",
                      r->body_follows ? (long long)r->length_bytes : (long long)r->body.len);
    buffer_add_text(out, "\r\n");
    buffer_add_bytes(out, r->body);
}

static struct call *call_new(int fd, const char *base_url)
{
    struct call *c = xcalloc(1, sizeof *c);
    c->fd = fd;
    c->base_url = base_url;
    llhttp_settings_init(&c->settings);
    c->settings.on_header_field = on_header_field;
    c->settings.on_header_value = on_header_value;
    c->settings.on_header_value_complete = on_header_value_complete;
    c->settings.on_headers_complete = on_headers_complete;
    c->settings.on_body = on_body;
    c->settings.on_message_complete = on_message_complete;
    llhttp_init(&c->parser, HTTP_RESPONSE, &c->settings);
    c->parser.data = c;
    return c;
}

struct call *call_send(const struct target *t, const struct call_request *r, struct err *e)
{
    int fd = target_connect(t, e);
    if (fd < 0)
        return NULL;
    struct call *c = call_new(fd, t->base_url);
    scoped(buffer) struct buffer head = {0};
    add_head(&head, t, r);
    c->chunked = r->body_follows && r->length_bytes == CALL_BODY_FOLLOWS_CHUNKED;
    if (send_all(c, buffer_view(&head), e) || c->refused_body)
        return c;
    call_free(c);
    return NULL;
}

void call_free(struct call *c)
{
    if (!c)
        return;
    close(c->fd);
    buffer_free(&c->name);
    buffer_free(&c->value);
    buffer_free(&c->location);
    buffer_free(&c->body);
    free(c);
}

/* --- whole answers */

static bool read_whole(struct call *c, struct buffer *out, struct err *e)
{
    struct bytes piece;
    do {
        if (!call_next(c, &piece, e))
            return false;
        if (out->len + piece.len > CALL_ANSWER_LIMIT_BYTES)
            return fail(e, CLI_FAILED, "the gateway's answer is longer than %d bytes",
                        CALL_ANSWER_LIMIT_BYTES);
        buffer_add_bytes(out, piece);
    } while (piece.len);
    return true;
}

struct call *call_events(const struct target *t, const char *path, const json_t *body,
                         struct err *e)
{
    scoped(string) char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    if (!text) {
        fail(e, CLI_USAGE, "what is not UTF-8 cannot be passed on");
        return NULL;
    }
    const struct call_request request = {
        .method = "POST",
        .path = path,
        .accept = "application/x-ndjson",
        .content_type = "application/json",
        .body = bytes_of(text),
    };
    scoped(call) struct call *c = call_send(t, &request, e);
    return c && call_accepted(c, e) ? take(&c) : NULL;
}

json_t *call_json(const struct target *t, const char *method, const char *path, const json_t *body,
                  struct err *e)
{
    scoped(buffer) struct buffer answer = {0};
    scoped(string) char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    const struct call_request request = {
        .method = method,
        .path = path,
        .accept = "application/json",
        .content_type = text ? "application/json" : NULL,
        .body = bytes_of(text),
    };
    scoped(call) struct call *c = call_send(t, &request, e);
    if (!c || !call_accepted(c, e) || !read_whole(c, &answer, e))
        return NULL;
    if (answer.len == 0)
        return json_null();
    return json_parse_object(buffer_view(&answer), "the gateway's answer", CALL_ANSWER_LIMIT_BYTES,
                             e);
}

json_t *call_named(const struct target *t, const char *method, const char *folder, const char *name,
                   struct err *e)
{
    scoped(buffer) struct buffer path = {0};
    buffer_printf(&path, "%s/", folder);
    url_encode_path(&path, bytes_of(name));
    return call_json(t, method, buffer_text(&path), NULL, e);
}

json_t *call_list(const struct target *t, const char *path, const char *member, struct err *e)
{
    scoped(json) json_t *all = json_array();
    scoped(string) char *after = NULL;
    do {
        const char *next = NULL;
        scoped(buffer) struct buffer where = {0};
        buffer_add_text(&where, path);
        if (after) {
            buffer_add_text(&where, "&after=");
            url_encode_path(&where, bytes_of(after));
        }
        scoped(json) json_t *page = call_json(t, "GET", buffer_text(&where), NULL, e);
        if (!page || !field_str(page, "next", OPTIONAL, &next, e))
            return NULL;
        json_array_extend(all, json_object_get(page, member));
        free(after);
        after = next ? xstrdup(next) : NULL;
    } while (after);
    return take(&all);
}
