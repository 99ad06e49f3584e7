/* Heads are made anew from what was parsed; no line of either side is passed on as it came. So what
 * the two parsers could disagree about is not there: one length, one host, no folded lines.
 *
 * Invariant: nothing that lets anybody in at the gateway passes inwards, and nothing that a browser
 * would keep for the gateway's own origin passes outwards. */
#include "gateway/net/relay_head.h"

#include <inttypes.h>
#include <strings.h>

#include "gateway/net/connection.h"
#include "gateway/net/url.h"

/* What becomes of a header; 0: it passes. */
enum {
    IN = 1,           /* it does not go inside */
    OUT = 2,          /* nor out */
    OUT_OURS = 4,     /* nor out to the gateway's own origin */
    IN_CHANGED = 8,   /* looked at by itself on its way in */
    OUT_CHANGED = 16, /* and on its way out */
};

static const struct {
    const char *name; /* in lower case; with a final "*" all that begin so */
    unsigned rule;
} rules[] = {
    /* of one connection, and of how long what follows is */
    {"connection", IN | OUT},
    {"content-length", IN | OUT},
    {"expect", IN},
    {"http2-settings", IN},
    {"keep-alive", IN | OUT},
    {"proxy-*", IN | OUT},
    {"te", IN},
    {"trailer", IN | OUT},
    {"transfer-encoding", IN | OUT},
    {"upgrade", IN | OUT},
    /* who asks for what; ours to say */
    {"forwarded", IN},
    {"host", IN},
    {"origin", IN_CHANGED},
    {"referer", IN_CHANGED},
    {"x-forwarded-*", IN},
    {"x-real-ip", IN},
    /* what lets somebody in */
    {"authorization", IN_CHANGED},
    {"cookie", IN_CHANGED},
    /* what a browser would keep for an origin, or do to it */
    {"access-control-*", OUT_OURS},
    {"alt-svc", OUT},
    {"clear-site-data", OUT_OURS},
    {"service-worker-allowed", OUT_OURS},
    {"set-cookie", OUT_CHANGED},
    {"set-cookie2", OUT},
    {"strict-transport-security", OUT},
    /* where to */
    {"content-location", OUT_CHANGED},
    {"location", OUT_CHANGED},
};

/* "X_Forwarded-For" is X-Forwarded-For to many a server. */
static bool name_is(const char *name, const char *rule)
{
    for (; *rule && *rule != '*'; rule++, name++) {
        int c = *name == '_' ? '-' : *name >= 'A' && *name <= 'Z' ? *name + 32 : *name;
        if (c != *rule)
            return false;
    }
    return *rule == '*' || !*name;
}

static unsigned rule_of(const char *name)
{
    for (size_t i = 0; i < countof(rules); i++)
        if (name_is(name, rules[i].name))
            return rules[i].rule;
    return 0;
}

static bool is_clean(const char *value)
{
    for (; *value; value++)
        if (((unsigned char)*value < ' ' && *value != '\t') || *value == 0x7f)
            return false;
    return true;
}

static void add(struct buffer *out, const char *name, const char *value)
{
    buffer_add_text(out, name);
    buffer_add_text(out, ": ");
    buffer_add_text(out, value);
    buffer_add_text(out, "\r\n");
}

/* --- inwards */

/* Does a Connection header of the request name it? */
static bool is_of_connection(const struct exchange *x, const char *wanted)
{
    const char *name, *value;
    for (size_t i = 0; exchange_header_at(x, i, &name, &value); i++)
        if (strcasecmp(name, "connection") == 0 && header_has_token(value, wanted))
            return true;
    return false;
}

/* The path and query of a URL at the authority that was called; NULL: another one's. */
static const char *own_path(const struct exchange *x, const char *url)
{
    const char *host = exchange_header(x, "host"), *authority = strstr(url, "://");
    size_t len = host ? strlen(host) : 0;
    if (!authority || !len || strncasecmp(authority + 3, host, len) != 0)
        return NULL;
    const char *path = authority + 3 + len;
    return *path == '/' || !*path ? path : NULL;
}

bool relay_cookie(const char *value, const char *ours, struct buffer *out)
{
    size_t start = out->len, name_len = strlen(ours);
    while (*value) {
        value += strspn(value, "; \t");
        size_t len = strcspn(value, ";"), name = strcspn(value, "=;");
        while (name && (value[name - 1] == ' ' || value[name - 1] == '\t'))
            name--;
        bool is_ours = name == name_len && strncasecmp(value, ours, name) == 0;
        if (len && !is_ours) {
            if (out->len > start)
                buffer_add_text(out, "; ");
            buffer_add(out, value, len);
        }
        value += len;
    }
    return out->len > start;
}

/* Of what is looked at by itself, that what passes. */
static void add_changed(const struct exchange *x, const struct relay_plan *plan, const char *name,
                        const char *value, struct buffer *out)
{
    scoped(buffer) struct buffer text = {0};
    if (strcasecmp(name, "origin") == 0) { /* check_origin has seen that it may call */
        buffer_printf(&text, "http://localhost:%d", plan->port);
        add(out, name, buffer_text(&text));
        return;
    }
    if (plan->prefix)
        return;
    const char *path = strcasecmp(name, "referer") == 0 ? own_path(x, value) : NULL;
    if (path) {
        buffer_printf(&text, "http://localhost:%d%s", plan->port, path);
        add(out, name, buffer_text(&text));
    } else if (strcasecmp(name, "cookie") == 0 && relay_cookie(value, plan->cookie, &text)) {
        add(out, name, buffer_text(&text));
    } else if (strcasecmp(name, "authorization") == 0 && !exchange_is_ours(x, value)) {
        add(out, name, value);
    }
}

static void add_forwarded(const struct exchange *x, const struct relay_plan *plan,
                          struct buffer *out)
{
    const struct connection *c = x->connection;
    char peer[STREAM_PEER_TEXT];
    const char *host = exchange_header(x, "host");
    if (c->stream && !stream_is_unix(c->stream)) {
        stream_peer_text(c->stream, peer);
        add(out, "X-Forwarded-For", peer);
    }
    if (host)
        add(out, "X-Forwarded-Host", host);
    add(out, "X-Forwarded-Proto", c->server->tls ? "https" : "http");
    if (plan->prefix)
        add(out, "X-Forwarded-Prefix", plan->prefix);
}

/* Exactly one way to tell the length, made from what was parsed. */
static void add_framing(const struct exchange *x, struct buffer *out)
{
    if (exchange_is_upgrade(x)) {
        buffer_printf(out, "Connection: Upgrade\r\nUpgrade: %s\r\n", exchange_header(x, "upgrade"));
        return;
    }
    buffer_add_text(out, "Connection: close\r\n");
    if (x->has_body && x->body_length < 0)
        buffer_add_text(out, "Transfer-Encoding: chunked\r\n");
    else if (x->has_body || x->method != GET)
        buffer_printf(out, "Content-Length: %" PRId64 "\r\n", x->has_body ? x->body_length : 0);
}

/* Without what lets somebody in here: a token that came with the gateway's own form. */
static void add_query(const struct exchange *x, struct bytes query, struct buffer *out)
{
    struct bytes name, value;
    char mark = '?';
    while (url_query_next(&query, &name, &value)) {
        scoped(string) char *text = xmalloc(value.len + 1);
        if (url_decode_bytes(value, true, text) >= 0 && exchange_is_secret(x, text))
            continue;
        buffer_add(out, &mark, 1);
        buffer_add_bytes(out, name);
        if (value.data) {
            buffer_add_text(out, "=");
            buffer_add_bytes(out, value);
        }
        mark = '&';
    }
}

static void add_target(const struct exchange *x, const struct relay_plan *plan, struct buffer *out)
{
    scoped(buffer) struct buffer text = {0};
    size_t path = plan->prefix ? strcspn(plan->target, "?") : strlen(plan->target);
    buffer_add(&text, plan->target, path);
    if (plan->target[path])
        add_query(x, bytes_of(plan->target + path + 1), &text);
    for (size_t i = 0; i < text.len; i++) { /* bytes that no target may hold are escaped */
        unsigned char c = (unsigned char)text.data[i];
        if (c <= ' ' || c >= 0x7f)
            buffer_printf(out, "%%%02X", c);
        else
            buffer_add(out, &c, 1);
    }
}

bool relay_request_head(const struct exchange *x, const struct relay_plan *plan, struct buffer *out,
                        struct err *e)
{
    const char *name, *value;
    buffer_printf(out, "%s ", exchange_method_text(x));
    add_target(x, plan, out);
    buffer_printf(out, " HTTP/1.1\r\nHost: localhost:%d\r\n", plan->port);
    for (size_t i = 0; exchange_header_at(x, i, &name, &value); i++) {
        unsigned rule = rule_of(name);
        if (!is_clean(value))
            return fail(e, 400, "a header holds control characters");
        if (rule & IN_CHANGED)
            add_changed(x, plan, name, value, out);
        else if (!(rule & IN) && !is_of_connection(x, name))
            add(out, name, value);
    }
    add_forwarded(x, plan, out);
    add_framing(x, out);
    buffer_add_text(out, "\r\n");
    return true;
}

/* --- outwards */

/* The length of "http://HOST:PORT" at the beginning of a URL that names the server inside; 0: it
 * names another one, or none. */
static size_t inner_authority(const struct relay_plan *plan, const char *url)
{
    static const char *const hosts[] = {"localhost", "127.0.0.1", "[::1]", "0.0.0.0"};
    if (strncasecmp(url, "http://", 7) != 0)
        return 0;
    for (size_t i = 0; i < countof(hosts); i++) {
        scoped(string) char *authority = xasprintf("%s:%d", hosts[i], plan->port);
        size_t len = strlen(authority);
        char after = strncasecmp(url + 7, authority, len) == 0 ? url[7 + len] : 'x';
        if (!after || after == '/' || after == '?' || after == '#')
            return 7 + len;
    }
    return 0;
}

void relay_location(const struct relay_plan *plan, const char *value, struct buffer *out)
{
    size_t authority = inner_authority(plan, value);
    const char *prefix = plan->prefix ? plan->prefix : "";
    if (authority) /* "//" at its beginning would name another host */
        buffer_printf(out, "%s/%s", prefix, value + authority + strspn(value + authority, "/\\"));
    else
        buffer_printf(out, "%s%s", *value == '/' && value[1] != '/' ? prefix : "", value);
}

static bool is_domain(const char *attribute)
{
    attribute += strspn(attribute, " \t");
    return strncasecmp(attribute, "domain", 6) == 0 && strcspn(attribute + 6, "= \t;") == 0;
}

bool relay_set_cookie(const char *value, const char *ours, struct buffer *out)
{
    value += strspn(value, " \t");
    size_t name = strcspn(value, "=; \t");
    if (name == strlen(ours) && strncasecmp(value, ours, name) == 0)
        return false;
    for (bool first = true; first || *value; first = false) {
        size_t len = strcspn(value, ";");
        if (first || !is_domain(value)) {
            buffer_add_text(out, first ? "" : ";");
            buffer_add(out, value, len);
        }
        value += len + (value[len] == ';');
    }
    return true;
}

static void add_changed_out(const struct relay_plan *plan, const char *name, const char *value,
                            struct buffer *out)
{
    scoped(buffer) struct buffer text = {0};
    if (strcasecmp(name, "location") == 0 || strcasecmp(name, "content-location") == 0)
        relay_location(plan, value, &text);
    else if (plan->prefix || strcasecmp(name, "set-cookie") != 0 ||
             !relay_set_cookie(value, plan->cookie, &text))
        return;
    add(out, name, buffer_text(&text));
}

/* Does a Connection header of the reply name it? */
static bool is_of_their_connection(const struct relay_reply *r, const char *wanted)
{
    const char *name, *value;
    for (size_t i = 0; relay_reply_header(r, i, &name, &value); i++)
        if (strcasecmp(name, "connection") == 0 && header_has_token(value, wanted))
            return true;
    return false;
}

/* At the gateway's own origin nothing from inside may act as a page of it. */
static void add_cage(struct buffer *out)
{
    add(out, "Content-Security-Policy",
        "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads");
    add(out, "X-Content-Type-Options", "nosniff");
    add(out, "Cross-Origin-Resource-Policy", "same-origin");
}

void relay_reply_lines(const struct exchange *x, const struct relay_plan *plan,
                       const struct relay_reply *r, struct buffer *out)
{
    const char *name, *value;
    (void)x;
    for (size_t i = 0; relay_reply_header(r, i, &name, &value); i++) {
        unsigned rule = rule_of(name);
        if (rule & OUT_CHANGED)
            add_changed_out(plan, name, value, out);
        else if (!(rule & OUT) && !(plan->prefix && rule & OUT_OURS) &&
                 !is_of_their_connection(r, name))
            add(out, name, value);
    }
    if (plan->prefix)
        add_cage(out);
}

void relay_upgrade_lines(const struct exchange *x, const struct relay_plan *plan,
                         const struct relay_reply *r, struct buffer *out)
{
    const char *name, *value;
    relay_reply_lines(x, plan, r, out);
    for (size_t i = 0; relay_reply_header(r, i, &name, &value); i++)
        if (strcasecmp(name, "upgrade") == 0)
            add(out, name, value);
}
