/* /v1/sandboxes/{id}/packages: install, list, remove. What they answer is in core/package.h.
 *
 * Progress of an installation is a line of JSON, or a server-sent event, for each event; the last
 * is {"event": "end", ...the result} or {"event": "failed", "status", "detail"}. To a client that
 * reads slowly progress is left out. A client that goes away ends nothing. */
#include <stdio.h>
#include <string.h>

#include "gateway/core/package.h"
#include "gateway/dialect/v1.h"
#include "gateway/dialect/v1_docs.h"
#include "gateway/dialect/v1_executions.h"
#include "gateway/net/exchange.h"
#include "protocol/json.h"

/* One request until its answer. */
struct asking {
    struct exchange *x;
    struct sandbox *s; /* valid until the end was told */
    enum v1_stream form;
    bool begun, slow, over; /* the head is sent; ...; the end was told */
    int number;
};

/* --- as it goes */

static void send_event(struct asking *a, json_t *event)
{
    scoped(buffer) struct buffer out = {0};
    scoped(string) char *text = json_dumps(event, JSON_COMPACT);
    if (a->form == STREAM_EVENTS)
        buffer_printf(&out, "id: %d\nevent: %s\ndata: ", ++a->number,
                      json_string_value(json_object_get(event, "event")));
    buffer_add_text(&out, text);
    buffer_add_text(&out, a->form == STREAM_EVENTS ? "\n\n" : "\n");
    a->slow = !exchange_send(a->x, buffer_view(&out));
}

static void on_event(void *user, json_t *event)
{
    struct asking *a = user;
    if (a->begun && !a->slow)
        send_event(a, event);
}

static void on_ready(void *user)
{
    struct asking *a = user;
    a->slow = false;
}

static void on_gone(void *user)
{
    struct asking *a = user;
    packages_leave(a->s, a);
    free(a);
}

/* --- the end */

static void end_stream(struct asking *a, json_t *result, const struct err *e)
{
    scoped(json) json_t *last =
        e ? json_pack("{s:s, s:i, s:s}", "event", "failed", "status", e->status, "detail", e->text)
          : json_pack("{s:s}", "event", "end");
    if (!e)
        json_object_update(last, result);
    send_event(a, last);
    exchange_end(a->x);
}

static void on_done(void *user, json_t *result, const struct err *e)
{
    struct asking *a = user;
    if (a->begun)
        end_stream(a, result, e);
    else if (e)
        exchange_fail(a->x, e);
    else
        exchange_reply_json(a->x, 200, json_incref(result));
    free(a);
}

static const struct package_events events = {on_event, on_done};

static struct asking *asking_new(struct exchange *x, struct sandbox *s)
{
    struct asking *a = xcalloc(1, sizeof *a);
    *a = (struct asking){.x = x, .s = s};
    return a;
}

static void refuse(struct asking *a, const struct err *e)
{
    struct exchange *x = a->x;
    free(a);
    exchange_fail(x, e);
}

static struct sandbox *find(struct exchange *x, struct core *core)
{
    struct err e = {0};
    struct sandbox *s = sandboxes_find(core, exchange_principal(x), exchange_param(x, "id"), &e);
    if (!s)
        exchange_fail(x, &e);
    return s;
}

/* --- POST */

/* The head goes out before anything can be said; what is wrong with the request is known then. */
static bool begin_stream(struct asking *a)
{
    static const struct pieces_events pieces = {on_ready, on_gone};
    static const char *const types[] = {
        [STREAM_LINES] = "application/x-ndjson", [STREAM_EVENTS] = "text/event-stream"};
    if (!exchange_begin(a->x, 200, types[a->form], &pieces, a))
        return false;
    exchange_send(a->x, (struct bytes){0});
    a->begun = true;
    return true;
}

static void install(struct exchange *x, void *core)
{
    struct err e = {0};
    struct package_request request = {.restart = true};
    struct sandbox *s = find(x, core);
    scoped(json) json_t *body = s ? v1_body(x) : NULL;
    if (!body)
        return;
    struct asking *a = asking_new(x, s);
    request.packages = json_object_get(body, "packages");
    if (!field_int(body, "deadline_s", OPTIONAL, 1, PACKAGE_DEADLINE_MOST_S, &request.deadline_s,
                   &e) ||
        !field_bool(body, "restart", OPTIONAL, &request.restart, &e) ||
        !packages_allowed(s, &request, &e)) {
        refuse(a, &e);
        return;
    }
    a->form = v1_stream_wanted(x);
    if (a->form != STREAM_NONE && !begin_stream(a)) {
        free(a); /* the client has gone before anything was begun */
        return;
    }
    if (!packages_install(s, &request, &events, a, &e))
        on_done(a, NULL, &e);
}

/* --- the others */

static bool read_deadline(const struct exchange *x, struct package_request *out, struct err *e)
{
    return v1_query_number(x, "deadline_s", 1, PACKAGE_DEADLINE_MOST_S, &out->deadline_s, e);
}

static void list(struct exchange *x, void *core)
{
    struct err e = {0};
    struct package_request request = {0};
    struct sandbox *s = find(x, core);
    if (!s)
        return;
    struct asking *a = asking_new(x, s);
    if (!read_deadline(x, &request, &e) || !packages_list(s, &request, &events, a, &e))
        refuse(a, &e);
}

static bool read_restart(const struct exchange *x, struct package_request *out, struct err *e)
{
    const char *restart = exchange_query(x, "restart");
    out->restart = !restart || strcmp(restart, "1") == 0;
    return out->restart || strcmp(restart, "0") == 0 || fail(e, 400, "restart: must be 0 or 1");
}

static void uninstall(struct exchange *x, void *core)
{
    struct err e = {0};
    struct package_request request = {.name = exchange_param(x, "package")};
    struct sandbox *s = find(x, core);
    if (!s)
        return;
    struct asking *a = asking_new(x, s);
    if (!read_restart(x, &request, &e) || !read_deadline(x, &request, &e) ||
        !packages_remove(s, &request, &events, a, &e))
        refuse(a, &e);
}

#define PACKAGES "/v1/sandboxes/{id}/packages"
#define THE_REST ACCESS_TOKEN, ERRORS_PROBLEM, ROUTE_PLAIN

static const struct route rows[] = {
    {GET,
     PACKAGES,
     list,
     "The packages that code in a sandbox can import",
     {400, 404, 409, 422, 429, 501, 502, 503, 504, 507},
     THE_REST,
     &v1_packages_list_doc},
    {POST,
     PACKAGES,
     install,
     "Install packages into a sandbox: wait for the end, or stream the progress",
     {400, 403, 404, 409, 413, 422, 429, 501, 502, 503, 504, 507},
     THE_REST,
     &v1_packages_install_doc},
    {DELETE,
     PACKAGES "/{package}",
     uninstall,
     "Remove a package that was installed into a sandbox",
     {400, 404, 409, 422, 429, 501, 502, 503, 504, 507},
     THE_REST,
     &v1_package_delete_doc},
};

const struct route_table v1_package_routes = {rows, countof(rows)};
