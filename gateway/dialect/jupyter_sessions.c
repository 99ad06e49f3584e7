/* /api/sessions: notebooks and their kernels. */
#include <string.h>

#include "gateway/core/context.h"
#include "gateway/core/session.h"
#include "gateway/dialect/jupyter.h"
#include "protocol/json.h"

/* What a body asks for; borrowed from it. */
struct wanted {
    const char *path, *name, *type, *kernel_name, *kernel_id;
};

static json_t *model(const struct session *s)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:{s:s, s:s}}", "id", session_id(s), "path",
                     session_path(s), "name", session_name(s), "type", session_type(s), "kernel",
                     jupyter_kernel_model(session_kernel(s)), "notebook", "path", session_path(s),
                     "name", session_name(s));
}

static void add_session(void *user, struct session *s)
{
    json_array_append_new(user, model(s));
}

void jupyter_sessions_list(struct exchange *x, void *core)
{
    if (!jupyter_may_list(x, core))
        return;
    json_t *list = json_array();
    sessions_each(core, exchange_principal(x), add_session, list);
    exchange_reply_json(x, 200, list);
}

static bool check_texts(const struct wanted *w, struct err *e)
{
    const struct {
        const char *name, *text;
    } fields[] = {{"path", w->path}, {"name", w->name}, {"type", w->type}};
    for (size_t i = 0; i < countof(fields); i++)
        if (fields[i].text && strlen(fields[i].text) > SESSION_TEXT_LIMIT)
            return fail(e, 400, "%s: must be at most %d bytes long", fields[i].name,
                        SESSION_TEXT_LIMIT);
    return true;
}

/* Old clients put path into "notebook". */
static bool read_body(json_t *body, struct wanted *out, struct err *e)
{
    json_t *notebook = NULL, *kernel = NULL;
    if (!field_object(body, "notebook", OPTIONAL, &notebook, e) ||
        !field_object(body, "kernel", OPTIONAL, &kernel, e))
        return false;
    if (notebook && (!field_str(notebook, "path", OPTIONAL, &out->path, e) ||
                     !field_str(notebook, "name", OPTIONAL, &out->name, e)))
        return false;
    if (notebook && out->path)
        out->type = "notebook";
    if (kernel && (!field_str(kernel, "name", OPTIONAL, &out->kernel_name, e) ||
                   !field_str(kernel, "id", OPTIONAL, &out->kernel_id, e)))
        return false;
    return field_str(body, "path", OPTIONAL, &out->path, e) &&
           field_str(body, "name", OPTIONAL, &out->name, e) &&
           field_str(body, "type", OPTIONAL, &out->type, e) && check_texts(out, e);
}

/* A reply that waits until what it tells is written down. */
struct answer {
    struct exchange *x;
    struct core *core;
    json_t *model; /* owned */
    char *goes;    /* the id of the kernel that it had; NULL: that stays */
    int status;
};

/* The kernel that nobody has any more; NULL: there is none. */
static struct kernel *unbound(const struct answer *a)
{
    struct kernel *old =
        a->goes ? kernels_find(a->core, exchange_principal(a->x), a->goes, NULL) : NULL;
    return old && !sessions_have(a->core, old) ? old : NULL;
}

static void on_written(void *user, const struct err *e)
{
    struct answer *a = user;
    struct kernel *old = e ? NULL : unbound(a);
    if (a->status == 201 && !e)
        jupyter_add_location(a->x, "/api/sessions",
                             json_string_value(json_object_get(a->model, "id")));
    if (e)
        exchange_fail(a->x, e);
    else
        exchange_reply_json(a->x, a->status, json_incref(a->model));
    if (old)
        kernel_stop(old, "its session has another kernel", NULL, NULL);
    json_decref(a->model);
    free(a->goes);
    free(a);
}

static void reply(struct exchange *x, struct core *c, int status, const struct session *s,
                  const char *goes)
{
    struct answer *a = xmalloc(sizeof(*a));
    *a = (struct answer){x, c, model(s), goes ? xstrdup(goes) : NULL, status};
    session_write(s, on_written, a);
}

/* jupyter_server answers an unknown kernel of a session with 501 and two messages. */
static void reply_failed(struct exchange *x, const char *kernel_name, const struct err *e)
{
    if (e->status != 404) {
        exchange_fail(x, e);
        return;
    }
    scoped(string) char *message =
        xasprintf("The '%s' kernel is not available. Please pick another suitable kernel instead, "
                  "or install that kernel.",
                  kernel_name ? kernel_name : "");
    exchange_reply_json(
        x, 501, json_pack("{s:s, s:s}", "message", message, "short_message", "kernel not found"));
}

/* A session that waits for its kernel. */
struct waiting {
    struct exchange *x;
    struct core *core;
    json_t *body; /* owned; wanted borrows from it */
    struct wanted wanted;
    char *session; /* to be changed; NULL: a new one */
};

static void waiting_free(struct waiting *w)
{
    json_decref(w->body);
    free(w->session);
    free(w);
}

/* False: there is no room, which was answered. */
static bool bind_new(struct exchange *x, struct core *c, const struct wanted *w, struct kernel *k)
{
    struct err e;
    struct session *s =
        sessions_find_path(c, exchange_principal(x), w->path); /* another was faster */
    if (!s)
        s = sessions_add(c, w->path, w->name ? w->name : "", w->type, k, &e);
    if (s)
        reply(x, c, 201, s, NULL);
    else
        exchange_fail(x, &e);
    return s != NULL;
}

/* With another kernel the one that it had goes, unless another session has it too. */
static void change(struct exchange *x, struct core *c, struct session *s, const struct wanted *w,
                   struct kernel *k)
{
    struct kernel *old = session_kernel(s);
    struct err e;
    if (session_change(s, w->path, w->name, w->type, k, &e))
        reply(x, c, 200, s, k && k != old ? kernel_id(old) : NULL);
    else
        exchange_fail(x, &e);
}

/* Why the kernel that was started for it is not wanted; NULL: it is. */
static const char *bind_started(struct waiting *w, struct kernel *k)
{
    struct err gone = {0};
    if (!w->session)
        return bind_new(w->x, w->core, &w->wanted, k) ? NULL : "there is no room for its session";
    struct session *s = sessions_find(w->core, exchange_principal(w->x), w->session, &gone);
    if (s) {
        change(w->x, w->core, s, &w->wanted, k);
        return NULL;
    }
    exchange_fail(w->x, &gone);
    return "its session is gone";
}

static void on_kernel(void *user, struct kernel *k, const struct err *e)
{
    struct waiting *w = user;
    const char *unwanted = NULL;
    if (k)
        unwanted = bind_started(w, k);
    else
        reply_failed(w->x, w->wanted.kernel_name, e);
    if (unwanted)
        kernel_stop(k, unwanted, NULL, NULL);
    waiting_free(w);
}

static void start_kernel(struct exchange *x, struct core *c, json_t *body,
                         const struct wanted *wanted, const char *session, const char *path)
{
    struct waiting *w = xcalloc(1, sizeof(*w));
    *w = (struct waiting){x, c, json_incref(body), *wanted, session ? xstrdup(session) : NULL};
    json_t *kernel = json_object_get(body, "kernel");
    const struct kernel_request request = {
        .name = wanted->kernel_name,
        .path = path,
        .env = json_object_get(kernel, "env"),
    };
    kernels_start(c, exchange_principal(x), &request, on_kernel, w);
}

void jupyter_sessions_add(struct exchange *x, void *core)
{
    struct err e = {0};
    struct wanted w = {0};
    scoped(json) json_t *body = jupyter_body(x, &e);
    if (!body || !read_body(body, &w, &e) ||
        (!w.path && !fail(&e, 400, "Missing field in JSON data: path")) ||
        (!w.type && !fail(&e, 400, "Missing field in JSON data: type"))) {
        exchange_fail(x, &e);
        return;
    }
    struct session *there = sessions_find_path(core, exchange_principal(x), w.path);
    struct kernel *k =
        w.kernel_id ? kernels_find(core, exchange_principal(x), w.kernel_id, NULL) : NULL;
    if (there)
        reply(x, core, 201, there, NULL);
    else if (k)
        bind_new(x, core, &w, k);
    else if (!sessions_allowed(core, NULL, &e))
        exchange_fail(x, &e);
    else
        start_kernel(x, core, body, &w, NULL, w.path);
}

static struct session *find(struct exchange *x, struct core *c)
{
    struct err e = {0};
    struct session *s = sessions_find(c, exchange_principal(x), exchange_param(x, "id"), &e);
    if (!s)
        exchange_fail(x, &e);
    return s;
}

void jupyter_session_show(struct exchange *x, void *core)
{
    struct session *s = find(x, core);
    if (s)
        exchange_reply_json(x, 200, model(s));
}

void jupyter_session_change(struct exchange *x, void *core)
{
    struct err e = {0};
    struct wanted w = {0};
    struct session *s = find(x, core);
    if (!s)
        return;
    scoped(json) json_t *body = jupyter_body(x, &e);
    struct kernel *k = NULL;
    if (!body || !read_body(body, &w, &e) ||
        (w.kernel_id && !(k = kernels_find(core, exchange_principal(x), w.kernel_id, NULL)) &&
         !fail(&e, 400, "No such kernel: %.100s", w.kernel_id))) {
        exchange_fail(x, &e);
        return;
    }
    if (!k && w.kernel_name)
        start_kernel(x, core, body, &w, session_id(s), w.path ? w.path : session_path(s));
    else
        change(x, core, s, &w, k);
}

static void on_deleted(void *user, const struct err *e)
{
    (void)e;
    exchange_reply_empty(user, 204);
}

void jupyter_session_delete(struct exchange *x, void *core)
{
    struct session *s = find(x, core);
    if (!s)
        return;
    struct kernel *k = session_kernel(s);
    session_remove(s);
    context_delete(k, "its session was deleted", on_deleted, x);
}
