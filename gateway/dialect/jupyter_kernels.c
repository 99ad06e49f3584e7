/* /api/kernels: start, list, show, interrupt, restart, end. */
#include <string.h>

#include "gateway/core/context.h"
#include "gateway/core/sandbox.h"
#include "gateway/dialect/jupyter.h"
#include "protocol/ids.h"
#include "protocol/json.h"

/* A request whose answer comes later. */
struct pending {
    struct exchange *x;
    struct core *core;
    char *id;
};

static struct pending *pending_new(struct exchange *x, struct core *c, const char *id)
{
    struct pending *p = xmalloc(sizeof(*p));
    *p = (struct pending){x, c, xstrdup(id)};
    return p;
}

static void pending_free(struct pending *p)
{
    free(p->id);
    free(p);
}

json_t *jupyter_kernel_model(const struct kernel *k)
{
    char last_activity[TIME_TEXT];
    time_text(kernel_last_activity(k), last_activity);
    json_t *model = json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:s}", "id", kernel_id(k), "name", kernel_name(k),
        "last_activity", last_activity, "execution_state", kernel_state_text(k), "connections",
        (json_int_t)kernel_connections(k), "profile", kernel_sandbox(k) ? "sandbox" : "owner");
    if (kernel_reason(k))
        json_object_set_new(model, "reason", json_string(kernel_reason(k)));
    if (kernel_cause(k))
        json_object_set_new(model, "cause", json_string(kernel_cause(k)));
    return model;
}

static void add_kernel(void *user, struct kernel *k)
{
    json_array_append_new(user, jupyter_kernel_model(k));
}

void jupyter_kernels_list(struct exchange *x, void *core)
{
    if (!jupyter_may_list(x, core))
        return;
    json_t *list = json_array();
    kernels_each(core, exchange_principal(x), add_kernel, list);
    exchange_reply_json(x, 200, list);
}

static void on_started(void *user, struct kernel *k, const struct err *e)
{
    struct exchange *x = user;
    if (!k) {
        exchange_fail(x, e);
        return;
    }
    jupyter_add_location(x, "/api/kernels", kernel_id(k));
    exchange_reply_json(x, 201, jupyter_kernel_model(k));
}

void jupyter_kernels_start(struct exchange *x, void *core)
{
    struct err e = {0};
    struct kernel_request request = {0};
    scoped(json) json_t *body = jupyter_body(x, &e);
    if (!body || !field_str(body, "name", OPTIONAL, &request.name, &e) ||
        !field_str(body, "path", OPTIONAL, &request.path, &e) ||
        !field_str(body, "kernel_id", OPTIONAL, &request.id, &e)) {
        exchange_fail(x, &e);
        return;
    }
    request.env = json_object_get(body, "env");
    kernels_start(core, exchange_principal(x), &request, on_started, x);
}

/* The kernel that the path names, or NULL after the answer 404. */
static struct kernel *find(struct exchange *x, struct core *c)
{
    struct err e = {0};
    struct kernel *k = kernels_find(c, exchange_principal(x), exchange_param(x, "id"), &e);
    if (!k)
        exchange_fail(x, &e);
    return k;
}

void jupyter_kernel_show(struct exchange *x, void *core)
{
    struct kernel *k = find(x, core);
    if (k)
        exchange_reply_json(x, 200, jupyter_kernel_model(k));
}

static void on_no_content(void *user, const struct err *e)
{
    struct exchange *x = user;
    if (e)
        exchange_fail(x, e);
    else
        exchange_reply_empty(x, 204);
}

void jupyter_kernel_delete(struct exchange *x, void *core)
{
    struct kernel *k = find(x, core);
    if (k)
        context_delete(k, "the kernel was deleted", on_no_content, x);
}

void jupyter_kernel_interrupt(struct exchange *x, void *core)
{
    struct kernel *k = find(x, core);
    if (k)
        kernel_interrupt(k, on_no_content, x);
}

static void on_restarted(void *user, const struct err *e)
{
    struct pending *p = user;
    struct err gone = {0};
    struct kernel *k = e ? NULL : kernels_find(p->core, exchange_principal(p->x), p->id, &gone);
    if (k)
        exchange_reply_json(p->x, 200, jupyter_kernel_model(k));
    else
        exchange_fail(p->x, e ? e : &gone);
    pending_free(p);
}

void jupyter_kernel_restart(struct exchange *x, void *core)
{
    struct kernel *k = find(x, core);
    if (k)
        kernel_restart(k, on_restarted, pending_new(x, core, kernel_id(k)));
}
