/* /v1/sandboxes/{id}/ports: servers that listen inside a sandbox (docs/ports.md).
 *
 * GET …/ports is {"ports": [{"port", "address", "url", "origin"}], "more": false}; POST …/ports
 * {"port": n, "path": "/…"} answers 201 {"port", "url", "origin", "expires_s"}: a link that lets a
 * browser in, once. …/ports/{n}/{path} is that server, and so is all of an origin of its own. */
#include "gateway/dialect/v1_ports.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gateway/core/port.h"
#include "gateway/core/port_pass.h"
#include "gateway/dialect/v1.h"
#include "gateway/dialect/v1_docs.h"
#include "gateway/net/relay.h"
#include "gateway/net/url.h"
#include "protocol/json.h"

#define COOKIE     "warmcell-port"
#define ENTER      "/.warmcell/enter"
#define PATH_LIMIT 4096
#define SEGMENTS   5 /* "/v1/sandboxes/{id}/ports/{n}" */

/* --- relayed */

struct visit {
    struct exchange *x;
    const struct settings *settings;
    char *prefix; /* owned; NULL: an origin of its own */
    char *target; /* owned */
    int port;
};

static void on_connected(void *user, int fd, struct port_use *use, const struct err *e)
{
    struct visit *v = user;
    const struct relay_plan plan = {.port = v->port,
                                    .prefix = v->prefix,
                                    .target = v->target,
                                    .cookie = v->prefix ? NULL : COOKIE,
                                    .reply_s = v->settings->net.port_reply_s,
                                    .done = port_release,
                                    .user = use};
    if (e)
        exchange_fail(v->x, e);
    else
        relay_begin(v->x, fd, &plan);
    free(v->prefix);
    free(v->target);
    free(v);
}

/* prefix, target: taken. */
static void visit(struct exchange *x, struct core *c, struct sandbox *s, int port, char *prefix,
                  char *target)
{
    struct visit *v = xcalloc(1, sizeof *v);
    *v = (struct visit){x, core_all_settings(c), prefix, target, port};
    port_connect_to(s, exchange_principal(x), port, on_connected, v);
}

/* Where the path of the server inside begins in the raw target; the query may begin there, too. */
static const char *inner_target(const struct exchange *x)
{
    const char *at = exchange_target(x) + strlen(exchange_base_url(x));
    for (int i = 0; i < SEGMENTS; i++)
        at += 1 + strcspn(at + 1, "/?");
    return at;
}

/* Pages are shown at an origin of their own, where they can do nothing in the gateway's name. */
static void send_away(struct exchange *x, struct core *c, const struct sandbox *s, int port,
                      const char *target)
{
    scoped(buffer) struct buffer url = {0}, ticket = {0};
    const struct port_place place = {sandbox_id(s), port};
    struct err e;
    if (!exchange_site_url(x, sandbox_id(s), port, &url)) {
        fail(&e, 403,
             "pages of a sandbox are not shown at the gateway's own origin; see the option "
             "--ports-domain");
        exchange_fail(x, &e);
        return;
    }
    port_pass_make(core_port_passes(c), PORT_TICKET, &place, exchange_principal(x), time(NULL),
                   &ticket);
    buffer_printf(&url, ENTER "?ticket=%s&to=", buffer_text(&ticket));
    for (; *target; target++)
        if (strchr("&+#%", *target) || (unsigned char)*target <= ' ' || *target & 0x80)
            buffer_printf(&url, "%%%02X", (unsigned char)*target);
        else
            buffer_add(&url, target, 1);
    exchange_add_header(x, "Location", buffer_text(&url));
    exchange_add_header(x, "Cache-Control", "no-store");
    exchange_add_header(x, "Referrer-Policy", "no-referrer");
    exchange_reply_empty(x, 302);
}

static bool is_navigation(const struct exchange *x)
{
    const char *mode = exchange_header(x, "sec-fetch-mode");
    return mode && strcmp(mode, "navigate") == 0;
}

/* A worker registered at the gateway's origin would see what passes there. */
static bool is_worker(const struct exchange *x)
{
    return exchange_header(x, "service-worker") != NULL;
}

static void relay(struct exchange *x, void *core)
{
    struct err e = {0};
    int port;
    struct sandbox *s = sandboxes_find(core, exchange_principal(x), exchange_param(x, "id"), &e);
    if (!s || !port_read(exchange_param(x, "n"), &port, &e) ||
        (is_worker(x) && !fail(&e, 403, "service workers of a sandbox are not for this origin"))) {
        exchange_fail(x, &e);
        return;
    }
    const char *at = inner_target(x);
    char *target = xasprintf("%s%s", *at == '/' ? "" : "/", at);
    if (is_navigation(x)) {
        send_away(x, core, s, port, target);
        free(target);
        return;
    }
    const char *begin = exchange_target(x);
    visit(x, core, s, port, xstrndup(begin, (size_t)(at - begin)), target);
}

/* --- an origin of its own */

/* The value of that cookie, from *from on, which moves behind it; data NULL: there is none. Several
 * may have the name: any of them may be right. */
static struct bytes next_cookie(const char **from)
{
    while (*from && **from) {
        const char *at = *from + strspn(*from, "; \t");
        size_t len = strcspn(at, ";"), name = strlen(COOKIE);
        *from = at + len;
        if (len > name && strncmp(at, COOKIE "=", name + 1) == 0)
            return (struct bytes){at + name + 1, len - name - 1};
    }
    return (struct bytes){0};
}

static bool by_cookie(struct core *c, const struct exchange *x, const struct port_place *place,
                      struct principal *out, int64_t *left_s)
{
    const char *from = exchange_header(x, "cookie");
    struct bytes value;
    while ((value = next_cookie(&from)).data)
        if (port_pass_read(core_port_passes(c), PORT_COOKIE, place, value, time(NULL), out, left_s))
            return true;
    return false;
}

/* The parameters of ENTER. False: it is another path. */
static bool read_enter(const struct exchange *x, struct bytes *ticket, struct bytes *to)
{
    const char *target = exchange_target(x);
    size_t len = strlen(ENTER);
    struct bytes query, name, value;
    *ticket = *to = (struct bytes){0};
    if (strncmp(target, ENTER, len) != 0 || (target[len] && target[len] != '?'))
        return false;
    query = bytes_of(target + len + (target[len] == '?'));
    while (url_query_next(&query, &name, &value)) {
        if (bytes_is(name, "ticket"))
            *ticket = value;
        else if (bytes_is(name, "to"))
            *to = value;
    }
    return true;
}

static struct port_place place_of(const struct exchange *x)
{
    const struct site *site = exchange_site(x);
    return (struct port_place){site->sandbox, site->port};
}

static bool who(void *core, const struct exchange *x, const struct site *site,
                struct principal *out)
{
    struct bytes ticket, to;
    int64_t left_s;
    const struct port_place place = {site->sandbox, site->port};
    if (read_enter(x, &ticket, &to))
        return ticket.data && port_pass_read(core_port_passes(core), PORT_TICKET, &place, ticket,
                                             time(NULL), out, &left_s);
    return by_cookie(core, x, &place, out, &left_s);
}

static void give_cookie(struct exchange *x, struct core *c)
{
    scoped(buffer) struct buffer value = {0};
    const struct port_place place = place_of(x);
    buffer_add_text(&value, COOKIE "=");
    port_pass_make(core_port_passes(c), PORT_COOKIE, &place, exchange_principal(x), time(NULL),
                   &value);
    buffer_printf(&value, "; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax%s", PORT_COOKIE_S,
                  exchange_is_secure(x) ? "; Secure" : "");
    exchange_add_header(x, "Set-Cookie", buffer_text(&value));
}

/* A path at this origin alone, of characters that a header may hold; else "/". Given. */
static char *safe_path(struct bytes raw)
{
    char *path = xmalloc(raw.len + 2);
    long len = url_decode_bytes(raw, true, path);
    bool good = len > 0 && path[0] == '/' && path[1] != '/' && path[1] != '\\';
    for (long i = 0; good && i < len; i++)
        good = path[i] > ' ' && path[i] < 0x7f;
    if (!good)
        strcpy(path, "/");
    return path;
}

static void enter(struct exchange *x, struct core *c, struct bytes ticket, struct bytes to)
{
    struct err e;
    if (ticket.data && !port_pass_use(core_port_passes(c), ticket, time(NULL))) {
        fail(&e, 401, "this link was used already: ask for another one");
        exchange_fail(x, &e);
        return;
    }
    scoped(string) char *path = safe_path(to);
    give_cookie(x, c);
    exchange_add_header(x, "Location", path);
    exchange_add_header(x, "Cache-Control", "no-store");
    exchange_add_header(x, "Referrer-Policy", "no-referrer");
    exchange_reply_empty(x, 302);
}

static void site_relay(struct exchange *x, void *core)
{
    struct err e = {0};
    struct principal known;
    int64_t left_s;
    struct bytes ticket, to;
    const struct port_place place = place_of(x);
    struct sandbox *s = sandboxes_find(core, exchange_principal(x), place.sandbox, &e);
    if (!s) {
        exchange_fail(x, &e);
        return;
    }
    if (read_enter(x, &ticket, &to)) {
        enter(x, core, ticket, to);
        return;
    }
    if (by_cookie(core, x, &place, &known, &left_s) && left_s < PORT_COOKIE_S / 2)
        give_cookie(x, core);
    visit(x, core, s, place.port, NULL, xstrdup(exchange_target(x)));
}

struct sites v1_port_sites(struct core *core)
{
    static const struct route row = {
        .pattern = "{n}-{id}.DOMAIN/{path*}",
        .handler = site_relay,
        .summary = "A server inside a sandbox, at an origin of its own",
        .error_form = ERRORS_PROBLEM,
        .kind = ROUTE_RELAY,
    };
    return (struct sites){&row, core, who};
}

/* --- what listens, and links to it */

struct listing {
    struct exchange *x;
    char *id; /* owned */
};

static json_t *origin_of(const struct exchange *x, const char *id, int port)
{
    scoped(buffer) struct buffer url = {0};
    return exchange_site_url(x, id, port, &url) ? json_string(buffer_text(&url)) : json_null();
}

static char *path_of(const struct exchange *x, const char *id, int port)
{
    return xasprintf("%s/v1/sandboxes/%s/ports/%d/", exchange_base_url(x), id, port);
}

static void on_listed(void *user, json_t *list, bool more, const struct err *e)
{
    struct listing *l = user;
    size_t i;
    json_t *one;
    if (e) {
        exchange_fail(l->x, e);
    } else {
        json_array_foreach(list, i, one)
        {
            int port = (int)json_integer_value(json_object_get(one, "port"));
            scoped(string) char *path = path_of(l->x, l->id, port);
            json_object_set_new(one, "url", json_string(path));
            json_object_set_new(one, "origin", origin_of(l->x, l->id, port));
        }
        exchange_reply_json(l->x, 200, json_pack("{s:O, s:b}", "ports", list, "more", more));
    }
    free(l->id);
    free(l);
}

static void list_ports(struct exchange *x, void *core)
{
    struct err e = {0};
    struct sandbox *s = sandboxes_find(core, exchange_principal(x), exchange_param(x, "id"), &e);
    if (!s) {
        exchange_fail(x, &e);
        return;
    }
    struct listing *l = xcalloc(1, sizeof *l);
    *l = (struct listing){x, xstrdup(sandbox_id(s))};
    ports_list(s, on_listed, l);
}

static void open_port(struct exchange *x, void *core)
{
    struct err e = {0};
    int64_t port = 0;
    const char *path = "/";
    struct sandbox *s = sandboxes_find(core, exchange_principal(x), exchange_param(x, "id"), &e);
    scoped(json) json_t *body = s ? v1_body(x) : NULL;
    if (s && !body)
        return;
    if (!s || !field_int(body, "port", REQUIRED, 1, 65535, &port, &e) ||
        !field_str(body, "path", OPTIONAL, &path, &e) ||
        ((path[0] != '/' || strlen(path) > PATH_LIMIT) &&
         !fail(&e, 400, "path: must begin with / and be at most %d bytes long", PATH_LIMIT))) {
        exchange_fail(x, &e);
        return;
    }
    scoped(buffer) struct buffer url = {0};
    scoped(string) char *own = path_of(x, sandbox_id(s), (int)port);
    const struct port_place place = {sandbox_id(s), (int)port};
    json_t *origin = origin_of(x, place.sandbox, place.port);
    if (exchange_site_url(x, place.sandbox, place.port, &url)) {
        buffer_add_text(&url, ENTER "?ticket=");
        port_pass_make(core_port_passes(core), PORT_TICKET, &place, exchange_principal(x),
                       time(NULL), &url);
        buffer_add_text(&url, "&to=");
        url_encode_path(&url, bytes_of(path));
    }
    json_t *link = url.len ? json_string(buffer_text(&url)) : json_null();
    exchange_add_header(x, "Location", own);
    exchange_reply_json(x, 201,
                        json_pack("{s:i, s:s, s:o, s:o, s:i}", "port", (int)port, "url", own,
                                  "origin", origin, "link", link, "expires_s", PORT_TICKET_S));
}

#define RELAYED(method_, pattern_, summary_)                                                       \
    {                                                                                              \
        method_, pattern_, relay, summary_, {400, 403, 404, 409, 429, 501, 502, 503, 504},         \
            ACCESS_TOKEN, ERRORS_PROBLEM, ROUTE_RELAY, &v1_port_relay_doc                          \
    }

static const struct route rows[] = {
    {GET,
     "/v1/sandboxes/{id}/ports",
     list_ports,
     "What listens in a sandbox",
     {404, 409, 501, 503},
     ACCESS_TOKEN,
     ERRORS_PROBLEM,
     ROUTE_PLAIN,
     &v1_ports_list_doc},
    {POST,
     "/v1/sandboxes/{id}/ports",
     open_port,
     "Make a link that shows a port of a sandbox in a browser",
     {400, 404, 409, 413},
     ACCESS_TOKEN,
     ERRORS_PROBLEM,
     ROUTE_PLAIN,
     &v1_ports_open_doc},
    RELAYED(GET, "/v1/sandboxes/{id}/ports/{n}/{path*}", "Ask a server inside a sandbox"),
    RELAYED(POST, "/v1/sandboxes/{id}/ports/{n}/{path*}", "Post to a server inside a sandbox"),
    RELAYED(PUT, "/v1/sandboxes/{id}/ports/{n}/{path*}", "Put to a server inside a sandbox"),
    RELAYED(PATCH, "/v1/sandboxes/{id}/ports/{n}/{path*}", "Patch at a server inside a sandbox"),
    RELAYED(DELETE, "/v1/sandboxes/{id}/ports/{n}/{path*}", "Delete at a server inside a sandbox"),
};

const struct route_table v1_port_routes = {rows, sizeof rows / sizeof *rows};
