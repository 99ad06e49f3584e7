/* One static page with a few live words in it, and /healthz. It runs no script and loads nothing,
 * and its policy says so. */
#include "gateway/home.h"

#include "gateway/net/doc.h"

static const char policy[] =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'";

static const char page[] =
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>warmcell</title>"
    "<meta name=\"viewport\" content=\"width=device-width\"><style>"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:12vh auto;padding:0 1.5rem;"
    "color:#222;background:#fcfbf9}h1{font-weight:600;margin:0}p.v{color:#777;margin:0 0 1.5rem}"
    "code{background:#f0ece4;padding:.1em .35em;border-radius:4px}a{color:#a3480b}"
    "li{margin:.35rem 0}@media(prefers-color-scheme:dark){body{color:#ddd;background:#1d1b19}"
    "code{background:#322e2a}a{color:#f0a061}}</style>"
    "<h1>warmcell</h1><p class=\"v\">version " WARMCELL_VERSION "</p>"
    "<p>This gateway serves Jupyter kernels over HTTP and WebSocket. Connections open now: %zu.</p>"
    "<ul><li><a href=\"%s/api/kernels\">Running kernels</a></li>"
    "<li><a href=\"%s/api/kernelspecs\">Kernels that can be started</a></li>"
    "<li><a href=\"%s/v1/artifacts\">Artifacts: the plots and tables that cells displayed</a></li>"
    "<li><a href=\"%s/api/status\">Status</a></li>"
    "<li><a href=\"%s/docs\">What can be asked of it: every route, with examples</a></li></ul>"
    "<p>To work with it in JupyterLab: <code>jupyter lab --gateway-url=THIS-URL</code>.</p></html>";

static void show_home(struct exchange *x, void *context)
{
    const struct home *home = context;
    const char *base = exchange_base_url(x);
    scoped(buffer) struct buffer text = {0};
    buffer_printf(&text, page, server_connections(home->server), base, base, base, base, base);
    exchange_add_header(x, "Content-Security-Policy", policy);
    exchange_add_header(x, "Referrer-Policy", "no-referrer"); /* the URL may hold the token */
    exchange_reply(x, 200, "text/html; charset=utf-8", buffer_view(&text));
}

static void show_health(struct exchange *x, void *context)
{
    (void)context;
    exchange_reply_json(x, 200, json_pack("{s:s}", "status", "ok"));
}

static const struct doc home_doc = {
    .tag = "Service",
    .replies = {REPLY(200, "The page.", .type = "text/html; charset=utf-8")},
};

static const struct doc_schema health = {
    .name = "Health",
    .whole = true,
    .fields = FIELDS(TEXT("status", "Always `ok`.", .words = "ok")),
};

static const struct doc health_doc = {
    .tag = "Service",
    .replies = {REPLY(200, "It is.", .schema = &health)},
};

static const struct route routes[] = {
    {GET, "/", show_home, .summary = "A page for people", .doc = &home_doc},
    {GET, "/healthz", show_health, .summary = "Is the gateway alive?", .access = ACCESS_OPEN,
     .doc = &health_doc},
};

const struct route_table home_routes = {routes, sizeof routes / sizeof *routes};
