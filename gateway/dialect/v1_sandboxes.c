/* /v1/sandboxes: create, list, show, change, delete.
 *
 * A sandbox is {"id", "name", "labels", "template", "language", "preload", "owner", "state",
 * "reason", "cause", "created", "uid", "cold", "network", "policy", "limits", "limits_hold",
 * "confinement", "usage", "snapshot", "contexts", "forked_from"}:
 *
 * - "owner" is the name of the principal that it belongs to;
 * - "uid" is the host's, or "shared" where all sandboxes have one;
 * - "limits" is {name: {"value": n or null, "enforced_by": "cgroup-v1" ... "host", "none"}};
 * - "limits_hold" is "now", or "from_resume" of one that is paused;
 * - "confinement" is {"policy", "profile", "holds": {...}, "missing": [...]};
 * - "usage" is {"cpu_s", "memory_bytes", "memory_peak_bytes", "processes", "disk_bytes",
 *   "disk_inodes"}, null where it is not known;
 * - "reason" and "cause" are those of the context that has something to tell, a dead one first;
 * - "snapshot" is the id of the last one, or null;
 * - "contexts" are as v1_contexts.c has them, each a kernel under /api/kernels. */
#include <stdio.h>
#include <string.h>

#include "gateway/core/once.h"
#include "gateway/core/snapshot.h"
#include "gateway/core/template.h"
#include "gateway/dialect/members.h"
#include "gateway/dialect/v1.h"
#include "gateway/dialect/v1_page.h"
#include "protocol/ids.h"
#include "protocol/json.h"
#include "protocol/memory.h"

#define BODY_LIMIT_BYTES (1024 * 1024)
#define FILTERS_MOST     16 /* of labels in one list */

static json_t *text_or_null(const char *text)
{
    return text && *text ? json_string(text) : json_null();
}

static json_t *or_null(json_t *value)
{
    return value ? json_incref(value) : json_null();
}

static json_t *limits_model(const struct sandbox *s)
{
    json_t *model = json_object();
    scoped(json) json_t *values = limits_json(sandbox_limits(s));
    const char *name;
    json_t *value;
    json_object_foreach(values, name, value)
    {
        bool none = json_is_null(value) || json_number_value(value) == 0;
        json_object_set_new(model, name,
                            json_pack("{s:o, s:s}", "value",
                                      none ? json_null() : json_incref(value), "enforced_by",
                                      none ? "none" : sandbox_enforcer(s, name)));
    }
    return model;
}

/* What the keeper reports holds, but for what it says of itself. */
static json_t *confinement_model(const struct sandbox *s)
{
    json_t *report = sandbox_confinement(s);
    json_t *holds = report ? json_copy(report) : json_object();
    json_t *own = sandbox_missing(s), *missing = own ? json_copy(own) : json_array(), *item;
    size_t i;
    json_array_foreach(json_object_get(report, "missing"), i, item)
    {
        bool known = false;
        for (size_t n = 0; n < json_array_size(own); n++)
            known = known || json_equal(json_array_get(own, n), item);
        if (!known)
            json_array_append(missing, item);
    }
    const char *profile = json_string_value(json_object_get(report, "profile"));
    json_t *model = json_pack("{s:s, s:s, s:o, s:o}", "profile", profile ? profile : "sandbox",
                              "policy", sandbox_policy(s), "holds", holds, "missing", missing);
    json_object_del(holds, "profile");
    json_object_del(holds, "missing");
    return model;
}

static json_t *usage_model(const struct sandbox *s)
{
    static const char *const names[] = {"cpu_s",     "memory_bytes", "memory_peak_bytes",
                                        "processes", "disk_bytes",   "disk_inodes"};
    json_t *usage = sandbox_last_usage(s), *model = json_object();
    for (size_t i = 0; i < countof(names); i++) {
        json_t *value = json_object_get(usage, names[i]);
        json_object_set_new(model, names[i], value ? json_incref(value) : json_null());
    }
    return model;
}

json_t *v1_sandbox_model(const struct sandbox *s)
{
    char created[TIME_TEXT];
    time_text(sandbox_created(s), created);
    json_t *uid = sandbox_is_paused(s)  ? json_null()
                  : sandbox_uid(s) >= 0 ? json_integer(sandbox_uid(s))
                                        : json_string("shared");
    return json_pack(
        "{s:s, s:o, s:O, s:o, s:s, s:o, s:s, s:s, s:o, s:o, s:s, s:o, s:b, s:O, s:s, s:o, "
        "s:s, s:o, s:o, s:o, s:o, s:o}",
        "id", sandbox_id(s), "name", text_or_null(sandbox_name(s)), "labels", sandbox_labels(s),
        "template", or_null(sandbox_template(s)), "language", sandbox_language(s), "preload",
        or_null(sandbox_preload(s)), "owner", sandbox_owner(s), "state", sandbox_state_text(s),
        "reason", text_or_null(sandbox_reason(s)), "cause", text_or_null(sandbox_cause(s)),
        "created", created, "uid", uid, "cold", (int)sandbox_is_cold(s), "network",
        sandbox_network(s), "policy", sandbox_policy(s), "limits", limits_model(s), "limits_hold",
        sandbox_is_paused(s) ? "from_resume" : "now", "confinement", confinement_model(s), "usage",
        usage_model(s), "snapshot", text_or_null(sandbox_last_snapshot(s)), "contexts",
        v1_contexts_model(s), "forked_from", text_or_null(sandbox_forked_from(s)));
}

bool v1_query_number(const struct exchange *x, const char *name, int64_t low, int64_t high,
                     int64_t *out, struct err *e)
{
    const char *text = exchange_query(x, name);
    if (!text)
        return true;
    size_t len = strlen(text);
    if (len == 0 || len > 18 || strspn(text, "0123456789") != len)
        return fail(e, 400, "%s: must be a number", name);
    *out = strtoll(text, NULL, 10);
    return (*out >= low && *out <= high) ||
           fail(e, 400, "%s: out of range (%lld to %lld)", name, (long long)low, (long long)high);
}

json_t *v1_body_within(struct exchange *x, size_t limit_bytes)
{
    struct err e = {0};
    struct bytes text = exchange_body(x);
    const struct doc *doc = exchange_doc(x);
    scoped(json) json_t *body =
        text.len ? json_parse_object(text, "body", limit_bytes, &e) : json_object();
    if (body && (!doc || !doc->body || members_check(body, doc->body, &e)))
        return take(&body);
    exchange_fail(x, &e);
    return NULL;
}

bool v1_once(const struct exchange *x, const struct core *c, json_t **out, struct err *e)
{
    return once_read(c, exchange_principal(x)->name, exchange_header(x, "idempotency-key"),
                     exchange_body(x), out, e);
}

json_t *v1_body(struct exchange *x)
{
    return v1_body_within(x, BODY_LIMIT_BYTES);
}

static void on_created(void *user, struct sandbox *s, const struct err *e)
{
    struct exchange *x = user;
    if (!s) {
        exchange_fail(x, e);
        return;
    }
    scoped(string) char *location =
        xasprintf("%s/v1/sandboxes/%s", exchange_base_url(x), sandbox_id(s));
    exchange_add_header(x, "Location", location);
    exchange_made(x, sandbox_id(s));
    exchange_reply_json(x, 201, v1_sandbox_model(s));
}

static bool read_request(struct exchange *x, const struct core *core, json_t *body,
                         struct sandbox_request *r, struct err *e)
{
    r->network = json_object_get(body, "network");
    if (json_is_null(r->network))
        r->network = NULL;
    return field_object(body, "limits", OPTIONAL, &r->limits, e) &&
           field_object(body, "env", OPTIONAL, &r->env, e) &&
           field_str(body, "policy", OPTIONAL, &r->policy, e) &&
           field_bool(body, "cold", OPTIONAL, &r->cold, e) &&
           field_str(body, "name", OPTIONAL, &r->name, e) &&
           field_object(body, "labels", OPTIONAL, &r->labels, e) &&
           field_str(body, "template", OPTIONAL, &r->template, e) && v1_once(x, core, &r->once, e);
}

void v1_sandboxes_create(struct exchange *x, void *core)
{
    struct err e = {0};
    scoped(json) json_t *body = v1_body_within(x, V1_FILES_BODY_BYTES);
    struct sandbox_request request = {.body = body};
    if (!body)
        return;
    if (read_request(x, core, body, &request, &e))
        sandboxes_make(core, exchange_principal(x), &request, on_created, x);
    else
        exchange_fail(x, &e);
    json_decref(request.once);
}

/* Also one that is paused. */
static struct sandbox *find(struct exchange *x, struct core *c, const char *id)
{
    struct err e = {0};
    struct sandbox *s = sandboxes_find_any(c, exchange_principal(x), id, &e);
    if (!s)
        exchange_fail(x, &e);
    return s;
}

/* A reply that needs the usage of one sandbox, or of all, first. */
struct measured {
    struct exchange *x;
    struct core *core;
    size_t awaited;
    char id[UUID_TEXT]; /* of the one: it may get another name meanwhile */
};

static struct measured *measured_new(struct exchange *x, struct core *c, const struct sandbox *s)
{
    struct measured *m = xmalloc(sizeof(*m));
    *m = (struct measured){.x = x, .core = c, .awaited = 1};
    snprintf(m->id, sizeof(m->id), "%s", s ? sandbox_id(s) : "");
    return m;
}

/* A page is made twice: to measure those that are in it, and, when that is done, to tell what is
 * there then. */
struct listing {
    struct page page;
    struct sandbox_filter filter;
    const char *labels[FILTERS_MOST];
};

static bool is_state(const char *text)
{
    static const char *const states[] = {"starting", "running", "failed",
                                         "pausing",  "paused",  "resuming"};
    for (size_t i = 0; i < countof(states); i++)
        if (strcmp(states[i], text) == 0)
            return true;
    return false;
}

static bool read_filter(const struct exchange *x, struct listing *l, struct err *e)
{
    const char *label;
    size_t at = 0;
    l->filter = (struct sandbox_filter){.state = exchange_query(x, "state"),
                                        .name_prefix = exchange_query(x, "name_prefix"),
                                        .template = exchange_query(x, "template"),
                                        .labels = l->labels};
    while ((label = exchange_query_next(x, "label", &at))) {
        if (l->filter.label_count == FILTERS_MOST)
            return fail(e, 400, "label: at most %d times", FILTERS_MOST);
        l->labels[l->filter.label_count++] = label;
    }
    return !l->filter.state || is_state(l->filter.state) ||
           fail(e, 400, "state: there is no state %.40s", l->filter.state);
}

static void add_to_page(void *user, struct sandbox *s)
{
    struct listing *l = user;
    if (sandbox_fits(s, &l->filter))
        page_add(&l->page, sandbox_created(s), sandbox_id(s), s);
}

/* False: 400. */
static bool list_page(struct exchange *x, struct core *c, struct listing *l, struct err *e)
{
    if (!page_read(x, false, &l->page, e) || !read_filter(x, l, e))
        return false;
    sandboxes_each(c, exchange_principal(x), add_to_page, l);
    page_cut(&l->page);
    return true;
}

static void on_all_measured(void *user)
{
    struct measured *m = user;
    struct listing l;
    struct err e;
    if (--m->awaited > 0)
        return;
    json_t *list = json_array();
    list_page(m->x, m->core, &l, &e);
    for (size_t i = 0; i < l.page.count; i++)
        json_array_append_new(list, v1_sandbox_model(l.page.items[i].object));
    exchange_reply_json(m->x, 200,
                        json_pack("{s:o, s:o}", "sandboxes", list, "next", page_next(&l.page)));
    page_free(&l.page);
    free(m);
}

void v1_sandboxes_list(struct exchange *x, void *core)
{
    struct err e = {0};
    struct listing l;
    if (!list_page(x, core, &l, &e)) {
        exchange_fail(x, &e);
        return;
    }
    struct measured *m = measured_new(x, core, NULL);
    for (size_t i = 0; i < l.page.count; i++) {
        m->awaited++;
        sandbox_measure(l.page.items[i].object, on_all_measured, m);
    }
    page_free(&l.page);
    on_all_measured(m);
}

static void on_measured(void *user)
{
    struct measured *m = user;
    struct sandbox *s = find(m->x, m->core, m->id); /* it may have ended meanwhile */
    if (s)
        exchange_reply_json(m->x, 200, v1_sandbox_model(s));
    free(m);
}

static void show(struct exchange *x, struct core *c, const char *id)
{
    struct sandbox *s = find(x, c, id);
    if (!s)
        return;
    sandbox_measure(s, on_measured, measured_new(x, c, s));
}

void v1_sandbox_show(struct exchange *x, void *core)
{
    show(x, core, exchange_param(x, "id"));
}

static void on_changed(void *user, const struct err *e)
{
    struct measured *m = user;
    if (e)
        exchange_fail(m->x, e);
    else
        show(m->x, m->core, m->id);
    free(m);
}

static bool read_change(json_t *body, struct sandbox_change *change, struct err *e)
{
    change->no_name = json_is_null(json_object_get(body, "name"));
    if (!field_object(body, "limits", OPTIONAL, &change->limits, e) ||
        !field_object(body, "labels", OPTIONAL, &change->labels, e) ||
        !field_object(body, "env", OPTIONAL, &change->env, e) ||
        !field_str(body, "name", OPTIONAL, &change->name, e))
        return false;
    return change->limits || change->labels || change->env || change->name || change->no_name ||
           fail(e, 400, "limits, labels, env or name: one of them is required");
}

void v1_sandbox_change(struct exchange *x, void *core)
{
    struct err e = {0};
    struct sandbox_change change = {0};
    const char *id = exchange_param(x, "id");
    struct sandbox *s = sandboxes_find_any(core, exchange_principal(x), id, &e);
    if (s && !sandbox_is_paused(s)) /* it may be on its way there */
        s = sandboxes_find(core, exchange_principal(x), id, &e);
    scoped(json) json_t *body = s ? v1_body(x) : NULL;
    if (!s)
        exchange_fail(x, &e);
    if (!body)
        return;
    if (!read_change(body, &change, &e)) {
        exchange_fail(x, &e);
        return;
    }
    struct measured *m = measured_new(x, core, s);
    sandbox_change(s, &change, on_changed, m);
}

void v1_removed(void *user, const struct err *e)
{
    struct exchange *x = user;
    if (e)
        exchange_fail(x, e);
    else
        exchange_reply_empty(x, 204);
}

static void order(struct exchange *x, struct core *c,
                  void (*say)(struct sandbox *s, void (*done)(void *user, const struct err *e),
                              void *user))
{
    struct err e = {0};
    struct sandbox *s = sandboxes_find(c, exchange_principal(x), exchange_param(x, "id"), &e);
    if (s)
        say(s, on_changed, measured_new(x, c, s));
    else
        exchange_fail(x, &e);
}

void v1_sandbox_interrupt(struct exchange *x, void *core)
{
    order(x, core, sandbox_interrupt);
}

void v1_sandbox_restart(struct exchange *x, void *core)
{
    order(x, core, sandbox_restart);
}

void v1_sandbox_delete(struct exchange *x, void *core)
{
    struct sandbox *s = find(x, core, exchange_param(x, "id"));
    if (s)
        sandbox_remove(s, "the sandbox was deleted", v1_removed, x);
}
