/* /api/sandboxes/{id}/contexts: create, list, delete.
 *
 * A context is {"id", "sandboxId", "language", "cwd", "createdAt"}, each name in both cases. The
 * one that a sandbox begins with is not listed and cannot be deleted: it ends with the sandbox.
 * What runs in a context begins in its "cwd", each time. */
#include <string.h>

#include "gateway/core/once.h"
#include "gateway/core/snapshot.h"
#include "gateway/dialect/sdbx.h"
#include "gateway/dialect/v1.h"
#include "protocol/json.h"

static bool is_own(const struct kernel *k)
{
    return strcmp(context_name(k), "default") == 0;
}

static json_t *model(const struct kernel *k, const char *cwd)
{
    json_t *m = json_pack("{s:s, s:s, s:s}", "id", kernel_id(k), "language", context_language(k),
                          "cwd", cwd ? cwd : SDBX_WORKSPACE);
    sdbx_set(m, "sandboxId", json_string(sandbox_id(kernel_sandbox(k))));
    sdbx_set_time(m, "createdAt", context_created(k));
    return m;
}

/* --- create */

struct creating {
    struct exchange *x;
    struct core *core;
    char *cwd; /* owned; NULL: that of the sandbox */
    struct err why;
};

static void reply(struct creating *c, struct kernel *k, const struct err *e)
{
    if (k)
        exchange_reply_json(c->x, 201, model(k, c->cwd));
    else
        exchange_fail(c->x, e);
    free(c->cwd);
    free(c);
}

static void on_labelled(void *user, const struct err *e)
{
    struct creating *c = user;
    c->why = e ? *e : (struct err){0};
}

static void on_undone(void *user, const struct err *e)
{
    struct creating *c = user;
    (void)e;
    reply(c, NULL, &c->why);
}

/* The labels of a sandbox that is not paused change at once. */
static void on_created(void *user, struct kernel *k, const struct err *e)
{
    struct creating *c = user;
    char label[LABEL_NAME_LIMIT + 1];
    if (!k || !c->cwd) {
        reply(c, k, e);
        return;
    }
    sdbx_cwd_label(kernel_id(k), label);
    scoped(json) json_t *labels = json_pack("{s:s}", label, c->cwd);
    fail(&c->why, 409, "the sandbox is paused");
    if (!sandbox_is_paused(kernel_sandbox(k)))
        sandbox_change(kernel_sandbox(k), &(struct sandbox_change){.labels = labels, .soon = true},
                       on_labelled, c);
    if (c->why.status)
        kernel_stop(k, "its folder could not be noted", on_undone, c);
    else
        reply(c, k, NULL);
}

static bool read_cwd(json_t *body, const char **cwd, struct err *e)
{
    if (!field_str(body, "cwd", OPTIONAL, cwd, e))
        return false;
    if (*cwd && (!**cwd || strcmp(*cwd, SDBX_WORKSPACE) == 0))
        *cwd = NULL;
    return !*cwd || strlen(*cwd) <= LABEL_VALUE_LIMIT ||
           fail(e, 400, "cwd: must be at most %d bytes long", LABEL_VALUE_LIMIT);
}

void sdbx_contexts_create(struct exchange *x, void *core)
{
    struct err e = {0};
    const char *language = NULL, *cwd = NULL;
    struct context_request request = {0};
    struct sandbox *s = sdbx_sandbox(x, core);
    scoped(json) json_t *body = s ? sdbx_body(x) : NULL;
    if (!body)
        return;
    if (field_str(body, "language", OPTIONAL, &language, &e) && read_cwd(body, &cwd, &e) &&
        v1_once(x, core, &request.once, &e)) {
        struct creating *c = xcalloc(1, sizeof *c);
        *c = (struct creating){.x = x, .core = core, .cwd = cwd ? xstrdup(cwd) : NULL};
        request.language = sdbx_language(language);
        contexts_create(s, &request, on_created, c);
    } else {
        exchange_fail(x, &e);
    }
    json_decref(request.once);
}

/* --- list and delete */

static const char *cwd_of(const struct kernel *k)
{
    char label[LABEL_NAME_LIMIT + 1];
    sdbx_cwd_label(kernel_id(k), label);
    return json_string_value(json_object_get(sandbox_labels(kernel_sandbox(k)), label));
}

static void add_model(void *user, struct kernel *k)
{
    if (!is_own(k))
        json_array_append_new(user, model(k, cwd_of(k)));
}

void sdbx_contexts_list(struct exchange *x, void *core)
{
    struct sandbox *s = sdbx_sandbox(x, core);
    json_t *models = json_array();
    if (s)
        contexts_each(s, add_model, models);
    if (s)
        exchange_reply_json(x, 200, json_pack("{s:o}", "contexts", models));
    else
        json_decref(models);
}

static void forget_nothing(void *user, const struct err *e)
{
    (void)user;
    (void)e; /* a label that stays is in nobody's way */
}

void sdbx_context_delete(struct exchange *x, void *core)
{
    struct err e = {0};
    struct sandbox *s = sdbx_sandbox(x, core);
    struct kernel *k = s ? contexts_find(s, exchange_param(x, "context"), &e) : NULL;
    if (!s)
        return;
    if (!k || (is_own(k) && !fail(&e, 409, "the context that a sandbox began with ends with it"))) {
        exchange_fail(x, &e);
        return;
    }
    if (cwd_of(k)) {
        char label[LABEL_NAME_LIMIT + 1];
        sdbx_cwd_label(kernel_id(k), label);
        scoped(json) json_t *labels = json_pack("{s:n}", label);
        sandbox_change(s, &(struct sandbox_change){.labels = labels, .soon = true}, forget_nothing,
                       NULL);
    }
    context_delete(k, "the context was deleted", sdbx_removed, x);
}
