/* A request is judged from its head, by a row of checks in a fixed order: what is cheap and says
 * the most about the caller comes first, and nothing of the body is read for a caller who is
 * refused. connection.c calls exchange_judge once the head is in and exchange_dispatch once the
 * body is, too (or at once, when the handler takes the body itself). */
#include "gateway/net/exchange.h"

#include <assert.h>
#include <strings.h>
#include <unistd.h>

#include "gateway/log.h"
#include "gateway/net/allowance.h"
#include "gateway/net/connection.h"
#include "gateway/net/url.h"
#include "protocol/ids.h"
#include "protocol/utf8.h"

void exchange_reset(struct exchange *x)
{
    struct connection *c = x->connection;
    struct buffer text = x->text, decoded = x->decoded, body = x->body, extra = x->extra_headers;
    memset(x, 0, sizeof *x);
    x->connection = c;
    x->text = text;
    x->decoded = decoded;
    x->body = body;
    x->extra_headers = extra;
    buffer_clear(&x->text);
    buffer_clear(&x->decoded);
    buffer_clear(&x->body);
    buffer_clear(&x->extra_headers);
}

void exchange_free(struct exchange *x)
{
    buffer_free(&x->text);
    buffer_free(&x->decoded);
    buffer_free(&x->body);
    buffer_free(&x->extra_headers);
}

static void run_later(struct connection *c)
{
    c->exchange.later.run(c->exchange.later.user);
}

void exchange_later(struct exchange *x, void (*run)(void *user), void *user)
{
    assert(x->open && !x->connection->pieces.events);
    x->later.run = run;
    x->later.user = user;
    connection_later(x->connection, run_later);
}

enum method exchange_method(const struct exchange *x)
{
    return x->method;
}

const char *exchange_path(const struct exchange *x)
{
    return x->path ? x->path : "";
}

const char *exchange_param(const struct exchange *x, const char *name)
{
    for (size_t i = 0; i < x->param_count; i++)
        if (bytes_is(x->params[i].name, name))
            return x->params[i].value;
    assert(!"a parameter that the pattern does not have");
    return "";
}

const char *exchange_query(const struct exchange *x, const char *name)
{
    for (size_t i = x->query_count; i > 0; i--)
        if (strcmp(x->query[i - 1].name, name) == 0)
            return x->query[i - 1].value;
    return NULL;
}

const char *exchange_query_next(const struct exchange *x, const char *name, size_t *at)
{
    while (*at < x->query_count) {
        size_t i = (*at)++;
        if (strcmp(x->query[i].name, name) == 0)
            return x->query[i].value;
    }
    return NULL;
}

const char *exchange_header(const struct exchange *x, const char *name)
{
    for (size_t i = 0; i < x->header_count; i++)
        if (strcasecmp(x->text.data + x->headers[i].name, name) == 0)
            return x->text.data + x->headers[i].value;
    return NULL;
}

const struct doc *exchange_doc(const struct exchange *x)
{
    return x->route ? x->route->doc : NULL;
}

struct bytes exchange_body(const struct exchange *x)
{
    return buffer_view(&x->body);
}

const struct principal *exchange_principal(const struct exchange *x)
{
    return x->known ? &x->principal : NULL;
}

const char *exchange_target(const struct exchange *x)
{
    return x->target;
}

const char *exchange_method_text(const struct exchange *x)
{
    return llhttp_method_name(llhttp_get_method((llhttp_t *)&x->connection->parser));
}

bool exchange_header_at(const struct exchange *x, size_t i, const char **name, const char **value)
{
    if (i >= x->header_count)
        return false;
    *name = x->text.data + x->headers[i].name;
    *value = x->text.data + x->headers[i].value;
    return true;
}

bool exchange_is_secure(const struct exchange *x)
{
    return x->connection->server->tls != NULL;
}

bool exchange_is_upgrade(const struct exchange *x)
{
    return x->wants_upgrade;
}

bool exchange_is_secret(const struct exchange *x, const char *text)
{
    return *text && auth_is_token(x->connection->server->auth, text);
}

/* One of ours that is not good any more is a secret all the same. */
bool exchange_is_ours(const struct exchange *x, const char *authorization)
{
    struct principal who;
    struct credentials shown = {.authorization = authorization};
    return strstr(authorization, " wc_") ||
           auth_check(x->connection->server->auth, &shown, &who) == CREDENTIAL_HEADER;
}

bool exchange_shows_token(const struct exchange *x)
{
    return x->credential == CREDENTIAL_QUERY;
}

const char *exchange_base_url(const struct exchange *x)
{
    return x->connection->server->settings->base_url;
}

bool header_has_token(const char *value, const char *token)
{
    size_t wanted = strlen(token);
    while (value && *value) {
        value += strspn(value, ", \t");
        size_t len = strcspn(value, ",");
        size_t bare = len;
        while (bare && (value[bare - 1] == ' ' || value[bare - 1] == '\t'))
            bare--;
        if (bare == wanted && strncasecmp(value, token, wanted) == 0)
            return true;
        value += len;
    }
    return false;
}

static bool check_headers(struct exchange *x, struct err *e)
{
    for (size_t i = 0; i < x->header_count; i++)
        if (!x->text.data[x->headers[i].name])
            return fail(e, 400, "a header has no name");
    return true;
}

static bool check_version(struct exchange *x, struct err *e)
{
    const llhttp_t *parser = &x->connection->parser;
    x->http_1_0 = parser->http_minor == 0;
    if (parser->http_major != 1 || parser->http_minor > 1)
        return fail(e, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    if (x->http_1_0 && (parser->flags & F_TRANSFER_ENCODING))
        return fail(e, 400, "HTTP/1.0 has no Transfer-Encoding");
    return true;
}

static bool check_method(struct exchange *x, struct err *e)
{
    static const struct {
        llhttp_method_t code;
        enum method method;
    } methods[] = {
        {HTTP_GET, GET},     {HTTP_HEAD, GET},      {HTTP_POST, POST},   {HTTP_PUT, PUT},
        {HTTP_PATCH, PATCH}, {HTTP_DELETE, DELETE}, {HTTP_OPTIONS, GET},
    };
    llhttp_method_t code = llhttp_get_method((llhttp_t *)&x->connection->parser);
    x->head = code == HTTP_HEAD;
    x->options = code == HTTP_OPTIONS;
    for (size_t i = 0; i < countof(methods); i++) {
        if (methods[i].code == code) {
            x->method = methods[i].method;
            return true;
        }
    }
    return fail(e, 501, "the method %s is not known here", llhttp_method_name(code));
}

/* Exactly one Host (HTTP/1.0: at most one), and a name of ours: a page that points its own name at
 * this machine is not let in. Unix sockets cannot be reached that way. */
static bool check_host(struct exchange *x, struct err *e)
{
    const char *host = NULL;
    for (size_t i = 0; i < x->header_count; i++) {
        if (strcasecmp(x->text.data + x->headers[i].name, "host") != 0)
            continue;
        if (host)
            return fail(e, 400, "there is more than one Host header");
        host = x->text.data + x->headers[i].value;
    }
    if (!host)
        return x->http_1_0 || fail(e, 400, "the Host header is missing");
    const struct server *s = x->connection->server;
    if (s->sites.route && site_of_host(host, s->sites_domain, &x->site_place)) {
        x->site = &x->site_place;
        return true;
    }
    if (stream_is_unix(x->connection->stream) ||
        origin_host_allowed(x->connection->server->origin, host))
        return true;
    return fail(e, 403, "this host name is not allowed; see the option --allowed-hosts");
}

/* Decodes one part of the target to the end of x->decoded, which has room for all of it. */
static const char *decode(struct exchange *x, struct bytes raw, bool plus)
{
    char *place = x->decoded.data + x->decoded.len;
    long len = url_decode_bytes(raw, plus, place);
    if (len < 0)
        return NULL;
    x->not_utf8 = x->not_utf8 || !utf8_valid((struct bytes){place, (size_t)len});
    x->decoded.len += (size_t)len + 1;
    return place;
}

static bool decode_query(struct exchange *x, struct bytes query, struct err *e)
{
    struct bytes name, value;
    while (url_query_next(&query, &name, &value)) {
        if (x->query_count == QUERY_LIMIT)
            return fail(e, 400, "the query has more than %d parameters", QUERY_LIMIT);
        struct query_pair *pair = &x->query[x->query_count];
        pair->name = decode(x, name, true);
        pair->value = decode(x, value, true);
        if (!pair->name || !pair->value)
            return fail(e, 400, "the query is not valid: a broken %%-escape");
        x->query_count++;
    }
    return true;
}

static bool strip_base_url(const struct exchange *x, struct bytes *path)
{
    struct bytes base = bytes_of(exchange_base_url(x));
    if (path->len < base.len || memcmp(path->data, base.data, base.len) != 0)
        return false;
    path->data += base.len;
    path->len -= base.len;
    if (!path->len)
        *path = bytes_of("/");
    return path->data[0] == '/';
}

static void take_routes(struct exchange *x, const struct router_match *match)
{
    static const char *const names[METHOD_COUNT] = {"GET, HEAD", "POST", "PUT", "PATCH", "DELETE"};
    x->route = match->routes[x->method];
    x->context = match->contexts[x->method];
    for (size_t i = 0; i < METHOD_COUNT; i++) {
        if (!match->routes[i])
            continue;
        if (!x->route || x->options)
            x->error_form = match->routes[i]->error_form;
        strcat(x->allow, names[i]);
        strcat(x->allow, ", ");
    }
    strcat(x->allow, "OPTIONS");
    if (x->route)
        x->error_form = x->route->error_form;
}

static bool take_params(struct exchange *x, const struct router_match *match, struct err *e)
{
    for (size_t i = 0; i < match->param_count; i++) {
        x->params[i].name = match->params[i].name;
        x->params[i].value = decode(x, match->params[i].value, false);
        if (!x->params[i].value)
            return fail(e, 400, "the path is not valid: a broken %%-escape");
    }
    x->param_count = match->param_count;
    return true;
}

/* All of that origin is one route, and what is asked there is nobody's to judge but its server's.
 */
static bool take_site(struct exchange *x, struct err *e)
{
    struct bytes path, query;
    const struct server *s = x->connection->server;
    if (!url_split(bytes_of(x->text.data), &path, &query, e))
        return false;
    x->target = path.data;
    if (*x->target != '/')
        return fail(e, 400, "the request target must be a path that starts with /");
    x->options = false;
    x->error_form = ERRORS_PROBLEM;
    x->route = s->sites.route;
    x->context = s->sites.context;
    x->params[0].name = bytes_of("id");
    x->params[0].value = x->site->sandbox;
    x->params[1].name = bytes_of("n");
    x->params[1].value = x->site->port_text;
    x->param_count = 2;
    return true;
}

/* Fills path, query, parameters and the route. */
static bool check_target(struct exchange *x, struct err *e)
{
    if (x->site)
        return take_site(x, e);
    struct bytes target = bytes_of(x->text.data), path, query;
    if (x->options && bytes_is(target, "*"))
        target = bytes_of("/");
    /* path, its parameters and the query, each with a NUL: at most twice the target and some ends
     */
    buffer_reserve(&x->decoded, 2 * target.len + 2 * QUERY_LIMIT + PARAMS_LIMIT + 8);
    if (!url_split(target, &path, &query, e))
        return false;
    x->target = path.data;
    if (path.len > 1 && bytes_is((struct bytes){path.data, path.len < 4 ? path.len : 4}, "/v1/"))
        x->error_form = ERRORS_PROBLEM;
    if (!decode_query(x, query, e))
        return false;
    bool ours = strip_base_url(x, &path);
    x->path = decode(x, path, false);
    if (!x->path || url_climbs(x->path))
        return fail(e, 400, "the path is not valid: a broken %%-escape, or a .. in it");
    struct router_match match;
    bool found = ours && router_find(x->connection->server->router, path, &match);
    if (x->not_utf8 && !(found && match.any_bytes))
        return fail(e, 400, "path and query must be UTF-8");
    if (!found)
        return fail(e, 404, "there is nothing at %.200s", x->path);
    take_routes(x, &match);
    if (!take_params(x, &match, e))
        return false;
    if (!x->route && !x->options)
        return fail(e, 405, "%.200s does not know this method, only %s", x->path, x->allow);
    return true;
}

/* A page of a sandbox's port may call the origin it is of, and no other one: not even where the
 * pages of all other origins may. */
static bool is_of_site(const struct exchange *x, const char *origin)
{
    struct site site;
    const char *authority = strstr(origin, "://"), *host = exchange_header(x, "host");
    return authority && site_of_host(authority + 3, x->connection->server->sites_domain, &site) &&
           !(x->site && strcasecmp(authority + 3, host) == 0);
}

static bool check_origin(struct exchange *x, struct err *e)
{
    const char *origin = exchange_header(x, "origin"), *host = exchange_header(x, "host");
    const char *authority = origin ? strstr(origin, "://") : NULL;
    if (origin && x->site)
        return (authority && strcasecmp(authority + 3, host) == 0) ||
               fail(e, 403, "only its own pages may call what listens at this port");
    if (!origin || stream_is_unix(x->connection->stream) ||
        (!is_of_site(x, origin) && origin_allowed(x->connection->server->origin, origin, host)))
        return true;
    int status = x->route && x->route->kind == ROUTE_UPGRADE ? 403 : 404;
    return fail(e, status, "pages of this origin are not allowed; see the option --allow-origin");
}

/* Its cookie is its own, as its handler knows it; a header is what no page can make up. */
static bool check_visitor(struct exchange *x, struct err *e)
{
    const struct server *s = x->connection->server;
    struct credentials c = {.authorization = exchange_header(x, "authorization")};
    x->known = auth_check(s->auth, &c, &x->principal) == CREDENTIAL_HEADER;
    x->credential = x->known ? CREDENTIAL_HEADER : CREDENTIAL_NONE;
    if (x->known)
        return true;
    x->known = s->sites.who(s->sites.context, x, x->site, &x->principal) &&
               auth_still(s->auth, &x->principal);
    x->credential = x->known ? CREDENTIAL_COOKIE : CREDENTIAL_NONE;
    return x->known || fail(e, 401,
                            "this page is opened through the gateway, at "
                            "/v1/sandboxes/%s/ports/%s/",
                            x->site->sandbox, x->site->port_text);
}

/* Why one was no good is not told: who guesses learns nothing. */
static bool fail_token(const struct credentials *shown, struct err *e)
{
    if ((shown->authorization && *shown->authorization) ||
        (shown->query_token && *shown->query_token))
        return fail(e, 401,
                    "the token that was sent is not good here: it is not known, or was revoked, or "
                    "has expired, or is not signed as this gateway wants");
    return fail(e, 401,
                "a token is needed: send it as Authorization: token <token>, or as ?token=");
}

static bool check_principal(struct exchange *x, struct err *e)
{
    if (x->site)
        return check_visitor(x, e);
    const struct server *s = x->connection->server;
    uid_t uid;
    struct credentials c = {
        .authorization = exchange_header(x, "authorization"),
        .query_token = exchange_query(x, "token"),
        .cookie = exchange_header(x, "cookie"),
        .cookie_name = s->cookie_name,
        /* check_origin has seen the Origin, which browsers send with everything that may change
           something */
        .cookie_counts = (x->method == GET && !x->wants_upgrade &&
                          !(x->route && x->route->kind == ROUTE_UPGRADE)) ||
                         exchange_header(x, "origin"),
        .same_uid = stream_peer_uid(x->connection->stream, &uid) && uid == geteuid(),
    };
    x->credential = auth_check(s->auth, &c, &x->principal);
    x->known = x->credential != CREDENTIAL_NONE;
    if (x->known || x->options || (x->route && x->route->access == ACCESS_OPEN))
        return true;
    return fail_token(&c, e);
}

static enum scope scope_needed(const struct exchange *x)
{
    const struct route *route = x->route;
    if (route->access == ACCESS_TOKENS)
        return SCOPE_TOKENS;
    if (route->access == ACCESS_METRICS)
        return SCOPE_METRICS;
    bool reads = x->method == GET && route->kind != ROUTE_UPGRADE && !x->wants_upgrade;
    return reads ? SCOPE_READ : SCOPE_WRITE;
}

static bool check_rights(struct exchange *x, struct err *e)
{
    if (!x->route || x->options || x->route->access == ACCESS_OPEN)
        return true;
    if (x->route->access == ACCESS_METRICS && !principal_is_admin(&x->principal))
        return fail(e, 403, "this is for administrators");
    enum scope needed = scope_needed(x);
    return (x->principal.scopes & needed) ||
           fail(e, 403, "this token has not the scope \"%s\"", scope_name(needed));
}

/* One bucket for a token that has quotas, with those that were minted with it. */
static bool check_rate_of_token(struct exchange *x, struct err *e)
{
    const struct server *s = x->connection->server;
    struct allowance allowance;
    const char *id = auth_allowance(s->auth, &x->principal, &allowance);
    if (!id || !allowance.requests)
        return true;
    scoped(string) char *key = xasprintf("token:%s", id); /* no principal's name has a colon */
    return rate_take(s->rate, key, allowance.requests, monotonic_ms()) ||
           fail_quota(e, 429,
                      &(struct err_quota){"requests", allowance.requests, allowance.requests},
                      "token %s makes more than %lld requests a second, the most allowed", id,
                      (long long)allowance.requests);
}

static bool check_rate(struct exchange *x, struct err *e)
{
    const struct server *s = x->connection->server;
    struct allowance allowance;
    if (!x->known || principal_is_admin(&x->principal))
        return true;
    if (!check_rate_of_token(x, e))
        return false;
    allowance_of(&s->settings->quota, x->principal.name, &allowance);
    if (!allowance.requests ||
        rate_take(s->rate, x->principal.name, allowance.requests, monotonic_ms()))
        return true;
    return fail_quota(e, 429,
                      &(struct err_quota){"requests", allowance.requests, allowance.requests},
                      "%s makes more than %lld requests a second, the most allowed",
                      x->principal.name, (long long)allowance.requests);
}

/* Whether a server inside is asked for another protocol. HTTP/2 is none that could follow here, and
 * what has a body is a request like any other. */
static bool check_relay(struct exchange *x, struct err *e)
{
    const char *upgrade = exchange_header(x, "upgrade");
    (void)e;
    if (!x->route || x->route->kind != ROUTE_RELAY || x->options)
        return true;
    x->wants_upgrade = upgrade && *upgrade && x->connection->parser.upgrade && !x->http_1_0 &&
                       !x->head && !x->has_body && !header_has_token(upgrade, "h2c");
    x->close = x->close || x->wants_upgrade;
    return true;
}

static bool check_upgrade(struct exchange *x, struct err *e)
{
    if (!x->route || x->route->kind != ROUTE_UPGRADE || x->options)
        return true;
    const char *version = exchange_header(x, "sec-websocket-version");
    const char *key = exchange_header(x, "sec-websocket-key");
    if (x->http_1_0 || x->head || !x->connection->parser.upgrade ||
        !header_has_token(exchange_header(x, "upgrade"), "websocket")) {
        exchange_add_header(x, "Upgrade", "websocket");
        return fail(e, 426, "this is a WebSocket: ask for Upgrade: websocket");
    }
    if (!version || strcmp(version, "13") != 0) {
        exchange_add_header(x, "Sec-WebSocket-Version", "13");
        return fail(e, 426, "only WebSocket version 13 is spoken here");
    }
    if (!key || strlen(key) != 24 || key[22] != '=' || key[23] != '=')
        return fail(e, 400, "Sec-WebSocket-Key must be 16 bytes in base64");
    if (x->has_body)
        return fail(e, 400, "a WebSocket request has no body");
    x->close = true; /* the connection ends or becomes a WebSocket */
    return true;
}

static bool check_body(struct exchange *x, struct err *e)
{
    const llhttp_t *parser = &x->connection->parser;
    const char *expect = exchange_header(x, "expect");
    const char *encoding = exchange_header(x, "content-encoding");
    uint64_t limit = (uint64_t)x->connection->server->settings->body_limit_bytes;
    if (expect && strcasecmp(expect, "100-continue") != 0)
        return fail(e, 417, "this expectation cannot be met");
    if (x->route && x->route->kind == ROUTE_RELAY)
        return true;
    if (encoding && strcasecmp(encoding, "identity") != 0)
        return fail(e, 415, "the body must be sent without Content-Encoding");
    bool streamed = x->route && x->route->kind == ROUTE_STREAM;
    if (!streamed && !(parser->flags & F_CHUNKED) && parser->content_length > limit)
        return fail(e, 413, "the body is longer than %llu bytes", (unsigned long long)limit);
    return true;
}

void exchange_judge(struct exchange *x)
{
    static bool (*const checks[])(struct exchange *, struct err *) = {
        check_headers, check_version,   check_method, check_host,   check_target,  check_relay,
        check_origin,  check_principal, check_rate,   check_rights, check_upgrade, check_body,
    };
    bool logged = x->connection->server->settings->access_log || log_wants(LOG_DEBUG);
    x->started_us = logged ? monotonic_us() : 0;
    for (size_t i = 0; i < countof(checks); i++)
        if (!checks[i](x, &x->verdict))
            return;
}

/* A browser that came with the printed URL is given a cookie, so that its next requests need no
 * token. It stands for the gateway's own token, and for no other. */
static void give_cookie(struct exchange *x)
{
    const struct server *s = x->connection->server;
    const char *accept = exchange_header(x, "accept");
    if (x->credential != CREDENTIAL_QUERY || x->method != GET || x->route->kind == ROUTE_UPGRADE ||
        !accept || !strstr(accept, "text/html") || !auth_required(s->auth) ||
        !principal_is_own(&x->principal))
        return;
    scoped(buffer) struct buffer value = {0};
    buffer_printf(&value, "%s=%s; Path=%s/; HttpOnly; SameSite=Strict%s", s->cookie_name,
                  auth_cookie(s->auth), s->settings->base_url,
                  stream_is_tls(x->connection->stream) ? "; Secure" : "");
    exchange_add_header(x, "Set-Cookie", buffer_text(&value));
}

void exchange_dispatch(struct exchange *x)
{
    x->open = true;
    if (x->verdict.status) {
        if (x->has_body)
            x->close = true;
        struct err e = x->verdict;
        exchange_fail(x, &e);
    } else if (x->options) {
        exchange_add_header(x, "Allow", x->allow);
        exchange_reply_empty(x, 204);
    } else {
        give_cookie(x);
        x->route->handler(x, x->context);
    }
}
