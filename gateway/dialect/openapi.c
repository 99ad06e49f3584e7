/* Walks the route tables; each row becomes an operation, each named shape it speaks of a schema of
 * the components. Called for /openapi.json and /docs, and by the unit test of the tables.
 *
 * Invariant: what a row says of itself (method, pattern, errors, access) is taken from the row and
 * nowhere else. */
#include "gateway/dialect/openapi.h"

#include <string.h>

#include "gateway/dialect/openapi_schema.h"
#include "protocol/memory.h"

static const char *const methods[METHOD_COUNT] = {"get", "post", "put", "patch", "delete"};

/* What a status means where a doc does not say more. */
static const char *usual_error(int status)
{
    static const struct {
        int status;
        const char *about;
    } usual[] = {
        {400, "The request is not understood; `detail` names the member or parameter."},
        {401, "A token is needed, and must be good."},
        {403, "The token may not do this, or a limit is reached."},
        {404, "What the path names does not exist."},
        {408, "The body did not come in time."},
        {409, "What is there now does not allow it."},
        {410, "It was there, and is no more."},
        {412, "The condition (`If-Match`, `If-None-Match`) does not hold."},
        {413, "The body is too long."},
        {416, "The range lies outside."},
        {429, "Too many requests; `Retry-After` says when to come again."},
        {501, "This machine or this gateway cannot do it."},
        {502, "The kernel failed."},
        {503, "Not now; `Retry-After` says when to come again."},
        {504, "It took longer than it may."},
        {507, "There is no room for it."},
    };
    for (size_t i = 0; i < countof(usual); i++)
        if (usual[i].status == status)
            return usual[i].about;
    return "An error.";
}

static json_t *error_content(const struct route *route)
{
    static const struct {
        const char *type, *schema;
    } forms[] = {
        [ERRORS_JUPYTER] = {"application/json", "#/components/schemas/JupyterError"},
        [ERRORS_PROBLEM] = {"application/problem+json", "#/components/schemas/Problem"},
        [ERRORS_CLOUD] = {"application/json", "#/components/schemas/CloudError"},
    };
    return json_pack("{s:{s:{s:s}}}", forms[route->error_form].type, "schema", "$ref",
                     forms[route->error_form].schema);
}

static const char *error_about(const struct route *route, int status)
{
    const struct doc_error *errors = route->doc ? route->doc->errors : NULL;
    for (size_t i = 0; errors && i < countof(route->doc->errors) && errors[i].status; i++)
        if (errors[i].status == status)
            return errors[i].about;
    return usual_error(status);
}

static void add_error(json_t *responses, const struct route *route, int status)
{
    scoped(string) char *name = status ? xasprintf("%d", status) : xstrdup("default");
    const char *about = status ? error_about(route, status) : "Any other error, in the same form.";
    json_object_set_new(
        responses, name,
        json_pack("{s:s, s:o}", "description", about, "content", error_content(route)));
}

static json_t *headers(const struct doc_field *fields, json_t *named)
{
    json_t *list = json_object();
    for (const struct doc_field *f = fields; f && f->name; f++)
        json_object_set_new(
            list, f->name,
            json_pack("{s:s, s:o}", "description", f->about, "schema", openapi_field(f, named)));
    return list;
}

/* Answers of one status differ in their media types. */
static void add_reply(json_t *responses, const struct doc_reply *reply, json_t *named)
{
    scoped(string) char *name = xasprintf("%d", reply->status);
    json_t *response = json_object_get(responses, name);
    if (!response) {
        response = json_pack("{s:s}", "description", reply->about);
        json_object_set_new(responses, name, response);
    }
    if (reply->headers)
        json_object_set_new(response, "headers", headers(reply->headers, named));
    if (!reply->schema && !reply->type)
        return;
    json_t *content = json_object_get(response, "content");
    if (!content) {
        content = json_object();
        json_object_set_new(response, "content", content);
    }
    json_t *media = json_object();
    if (reply->schema)
        json_object_set_new(media, "schema", openapi_schema(reply->schema, named));
    json_object_set_new(content, reply->type ? reply->type : "application/json", media);
}

static json_t *responses(const struct route *route, json_t *named)
{
    json_t *list = json_object();
    const struct doc *doc = route->doc;
    for (size_t i = 0; doc && i < countof(doc->replies) && doc->replies[i].status; i++)
        add_reply(list, &doc->replies[i], named);
    for (size_t i = 0; i < countof(route->errors) && route->errors[i]; i++)
        add_error(list, route, route->errors[i]);
    if (route->access != ACCESS_OPEN)
        add_error(list, route, 401);
    if (route->access != ACCESS_OPEN && !json_object_get(list, "403"))
        add_error(list, route, 403);
    add_error(list, route, 0);
    return list;
}

static void add_parameters(json_t *list, const char *in, const struct doc_field *fields,
                           json_t *named)
{
    bool path = strcmp(in, "path") == 0;
    for (const struct doc_field *f = fields; f && f->name; f++) {
        json_t *parameter =
            json_pack("{s:s, s:s, s:s, s:b, s:o}", "name", f->name, "in", in, "description",
                      f->about, "required", path || f->must, "schema", openapi_field(f, named));
        if (f->example)
            json_object_set_new(parameter, "example",
                                json_loads(f->example, JSON_DECODE_ANY, NULL));
        json_array_append_new(list, parameter);
    }
}

static json_t *request_body(const struct doc *doc, json_t *named)
{
    json_t *media = json_object();
    if (doc->body)
        json_object_set_new(media, "schema", openapi_schema(doc->body, named));
    if (doc->body_example)
        json_object_set_new(media, "example", json_loads(doc->body_example, JSON_DECODE_ANY, NULL));
    return json_pack("{s:b, s:{s:o}}", "required", doc->body_must, "content",
                     doc->body_type ? doc->body_type : "application/json", media);
}

/* "/v1/sandboxes/{id}/files/{path*}" is "get_v1_sandboxes_id_files_path". */
static char *operation_id(const struct route *route)
{
    scoped(buffer) struct buffer id = {0};
    size_t len;
    buffer_add_text(&id, methods[route->method]);
    for (const char *at = route->pattern; *at; at++)
        if (*at == '/' && at[1])
            buffer_add_text(&id, "_");
        else if (!strchr("{}*/", *at))
            buffer_add(&id, *at == '.' ? "_" : at, 1);
    buffer_text(&id);
    return buffer_take(&id, &len);
}

static json_t *operation(const struct route *route, json_t *named)
{
    const struct doc *doc = route->doc;
    scoped(string) char *id = operation_id(route);
    json_t *parameters = json_array();
    json_t *o = json_pack("{s:s, s:s, s:o, s:o}", "operationId", id, "summary", route->summary,
                          "parameters", parameters, "responses", responses(route, named));
    if (route->access == ACCESS_OPEN)
        json_object_set_new(o, "security", json_array());
    if (!doc)
        return o;
    add_parameters(parameters, "path", doc->path, named);
    add_parameters(parameters, "query", doc->query, named);
    add_parameters(parameters, "header", doc->headers, named);
    json_object_set_new(o, "tags", json_pack("[s]", doc->tag));
    if (doc->about)
        json_object_set_new(o, "description", json_string(doc->about));
    if (doc->body || doc->body_type)
        json_object_set_new(o, "requestBody", request_body(doc, named));
    if (doc->streams)
        json_object_set_new(o, "x-streams", json_true());
    if (route->kind == ROUTE_UPGRADE)
        json_object_set_new(o, "x-websocket", json_true());
    return o;
}

/* The pattern without the star of a {rest*}. */
static char *path_of(const struct route *route)
{
    char *path = xstrdup(route->pattern), *star = strchr(path, '*');
    if (star)
        memmove(star, star + 1, strlen(star));
    return path;
}

static void add_tag(json_t *tags, const struct route *route)
{
    json_t *tag;
    size_t i;
    if (!route->doc)
        return;
    json_array_foreach(tags, i, tag) if (strcmp(json_string_value(json_object_get(tag, "name")),
                                                route->doc->tag) == 0) return;
    json_array_append_new(tags, json_pack("{s:s}", "name", route->doc->tag));
}

static void add_route(json_t *document, const struct route *route, json_t *named)
{
    json_t *paths = json_object_get(document, "paths");
    scoped(string) char *name = path_of(route);
    json_t *path = json_object_get(paths, name);
    if (!path) {
        path = json_object();
        json_object_set_new(paths, name, path);
    }
    json_object_set_new(path, methods[route->method], operation(route, named));
    add_tag(json_object_get(document, "tags"), route);
}

static const char about[] =
    "Kernels and confined sandboxes over HTTP and WebSocket. Every request but those that are "
    "marked as open needs the token, as `Authorization: Bearer TOKEN` or as `?token=TOKEN`. "
    "Errors under `/v1` are `application/problem+json`; those of Jupyter's own routes have its "
    "form. Times are RFC 3339 in UTC; the ends of names tell the units: `_bytes`, `_s`, `_ms`.";

static json_t *security_schemes(void)
{
    return json_pack("{s:{s:s, s:s}, s:{s:s, s:s, s:s}}", "token", "type", "http", "scheme",
                     "bearer", "query", "type", "apiKey", "in", "query", "name", "token");
}

json_t *openapi_document(const struct route_table *const *tables, size_t count,
                         const char *base_url)
{
    json_t *named = openapi_errors();
    json_t *document = json_pack(
        "{s:s, s:{s:s, s:s, s:s}, s:[{s:s}], s:[{s:[]}, {s:[]}], s:[], s:{}, s:{s:o, s:o}}",
        "openapi", "3.1.0", "info", "title", "warmcell", "version", WARMCELL_VERSION, "description",
        about, "servers", "url", *base_url ? base_url : "/", "security", "token", "query", "tags",
        "paths", "components", "schemas", named, "securitySchemes", security_schemes());
    for (size_t t = 0; t < count; t++)
        for (size_t i = 0; i < tables[t]->count; i++)
            add_route(document, &tables[t]->routes[i], named);
    return document;
}
