/* Small things of Jupyter's API: version, status, paths, and the description of itself, which is
 * made from the route table. */
#include <string.h>

#include "gateway/dialect/jupyter.h"
#include "gateway/net/doc.h"
#include "protocol/ids.h"
#include "protocol/json.h"

void jupyter_version(struct exchange *x, void *core)
{
    (void)core;
    exchange_reply_json(x, 200, json_pack("{s:s}", "version", WARMCELL_VERSION));
}

struct counts {
    json_int_t kernels, connections;
};

static void count_kernel(void *user, struct kernel *k)
{
    struct counts *counts = user;
    counts->kernels++;
    counts->connections += (json_int_t)kernel_connections(k);
}

void jupyter_status(struct exchange *x, void *core)
{
    struct counts counts = {0};
    char started[TIME_TEXT], last_activity[TIME_TEXT];
    kernels_each(core, exchange_principal(x), count_kernel, &counts);
    time_text(core_started(core), started);
    time_text(core_last_activity(core), last_activity);
    exchange_reply_json(x, 200,
                        json_pack("{s:s, s:s, s:I, s:I}", "started", started, "last_activity",
                                  last_activity, "connections", counts.connections, "kernels",
                                  counts.kernels));
}

/* {"resolved": [{"scope": "kernel", "path": "/abs"}][, "unresolved": [{"scope", "reason"}]]}: this
 * server has no contents, so that "kernel" is the only scope. Source: jupyter_server
 * services/api/handlers.py. */
void jupyter_resolve_path(struct exchange *x, void *core)
{
    const char *path = exchange_query(x, "path"), *id = exchange_query(x, "kernel");
    struct err e = {0};
    if (!path || !*path) {
        fail(&e, 400, "Missing argument path");
        exchange_fail(x, &e);
        return;
    }
    struct kernel *k = id ? kernels_find(core, exchange_principal(x), id, NULL) : NULL;
    json_t *resolved = json_array(), *reply = json_pack("{s:o}", "resolved", resolved);
    scoped(string) char *found = k ? kernel_resolve_path(k, path) : NULL;
    if (found)
        json_array_append_new(resolved, json_pack("{s:s, s:s}", "scope", "kernel", "path", found));
    if (id && !k) {
        scoped(string) char *reason = xasprintf("Kernel %s could not be found", id);
        json_object_set_new(reply, "unresolved",
                            json_pack("[{s:s, s:s}]", "scope", "kernel", "reason", reason));
    }
    exchange_reply_json(x, 200, reply);
}

static void add_response(json_t *responses, int status, const char *about)
{
    scoped(string) char *name = xasprintf("%d", status);
    if (!json_object_get(responses, name))
        json_object_set_new(responses, name, json_pack("{s:s}", "description", about));
}

static json_t *describe(const struct route *route)
{
    json_t *responses = json_object(), *parameters = json_array();
    const struct doc *doc = route->doc;
    for (size_t i = 0; i < countof(doc->replies) && doc->replies[i].status; i++)
        add_response(responses, doc->replies[i].status, doc->replies[i].about);
    for (size_t i = 0; i < countof(route->errors) && route->errors[i]; i++)
        add_response(responses, route->errors[i], "Error");
    for (const struct doc_field *f = doc->path; f && f->name; f++)
        json_array_append_new(parameters,
                              json_pack("{s:s, s:s, s:s, s:b, s:s}", "name", f->name, "in", "path",
                                        "description", f->about, "required", 1, "type", "string"));
    return json_pack("{s:s, s:o, s:o}", "summary", route->summary, "responses", responses,
                     "parameters", parameters);
}

/* Swagger 2.0, as kernel_gateway serves it. */
static json_t *swagger(const struct exchange *x)
{
    static const char *const methods[METHOD_COUNT] = {"get", "post", "put", "patch", "delete"};
    json_t *paths = json_object();
    for (size_t i = 0; i < jupyter_routes.count; i++) {
        const struct route *route = &jupyter_routes.routes[i];
        json_t *path = json_object_get(paths, route->pattern);
        if (!path) {
            path = json_object();
            json_object_set_new(paths, route->pattern, path);
        }
        json_object_set_new(path, methods[route->method], describe(route));
    }
    const char *base = exchange_base_url(x);
    return json_pack("{s:s, s:{s:s, s:s, s:s}, s:s, s:[s], s:[s], s:o}", "swagger", "2.0", "info",
                     "title", "Jupyter Kernel Gateway API", "version", "5", "description",
                     "Kernels over HTTP and WebSocket, served by warmcell", "basePath",
                     *base ? base : "/", "produces", "application/json", "consumes",
                     "application/json", "paths", paths);
}

void jupyter_swagger_json(struct exchange *x, void *core)
{
    (void)core;
    exchange_reply_json(x, 200, swagger(x));
}

/* JSON is YAML. */
void jupyter_swagger_yaml(struct exchange *x, void *core)
{
    (void)core;
    scoped(json) json_t *description = swagger(x);
    scoped(string) char *text = json_dumps(description, JSON_INDENT(2));
    exchange_reply(x, 200, "application/yaml", bytes_of(text));
}
