/* Lines are passed on as they are, but those that say who asks, and whom. The gateway reads the
 * head with all strictness; here is refused only what would hide a line from us.
 *
 * Invariant: the token goes to the gateway in each request, and nowhere else. */
#include "gateway/cli/port_head.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define HTTP_PORT    80 /* is not said in a URL, nor in a Host */
#define OTHER_ORIGIN "pages of another origin may not call what listens at this port"

static const char *const local_hosts[] = {"localhost", "127.0.0.1", "[::1]"};

struct line {
    struct bytes name, value;
};

size_t port_head_length(struct bytes data)
{
    const char *end = data.len ? memmem(data.data, data.len, "\r\n\r\n", 4) : NULL;
    return end ? (size_t)(end + 4 - data.data) : 0;
}

/* The next line, without its end; false: that was the empty one. */
static bool next_line(struct bytes *head, struct bytes *line)
{
    const char *end = head->len >= 2 ? memmem(head->data, head->len, "\r\n", 2) : NULL;
    if (!end || end == head->data)
        return false;
    *line = (struct bytes){head->data, (size_t)(end - head->data)};
    head->len -= line->len + 2;
    head->data = end + 2;
    return true;
}

static bool split_line(struct bytes text, struct line *out)
{
    const char *colon = memchr(text.data, ':', text.len);
    if (!colon || colon == text.data || text.data[0] == ' ' || text.data[0] == '\t' ||
        memchr(text.data, '\n', text.len) || memchr(text.data, '\r', text.len))
        return false;
    out->name = (struct bytes){text.data, (size_t)(colon - text.data)};
    out->value = (struct bytes){colon + 1, text.len - out->name.len - 1};
    while (out->value.len && (*out->value.data == ' ' || *out->value.data == '\t')) {
        out->value.data++;
        out->value.len--;
    }
    return true;
}

/* In any case. */
static bool is(struct bytes text, const char *word)
{
    return text.len == strlen(word) && strncasecmp(text.data, word, text.len) == 0;
}

static bool begins(struct bytes text, const char *word)
{
    return text.len >= strlen(word) && strncasecmp(text.data, word, strlen(word)) == 0;
}

/* How much of text is one of our names, with our port; 0: another one's. */
static size_t own_authority(const struct port_way *way, struct bytes text)
{
    char port[8];
    snprintf(port, sizeof port, ":%d", way->local_port);
    for (size_t i = 0; i < countof(local_hosts); i++) {
        if (!begins(text, local_hosts[i]))
            continue;
        size_t len = strlen(local_hosts[i]);
        struct bytes rest = {text.data + len, text.len - len};
        if (way->local_port == HTTP_PORT && (!rest.len || *rest.data == '/'))
            return len;
        if (begins(rest, port) && (rest.len == strlen(port) || rest.data[strlen(port)] == '/'))
            return len + strlen(port);
    }
    return 0;
}

static void add(struct buffer *out, const char *name, const char *value)
{
    buffer_printf(out, "%s: %s\r\n", name, value);
}

static void add_line(struct buffer *out, const struct line *line)
{
    buffer_add_bytes(out, line->name);
    buffer_add_text(out, ": ");
    buffer_add_bytes(out, line->value);
    buffer_add_text(out, "\r\n");
}

/* --- requests. Each looks at one header, and says what becomes of it. */

struct request {
    const struct port_way *way;
    struct buffer *out;
    bool upgrades;
    bool foreign, navigates; /* a browser says that a page of another origin asks; to be shown it */
    size_t hosts;
};

static bool take_host(struct request *r, const struct line *line, struct err *e)
{
    r->hosts++;
    return own_authority(r->way, line->value) == line->value.len ||
           fail(e, 403, "this port answers to the names localhost and 127.0.0.1 alone");
}

static bool take_origin(struct request *r, const struct line *line, struct err *e)
{
    struct bytes origin = line->value;
    if (!begins(origin, "http://"))
        return fail(e, 403, OTHER_ORIGIN);
    origin.data += 7;
    origin.len -= 7;
    if (!origin.len || own_authority(r->way, origin) != origin.len)
        return fail(e, 403, OTHER_ORIGIN);
    buffer_printf(r->out, "Origin: http://%s\r\n", r->way->host);
    return true;
}

static bool take_referer(struct request *r, const struct line *line, struct err *e)
{
    (void)e;
    if (!begins(line->value, "http://") || *r->way->prefix)
        return true; /* it stays here */
    struct bytes rest = {line->value.data + 7, line->value.len - 7};
    size_t own = own_authority(r->way, rest);
    if (!own)
        return true;
    buffer_printf(r->out, "Referer: http://%s%.*s\r\n", r->way->host, (int)(rest.len - own),
                  rest.data + own);
    return true;
}

static bool take_connection(struct request *r, const struct line *line, struct err *e)
{
    (void)e;
    for (size_t i = 0; i + 7 <= line->value.len; i++)
        if (strncasecmp(line->value.data + i, "upgrade", 7) == 0)
            r->upgrades = true;
    return true;
}

/* That of a gateway, which counts at all ports of its host: "warmcell-8888=...". It lets in. */
static bool is_of_gateway(struct bytes cookie)
{
    static const char name[] = "warmcell-";
    size_t at = strlen(name);
    if (!begins(cookie, name) || at == cookie.len || !isdigit((unsigned char)cookie.data[at]))
        return false;
    while (at < cookie.len && isdigit((unsigned char)cookie.data[at]))
        at++;
    return at == cookie.len || strchr("= \t", cookie.data[at]);
}

static bool take_cookie(struct request *r, const struct line *line, struct err *e)
{
    const char *before = "Cookie: ";
    struct bytes rest = line->value;
    (void)e;
    while (rest.len) {
        const char *semicolon = memchr(rest.data, ';', rest.len);
        struct bytes one = {rest.data, semicolon ? (size_t)(semicolon - rest.data) : rest.len};
        rest.data += one.len + (semicolon != NULL);
        rest.len -= one.len + (semicolon != NULL);
        while (one.len && (*one.data == ' ' || *one.data == '\t')) {
            one.data++;
            one.len--;
        }
        if (!one.len || is_of_gateway(one))
            continue;
        buffer_add_text(r->out, before);
        buffer_add_bytes(r->out, one);
        before = "; ";
    }
    if (*before == ';')
        buffer_add_text(r->out, "\r\n");
    return true;
}

static bool drop(struct request *r, const struct line *line, struct err *e)
{
    (void)r;
    (void)line;
    (void)e;
    return true;
}

/* At the gateway's own origin pages are not shown: what navigates there is asked for as any program
 * asks. And the head of a reply there is looked at, so that no interim one may come before it. */
static bool take_at_origin(struct request *r, const struct line *line, struct err *e)
{
    (void)e;
    if (!*r->way->prefix)
        add_line(r->out, line);
    return true;
}

static bool take_mode(struct request *r, const struct line *line, struct err *e)
{
    r->navigates = is(line->value, "navigate");
    return take_at_origin(r, line, e);
}

static bool take_site(struct request *r, const struct line *line, struct err *e)
{
    r->foreign = is(line->value, "cross-site") || is(line->value, "same-site");
    return take_at_origin(r, line, e);
}

static const struct {
    const char *name;
    bool (*pass)(struct request *r, const struct line *line, struct err *e);
} rules[] = {
    {"host", take_host},           {"origin", take_origin},
    {"referer", take_referer},     {"connection", take_connection},
    {"cookie", take_cookie},       {"expect", take_at_origin},
    {"keep-alive", drop},          {"proxy-connection", drop},
    {"sec-fetch-mode", take_mode}, {"sec-fetch-dest", take_at_origin},
    {"sec-fetch-site", take_site},
};

static bool take_line(struct request *r, struct bytes text, struct err *e)
{
    struct line line;
    if (!split_line(text, &line))
        return fail(e, 400, "a line of the request's head is no header");
    for (size_t i = 0; i < countof(rules); i++)
        if (is(line.name, rules[i].name))
            return rules[i].pass(r, &line, e);
    add_line(r->out, &line);
    return true;
}

/* "GET /path HTTP/1.1", with the prefix before the path. */
static bool take_first_line(const struct port_way *way, struct bytes line, struct buffer *out,
                            struct err *e)
{
    const char *space = memchr(line.data, ' ', line.len);
    size_t method = space ? (size_t)(space - line.data) : 0;
    if (!method || method + 1 >= line.len || space[1] != '/' || memchr(line.data, '\n', line.len) ||
        memchr(line.data, '\r', line.len))
        return fail(e, 400, "this is no request for a path of HTTP/1.1");
    buffer_add(out, line.data, method + 1);
    buffer_add_text(out, way->prefix);
    buffer_add(out, space + 1, line.len - method - 1);
    buffer_add_text(out, "\r\n");
    return true;
}

bool port_request_head(const struct port_way *way, struct bytes head, struct buffer *out,
                       struct err *e)
{
    struct request r = {.way = way, .out = out};
    struct bytes line;
    if (!next_line(&head, &line) || !take_first_line(way, line, out, e))
        return e->status ? false : fail(e, 400, "the request is empty");
    add(out, "Host", way->host);
    if (*way->token)
        buffer_printf(out, "Authorization: token %s\r\n", way->token);
    while (next_line(&head, &line))
        if (!take_line(&r, line, e))
            return false;
    if (r.hosts != 1)
        return fail(e, 400, "a request has one Host header");
    if (r.foreign && !r.navigates) /* an image or a script: browsers say no Origin there */
        return fail(e, 403, OTHER_ORIGIN);
    add(out, "Connection", r.upgrades ? "Upgrade, close" : "close");
    buffer_add_text(out, "\r\n");
    return true;
}

/* --- replies */

int port_reply_head(const struct port_way *way, struct bytes head, struct buffer *out)
{
    struct bytes text;
    struct line line;
    int status = 0;
    if (!next_line(&head, &text) || !begins(text, "HTTP/1.") || text.len < 12)
        return 0;
    for (size_t i = 9; i < 12; i++)
        status = status * 10 + (text.data[i] - '0');
    buffer_add_bytes(out, text);
    buffer_add_text(out, "\r\n");
    while (next_line(&head, &text)) {
        size_t prefix = strlen(way->prefix);
        bool split = split_line(text, &line);
        if (split && prefix && is(line.name, "location") && begins(line.value, way->prefix)) {
            line.value.data += prefix;
            line.value.len -= prefix;
            add_line(out, &line);
        } else {
            buffer_add_bytes(out, text);
            buffer_add_text(out, "\r\n");
        }
    }
    buffer_add_text(out, "\r\n");
    return status >= 100 && status < 600 ? status : 0;
}
