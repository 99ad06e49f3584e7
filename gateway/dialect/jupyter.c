/* The rows of Jupyter's API. What a row says here is also what the served description says. */
#include "gateway/dialect/jupyter.h"

#include "protocol/json.h"
#include "protocol/memory.h"

static const struct route rows[] = {
    {GET, "/api", jupyter_version, "The version of the server", "Version", {0}, ACCESS_OPEN,
     ERRORS_JUPYTER, false},
    {GET, "/api/status", jupyter_status, "Counts and times of the server", "Status", {0},
     ACCESS_TOKEN, ERRORS_JUPYTER, false},
    {GET, "/api/swagger.json", jupyter_swagger_json, "This description", "Swagger", {0},
     ACCESS_OPEN, ERRORS_JUPYTER, false},
    {GET, "/api/swagger.yaml", jupyter_swagger_yaml, "This description", "Swagger", {0},
     ACCESS_OPEN, ERRORS_JUPYTER, false},
    {GET, "/api/resolvePath", jupyter_resolve_path, "Whether a path exists for a kernel",
     "ResolvedPath", {400, 404}, ACCESS_TOKEN, ERRORS_JUPYTER, false},
    {GET, "/api/kernelspecs", jupyter_kernelspecs_list, "The installed kernelspecs", "KernelSpecs",
     {0}, ACCESS_TOKEN, ERRORS_JUPYTER, false},
    {GET, "/api/kernelspecs/{name}", jupyter_kernelspec_show, "One kernelspec", "KernelSpec",
     {404}, ACCESS_TOKEN, ERRORS_JUPYTER, false},
    {GET, "/kernelspecs/{name}/{file}", jupyter_kernelspec_file, "A file of a kernelspec", "File",
     {404}, ACCESS_TOKEN, ERRORS_JUPYTER, false},
    {GET, "/api/kernels", jupyter_kernels_list, "The running kernels", "Kernels", {403},
     ACCESS_TOKEN, ERRORS_JUPYTER, false},
    {POST, "/api/kernels", jupyter_kernels_start, "Start a kernel", "Kernel",
     {400, 403, 404, 409, 502, 503}, ACCESS_TOKEN, ERRORS_JUPYTER, false},
    {GET, "/api/kernels/{id}", jupyter_kernel_show, "One kernel", "Kernel", {404}, ACCESS_TOKEN,
     ERRORS_JUPYTER, false},
    {DELETE, "/api/kernels/{id}", jupyter_kernel_delete, "End a kernel", NULL, {404}, ACCESS_TOKEN,
     ERRORS_JUPYTER, false},
    {POST, "/api/kernels/{id}/interrupt", jupyter_kernel_interrupt, "Interrupt a kernel", NULL,
     {404, 409, 502, 503}, ACCESS_TOKEN, ERRORS_JUPYTER, false},
    {POST, "/api/kernels/{id}/restart", jupyter_kernel_restart, "Restart a kernel", "Kernel",
     {404, 409, 502, 503}, ACCESS_TOKEN, ERRORS_JUPYTER, false},
    {GET, "/api/kernels/{id}/channels", jupyter_channels_open, "The WebSocket of a kernel", NULL,
     {400, 403, 404}, ACCESS_TOKEN, ERRORS_JUPYTER, true},
    {GET, "/api/sessions", jupyter_sessions_list, "The sessions", "Sessions", {403}, ACCESS_TOKEN,
     ERRORS_JUPYTER, false},
    {POST, "/api/sessions", jupyter_sessions_add, "Bind a path to a kernel", "Session",
     {400, 403, 409, 501, 502, 503}, ACCESS_TOKEN, ERRORS_JUPYTER, false},
    {GET, "/api/sessions/{id}", jupyter_session_show, "One session", "Session", {404},
     ACCESS_TOKEN, ERRORS_JUPYTER, false},
    {PATCH, "/api/sessions/{id}", jupyter_session_change, "Change a session", "Session",
     {400, 403, 404, 501, 502, 503}, ACCESS_TOKEN, ERRORS_JUPYTER, false},
    {DELETE, "/api/sessions/{id}", jupyter_session_delete, "End a session and its kernel", NULL,
     {404, 410}, ACCESS_TOKEN, ERRORS_JUPYTER, false},
};

const struct route_table jupyter_routes = {rows, countof(rows)};

json_t *jupyter_body(const struct exchange *x, struct err *e)
{
    struct bytes body = exchange_body(x);
    for (size_t i = 0; i < body.len; i++)
        if (!strchr(" \t\r\n", body.data[i]) || body.data[i] == '\0')
            return json_parse_object(body, "body", JUPYTER_BODY_LIMIT_BYTES, e);
    return json_object();
}

void jupyter_add_location(struct exchange *x, const char *path, const char *id)
{
    scoped(string) char *location = xasprintf("%s%s/%s", exchange_base_url(x), path, id);
    exchange_add_header(x, "Location", location);
}

bool jupyter_may_list(struct exchange *x, const struct core *c)
{
    if (core_settings(c)->list_kernels)
        return true;
    struct err e;
    fail(&e, 403, "Forbidden: lists of kernels and sessions are turned off (list-kernels)");
    exchange_fail(x, &e);
    return false;
}
