/* Parses what a sandbox asks of the proxy. All of it is hostile: lengths are bounded by the caller,
 * every byte of a host is checked, and what cannot be read in exactly one way is refused. */
#include "sandbox/proxy_head.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

size_t proxy_head_length(struct bytes received)
{
    const char *end = received.len ? memmem(received.data, received.len, "\r\n\r\n", 4) : NULL;
    return end ? (size_t)(end - received.data) + 4 : 0;
}

static struct bytes cut_line(struct bytes *text)
{
    const char *end = memmem(text->data, text->len, "\r\n", 2);
    size_t len = end ? (size_t)(end - text->data) : text->len;
    struct bytes line = {text->data, len};
    size_t passed = end ? len + 2 : len;
    *text = (struct bytes){text->data + passed, text->len - passed};
    return line;
}

static bool is_token(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!isalnum((unsigned char)text.data[i]) && !memchr("!#$%&'*+-.^_`|~", text.data[i], 15))
            return false;
    return text.len > 0;
}

/* Visible ASCII and bytes beyond it; no blank and no control character. */
static bool is_plain(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] <= ' ' || text.data[i] == 127)
            return false;
    return text.len > 0;
}

/* "host", "host:port", "[::1]:port"; port: what is meant without one, 0: it must be given. */
static bool read_authority(struct bytes text, uint16_t port, struct proxy_head *out, struct err *e)
{
    char host[ALLOW_HOST_MOST + 16];
    if (text.len >= sizeof host || memchr(text.data, '@', text.len) ||
        memchr(text.data, '\0', text.len))
        return fail(e, 400, "the target is not a host and a port");
    memcpy(host, text.data, text.len);
    host[text.len] = '\0';
    char *colon = strrchr(host, ':');
    bool bracketed = host[0] == '[';
    if (colon && (!bracketed || colon[-1] == ']')) {
        char *end;
        long number = isdigit((unsigned char)colon[1]) ? strtol(colon + 1, &end, 10) : 0;
        if (number < 1 || number > 65535 || *end)
            return fail(e, 400, "the target's port is not a number from 1 to 65535");
        port = (uint16_t)number;
        *colon = '\0';
    }
    if (port == 0)
        return fail(e, 400, "the target has no port");
    if (!allow_normalize(host, out->host) || (!bracketed && strchr(out->host, ':')))
        return fail(e, 400, "the target is not a host and a port");
    out->port = port;
    return true;
}

/* Fields between a client and its proxy, and those that we write ourselves. */
static bool stays_here(struct bytes name)
{
    static const char *const names[] = {"host",    "connection",       "keep-alive",
                                        "upgrade", "proxy-connection", "proxy-authorization",
                                        "te"};
    for (size_t i = 0; i < countof(names); i++)
        if (name.len == strlen(names[i]) && strncasecmp(name.data, names[i], name.len) == 0)
            return true;
    return false;
}

static bool add_fields(struct bytes fields, struct buffer *out, struct err *e)
{
    while (fields.len) {
        struct bytes line = cut_line(&fields);
        if (line.len == 0)
            break;
        const char *colon = memchr(line.data, ':', line.len);
        struct bytes name = {line.data, colon ? (size_t)(colon - line.data) : 0};
        bool stray = memchr(line.data, '\n', line.len) || memchr(line.data, '\r', line.len) ||
                     memchr(line.data, '\0', line.len);
        if (!is_token(name) || stray)
            return fail(e, 400, "a field of the request is not \"name: value\"");
        if (stays_here(name))
            continue;
        buffer_add_bytes(out, line);
        buffer_add_text(out, "\r\n");
    }
    buffer_add_text(out, "Connection: close\r\n\r\n");
    return true;
}

static bool read_plain(struct bytes target, struct bytes fields, struct proxy_head *out,
                       struct err *e)
{
    static const char scheme[] = "http://";
    if (target.len < strlen(scheme) || strncasecmp(target.data, scheme, strlen(scheme)) != 0)
        return fail(e, target.len && target.data[0] == '/' ? 400 : 501,
                    "this is a proxy: CONNECT host:port, or a request of http://host/...");
    struct bytes rest = {target.data + strlen(scheme), target.len - strlen(scheme)};
    size_t len = 0;
    while (len < rest.len && !strchr("/?#", rest.data[len]))
        len++;
    struct bytes authority = {rest.data, len}, path = {rest.data + len, rest.len - len};
    if (!read_authority(authority, 80, out, e))
        return false;
    buffer_printf(&out->forward, "%s %s%.*s HTTP/1.1\r\nHost: %.*s\r\n", out->method,
                  path.len && path.data[0] == '/' ? "" : "/", (int)path.len, path.data,
                  (int)authority.len, authority.data);
    return add_fields(fields, &out->forward, e);
}

bool proxy_head_read(struct bytes head, struct proxy_head *out, struct err *e)
{
    *out = (struct proxy_head){0};
    struct bytes line = cut_line(&head);
    const char *first = memchr(line.data, ' ', line.len);
    const char *last = memrchr(line.data, ' ', line.len);
    if (!first || first == last)
        return fail(e, 400, "the request line is not \"METHOD target HTTP/1.1\"");
    struct bytes method = {line.data, (size_t)(first - line.data)};
    struct bytes target = {first + 1, (size_t)(last - first - 1)};
    struct bytes version = {last + 1, line.len - (size_t)(last + 1 - line.data)};
    if (!is_token(method) || method.len > PROXY_METHOD_MOST || !is_plain(target) ||
        (!bytes_is(version, "HTTP/1.1") && !bytes_is(version, "HTTP/1.0")))
        return fail(e, 400, "the request line is not \"METHOD target HTTP/1.1\"");
    memcpy(out->method, method.data, method.len);
    out->tunnel = bytes_is(method, "CONNECT");
    return out->tunnel ? read_authority(target, 0, out, e) : read_plain(target, head, out, e);
}

void proxy_head_free(struct proxy_head *h)
{
    buffer_free(&h->forward);
}
