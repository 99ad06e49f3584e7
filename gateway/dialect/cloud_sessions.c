/* /api/v1/sessions: create, list, show, delete; pause, resume, touch, bind. */
#include <stdio.h>
#include <string.h>

#include "gateway/core/context.h"
#include "gateway/core/execution_numbers.h"
#include "gateway/core/naming.h"
#include "gateway/core/snapshot.h"
#include "gateway/core/template.h"
#include "gateway/dialect/cloud_session.h"
#include "gateway/dialect/v1.h"
#include "gateway/dialect/v1_docs.h"
#include "gateway/dialect/v1_page.h"
#include "protocol/json.h"
#include "protocol/memory.h"

#define NS_PER_MS       INT64_C(1000000)
#define TTL_LEAST_MS    1000
#define CPUS_MOST       4096
#define MEMORY_LEAST_MB 16
#define MEMORY_MOST_MB  (INT64_C(1) << 30)
#define PYTHON          "python"

/* --- create */

/* Any image of Python is the Python of this gateway; every other is a template. NULL: that one. */
static bool read_image(const struct exchange *x, const struct core *c, const char *image,
                       const char **template, struct err *e)
{
    size_t len = strlen(PYTHON);
    struct err none;
    *template = NULL;
    if (strlen(image) > LABEL_VALUE_LIMIT)
        return fail(e, 400, "image: longer than %d bytes", LABEL_VALUE_LIMIT);
    if (strncmp(image, PYTHON, len) == 0 && (!image[len] || image[len] == ':'))
        return true;
    *template = image;
    return templates_find(c, exchange_principal(x), image, &none) != NULL ||
           fail(e, 400, "image: %.100s is neither python nor a template of this gateway", image);
}

/* A 0, as other languages' clients send it for what was not said. */
static bool read_number(json_t *body, const char *name, int64_t low, int64_t high, int64_t *out,
                        struct err *e)
{
    json_t *value = json_object_get(body, name);
    if (json_is_integer(value) && json_integer_value(value) == 0)
        return true;
    return field_int(body, name, OPTIONAL, low, high, out, e);
}

static bool read_metadata(json_t *body, json_t *labels, struct err *e)
{
    json_t *metadata = NULL;
    const char *name;
    json_t *value;
    if (!field_object(body, "metadata", OPTIONAL, &metadata, e))
        return false;
    json_object_foreach(metadata, name, value)
    {
        if (strncmp(name, CLOUD_LABEL, strlen(CLOUD_LABEL)) == 0)
            return fail(e, 400, "metadata: names that begin with %s are the gateway's",
                        CLOUD_LABEL);
        json_object_set(labels, name, value);
    }
    return true;
}

/* Fills limits and labels, which the request borrows. */
static bool read_request(struct exchange *x, const struct core *c, json_t *body,
                         struct sandbox_request *r, struct err *e)
{
    const char *image = CLOUD_IMAGE;
    int64_t cpus = CLOUD_CPUS, memory_mb = CLOUD_MEMORY_MB, ttl_ns = CLOUD_TTL_MS * NS_PER_MS;
    if (!field_str(body, "image", OPTIONAL, &image, e) ||
        !read_number(body, "cpu_count", 1, CPUS_MOST, &cpus, e) ||
        !read_number(body, "memory_mb", MEMORY_LEAST_MB, MEMORY_MOST_MB, &memory_mb, e) ||
        !read_number(body, "ttl", TTL_LEAST_MS * NS_PER_MS, CLOUD_TTL_MOST_MS * NS_PER_MS, &ttl_ns,
                     e))
        return false;
    image = *image ? image : CLOUD_IMAGE;
    cloud_session_labels(r->labels, CLOUD_UNBOUND, image, ttl_ns / NS_PER_MS);
    json_object_set_new(r->limits, "cpus", json_integer(cpus));
    json_object_set_new(r->limits, "memory_bytes", json_integer(memory_mb << 20));
    json_object_set_new(r->limits, "life_s", json_real((double)ttl_ns / 1e9));
    return read_image(x, c, image, &r->template, e) && read_metadata(body, r->labels, e) &&
           v1_once(x, c, &r->once, e);
}

static void on_created(void *user, struct sandbox *s, const struct err *e)
{
    struct exchange *x = user;
    struct cloud_session session;
    struct err none;
    if (!s) {
        exchange_fail(x, e);
        return;
    }
    scoped(string) char *location =
        xasprintf("%s/api/v1/sessions/%s", exchange_base_url(x), sandbox_id(s));
    if (!cloud_session_read(s, &session)) { /* its key was another API's */
        fail(&none, 422, "Idempotency-Key: what was made with it is no session");
        exchange_fail(x, &none);
        return;
    }
    exchange_add_header(x, "Location", location);
    exchange_made(x, sandbox_id(s));
    exchange_reply_json(x, 201, cloud_session_model(x, &session));
}

void cloud_sessions_create(struct exchange *x, void *core)
{
    struct err e = {0};
    scoped(json) json_t *body = v1_body(x), *limits = json_object(), *labels = json_object();
    scoped(json) json_t *nothing = json_object();
    struct sandbox_request request = {.limits = limits, .labels = labels, .body = nothing};
    if (!body)
        return;
    if (read_request(x, core, body, &request, &e))
        sandboxes_make(core, exchange_principal(x), &request, on_created, x);
    else
        exchange_fail(x, &e);
    json_decref(request.once);
}

/* --- list, show */

struct listing {
    struct page page;
    const char *owner;
};

static void add_to_page(void *user, struct sandbox *s)
{
    struct listing *l = user;
    struct cloud_session session;
    if (strcmp(sandbox_owner(s), l->owner) == 0 && cloud_session_read(s, &session) &&
        session.binding != CLOUD_LONE)
        page_add(&l->page, sandbox_created(s), sandbox_id(s), s);
}

void cloud_sessions_list(struct exchange *x, void *core)
{
    struct err e = {0};
    struct listing l = {.owner = exchange_principal(x)->name};
    if (!page_read(x, true, &l.page, &e)) {
        exchange_fail(x, &e);
        return;
    }
    sandboxes_each(core, exchange_principal(x), add_to_page, &l);
    page_cut(&l.page);
    json_t *list = json_array();
    for (size_t i = 0; i < l.page.count; i++) {
        struct cloud_session session;
        cloud_session_read(l.page.items[i].object, &session);
        json_array_append_new(list, cloud_session_model(x, &session));
    }
    exchange_reply_json(x, 200,
                        json_pack("{s:o, s:o}", "sessions", list, "next", page_next(&l.page)));
    page_free(&l.page);
}

/* False: the exchange was answered. */
static bool find(struct exchange *x, struct core *c, const char *id, struct cloud_session *out)
{
    struct err e = {0};
    bool found = cloud_session_find(x, c, id, out, &e);
    if (!found)
        exchange_fail(x, &e);
    return found;
}

/* One that has not expired. */
static bool find_live(struct exchange *x, struct core *c, struct cloud_session *out)
{
    struct err e = {0};
    const char *id = exchange_param(x, "id");
    if (!find(x, c, id, out))
        return false;
    if (!cloud_session_expired(out))
        return true;
    fail(&e, 410, "session %.64s has expired", id);
    exchange_fail(x, &e);
    return false;
}

/* With "success", which some clients look for. */
static void reply(struct exchange *x, struct core *c, const char *id)
{
    struct cloud_session session;
    if (!find(x, c, id, &session))
        return;
    json_t *model = cloud_session_model(x, &session);
    json_object_set_new(model, "success", json_true());
    exchange_reply_json(x, 200, model);
}

void cloud_session_show(struct exchange *x, void *core)
{
    struct cloud_session session;
    if (find(x, core, exchange_param(x, "id"), &session))
        exchange_reply_json(x, 200, cloud_session_model(x, &session));
}

static void on_removed(void *user, const struct err *e)
{
    struct exchange *x = user;
    if (e)
        exchange_fail(x, e);
    else
        exchange_reply_json(x, 200, json_pack("{s:b}", "success", 1));
}

void cloud_session_delete(struct exchange *x, void *core)
{
    struct cloud_session session;
    if (find(x, core, exchange_param(x, "id"), &session))
        sandbox_remove(session.sandbox, "the session was deleted", on_removed, x);
}

/* --- what changes one */

struct order {
    struct exchange *x;
    struct core *core;
    bool resumes;
};

static struct order *order_new(struct exchange *x, struct core *c)
{
    struct order *o = xcalloc(1, sizeof(*o));
    *o = (struct order){.x = x, .core = c};
    return o;
}

static void finish(struct order *o, const struct err *e)
{
    if (e)
        exchange_fail(o->x, e);
    else
        reply(o->x, o->core, exchange_param(o->x, "id"));
    free(o);
}

static void on_changed(void *user, const struct err *e)
{
    finish(user, e);
}

static void on_moved(void *user, struct sandbox *s, json_t *answer, const struct err *e)
{
    (void)s; /* deleted meanwhile: it is looked for again */
    (void)answer;
    finish(user, e);
}

static void find_busy(void *user, struct kernel *k)
{
    bool *busy = user;
    *busy = *busy || kernel_state(k) == KERNEL_BUSY;
}

/* One whose interpreter still starts has no variables yet that could be lost, and is not waited
 * for, unless somebody waits for it to run something. */
static bool has_run_nothing(const struct sandbox *s)
{
    bool busy = sandbox_executions_open(s) > 0;
    contexts_each(s, find_busy, &busy);
    return !busy;
}

static void move_it(void *user)
{
    struct order *o = user;
    struct cloud_session session;
    if (!find(o->x, o->core, exchange_param(o->x, "id"), &session)) {
        free(o);
        return;
    }
    if (o->resumes)
        sandbox_resume(session.sandbox, false, on_moved, o);
    else
        sandbox_pause(session.sandbox, has_run_nothing(session.sandbox), on_moved, o);
}

/* Its labels say when: it moves in the next turn, as a change of a paused one is over only then. */
static void on_marked(void *user, const struct err *e)
{
    struct order *o = user;
    if (e)
        finish(o, e);
    else
        exchange_later(o->x, move_it, o);
}

void cloud_session_pause(struct exchange *x, void *core)
{
    struct cloud_session session;
    if (!find_live(x, core, &session))
        return;
    const struct cloud_change change = {.binding = session.binding};
    if (sandbox_is_paused(session.sandbox))
        reply(x, core, exchange_param(x, "id"));
    else
        cloud_session_change(&session, &change, on_marked, order_new(x, core));
}

void cloud_session_resume(struct exchange *x, void *core)
{
    struct cloud_session session;
    const struct cloud_change change = {.binding = CLOUD_RESUMED, .paused = true};
    if (!find_live(x, core, &session))
        return;
    if (cloud_session_runs(&session)) {
        reply(x, core, exchange_param(x, "id"));
        return;
    }
    struct order *o = order_new(x, core);
    o->resumes = true;
    cloud_session_change(&session, &change, on_marked, o);
}

void cloud_session_touch(struct exchange *x, void *core)
{
    struct cloud_session session;
    if (!find_live(x, core, &session))
        return;
    const struct cloud_change change = {.binding = session.binding, .renewed = true};
    cloud_session_change(&session, &change, on_changed, order_new(x, core));
}

void cloud_session_bind(struct exchange *x, void *core)
{
    struct err e = {0};
    struct cloud_session session;
    const struct cloud_change change = {.binding = CLOUD_BOUND};
    const char *id = NULL;
    if (!find_live(x, core, &session))
        return;
    scoped(json) json_t *body = v1_body(x);
    if (!body)
        return;
    if (!field_str(body, "sandbox_id", REQUIRED, &id, &e) ||
        (strcmp(id, sandbox_id(session.sandbox)) != 0 &&
         !fail(&e, 409, "sandbox_id: session %s has a sandbox of its own, of the same id",
               sandbox_id(session.sandbox))) ||
        (sandbox_is_paused(session.sandbox) &&
         !fail(&e, 409, "session %s is paused: resume it first", sandbox_id(session.sandbox))))
        exchange_fail(x, &e);
    else
        cloud_session_change(&session, &change, on_changed, order_new(x, core));
}

/* --- what the rows say of themselves */

#define ON_A_SESSION(name_, about_)                                                                \
    const struct doc name_ = {                                                                     \
        .tag = CLOUD_TAG,                                                                          \
        .about = about_,                                                                           \
        .path = cloud_in_session,                                                                  \
        .replies = {REPLY(200, "The session as it is then, and `success`.",                        \
                          .schema = &cloud_session_schema)},                                       \
    }

static const struct doc_schema request_schema = {
    .name = "CloudSessionRequest",
    .about = "A 0 and an empty text are as if they were not said.",
    .fields = FIELDS(
        TEXT("image",
             "`python` with any tag is the Python of this gateway; every other one is the "
             "name of a template.",
             .initial = "\"" CLOUD_IMAGE "\"", .most = LABEL_VALUE_LIMIT),
        INTEGER("cpu_count", "Processors.", .least = 0, .most = CPUS_MOST, .initial = "2"),
        INTEGER("memory_mb", "Memory, in MiB.", .least = 0, .most = MEMORY_MOST_MB,
                .initial = "2048"),
        INTEGER("ttl", "How long it lives, in nanoseconds: a second to 366 days.", .least = 0,
                .most = CLOUD_TTL_MOST_MS * NS_PER_MS, .initial = "86400000000000"),
        MAP("metadata", NULL, "Labels of its sandbox.", .items = DOC_TEXT)),
};

static const struct doc_schema list_schema = {
    .name = "CloudSessions",
    .whole = true,
    .fields = FIELDS(LIST("sessions", &cloud_session_schema, "The newest first."), V1_NEXT),
};

static const struct doc_schema bind_schema = {
    .name = "CloudBinding",
    .fields = FIELDS(TEXT("sandbox_id", "The session's own.", .must = true)),
};

const struct doc_schema cloud_success_schema = {
    .name = "CloudSuccess",
    .whole = true,
    .fields = FIELDS(BOOLEAN("success", "Always true: what went wrong is an error.")),
};

const struct doc cloud_sessions_create_doc = {
    .tag = CLOUD_TAG,
    .about = "Its sandbox runs already when this is answered; `acquire` gives it out.",
    .headers = v1_idempotency,
    .body = &request_schema,
    .replies = {REPLY(201, "The session.", .schema = &cloud_session_schema,
                      .headers = v1_location)},
};

const struct doc cloud_sessions_list_doc = {
    .tag = CLOUD_TAG,
    .query = FIELDS(V1_LIMIT, V1_AFTER),
    .replies = {REPLY(200, "The sessions.", .schema = &list_schema)},
};

const struct doc cloud_session_show_doc = {
    .tag = CLOUD_TAG,
    .path = cloud_in_session,
    .replies = {REPLY(200, "The session.", .schema = &cloud_session_schema)},
};

const struct doc cloud_session_delete_doc = {
    .tag = CLOUD_TAG,
    .path = cloud_in_session,
    .replies = {REPLY(200, "It and its sandbox are gone.", .schema = &cloud_success_schema)},
};

ON_A_SESSION(cloud_session_pause_doc,
             "Its variables and its workspace are kept, and its processes end. One that is paused "
             "stays so.");
ON_A_SESSION(cloud_session_resume_doc,
             "Its sandbox has the id and the variables that it had. `acquire` gives it out again, "
             "and it can be worked in without.");
ON_A_SESSION(cloud_session_touch_doc, "It lives for its `ttl` from now on.");

const struct doc cloud_session_bind_doc = {
    .tag = CLOUD_TAG,
    .about = "As `acquire` does for the newest one. A session has one sandbox, its own: 409 for "
             "any other.",
    .path = cloud_in_session,
    .body = &bind_schema,
    .body_must = true,
    .replies = {REPLY(200, "The session as it is then, and `success`.",
                      .schema = &cloud_session_schema)},
};
