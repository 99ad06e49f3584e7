/* /api/v1/sandbox: acquire, release, stats.
 *
 * What is acquired is the sandbox of the caller's session that was begun, resumed or released last
 * and that nobody has acquired since; where there is none, one of its own, without a session. */
#include <string.h>

#include "gateway/core/numbers.h"
#include "gateway/core/snapshot.h"
#include "gateway/core/template.h"
#include "gateway/dialect/cloud_session.h"
#include "gateway/dialect/v1.h"
#include "protocol/json.h"
#include "protocol/memory.h"

/* --- acquire */

static void reply_acquired(struct exchange *x, const char *id)
{
    exchange_made(x, id);
    exchange_reply_json(x, 200,
                        json_pack("{s:s, s:s, s:s, s:n}", "sandbox_id", id, "container_id", id,
                                  "status", "running", "ip"));
}

static void on_made(void *user, struct sandbox *s, const struct err *e)
{
    if (s)
        reply_acquired(user, sandbox_id(s));
    else
        exchange_fail(user, e);
}

static void make_lone(struct exchange *x, struct core *c)
{
    scoped(json) json_t *labels = json_object(), *nothing = json_object();
    scoped(json) json_t *limits =
        json_pack("{s:i, s:I, s:I}", "cpus", CLOUD_CPUS, "memory_bytes",
                  (json_int_t)CLOUD_MEMORY_MB << 20, "life_s", (json_int_t)CLOUD_TTL_MS / 1000);
    cloud_session_labels(labels, CLOUD_LONE, CLOUD_IMAGE, CLOUD_TTL_MS);
    const struct sandbox_request request = {.limits = limits, .labels = labels, .body = nothing};
    sandboxes_make(c, exchange_principal(x), &request, on_made, x);
}

struct newest {
    const char *owner;
    struct cloud_session session; /* sandbox NULL: none yet */
};

static void take_newer(void *user, struct sandbox *s)
{
    struct newest *n = user;
    struct cloud_session one;
    if (strcmp(sandbox_owner(s), n->owner) != 0 || !cloud_session_read(s, &one) ||
        (one.binding != CLOUD_UNBOUND && one.binding != CLOUD_RESUMED) ||
        cloud_session_expired(&one) || !cloud_session_runs(&one))
        return;
    if (!n->session.sandbox || one.active_us > n->session.active_us)
        n->session = one;
}

struct acquiring {
    struct exchange *x;
    char id[UUID_TEXT];
};

static void on_bound(void *user, const struct err *e)
{
    struct acquiring *a = user;
    if (e)
        exchange_fail(a->x, e);
    else
        reply_acquired(a->x, a->id);
    free(a);
}

static void bind_session(struct exchange *x, const struct cloud_session *session)
{
    const struct cloud_change change = {.binding = CLOUD_BOUND};
    struct acquiring *a = xcalloc(1, sizeof(*a));
    a->x = x;
    memcpy(a->id, sandbox_id(session->sandbox), sizeof(a->id));
    cloud_session_change(session, &change, on_bound, a);
}

/* The one that was asked for. */
static bool find_asked(const struct exchange *x, const struct core *c, const char *id,
                       struct cloud_session *out, struct err *e)
{
    if (!cloud_session_find(x, c, id, out, e))
        return false;
    if (cloud_session_expired(out))
        return fail(e, 410, "session %s has expired", id);
    return !sandbox_is_paused(out->sandbox) ||
           fail(e, 409, "session %s is paused: resume it first", id);
}

void cloud_sandbox_acquire(struct exchange *x, void *core)
{
    struct err e = {0};
    const char *id = NULL;
    struct newest newest = {.owner = exchange_principal(x)->name};
    scoped(json) json_t *body = v1_body(x);
    if (!body)
        return;
    if (!field_str(body, "session_id", OPTIONAL, &id, &e) ||
        (id && !find_asked(x, core, id, &newest.session, &e))) {
        exchange_fail(x, &e);
        return;
    }
    if (!id)
        sandboxes_each(core, exchange_principal(x), take_newer, &newest);
    if (newest.session.sandbox)
        bind_session(x, &newest.session);
    else
        make_lone(x, core);
}

/* --- release */

static void on_done(void *user, const struct err *e)
{
    if (e)
        exchange_fail(user, e);
    else
        exchange_reply_json(user, 200, json_pack("{s:b}", "success", 1));
}

void cloud_sandbox_release(struct exchange *x, void *core)
{
    struct err e = {0};
    const char *id = NULL;
    struct cloud_session session;
    const struct cloud_change change = {.binding = CLOUD_UNBOUND};
    scoped(json) json_t *body = v1_body(x);
    if (!body)
        return;
    struct sandbox *s = field_str(body, "sandbox_id", REQUIRED, &id, &e)
                            ? sandboxes_find_any(core, exchange_principal(x), id, &e)
                            : NULL;
    if (s && (strcmp(sandbox_id(s), id) != 0 || !cloud_session_read(s, &session)))
        s = NULL;
    if (!s) {
        if (e.status != 400)
            fail(&e, 404, "sandbox %.64s does not exist, or was not acquired", id);
        exchange_fail(x, &e);
    } else if (session.binding == CLOUD_LONE) {
        sandbox_remove(s, "the sandbox was released", on_done, x);
    } else if (sandbox_is_paused(s) || cloud_session_expired(&session)) {
        on_done(x, NULL); /* nobody has it */
    } else {
        cloud_session_change(&session, &change, on_done, x);
    }
}

/* --- stats */

struct counting {
    const char *owner;
    int64_t in_use;
};

static void count(void *user, struct sandbox *s)
{
    struct counting *counting = user;
    struct cloud_session session;
    if (strcmp(sandbox_owner(s), counting->owner) == 0 && cloud_session_read(s, &session) &&
        session.binding != CLOUD_UNBOUND && !sandbox_is_paused(s))
        counting->in_use++;
}

void cloud_sandbox_stats(struct exchange *x, void *core)
{
    struct core_numbers numbers;
    struct counting counting = {.owner = exchange_principal(x)->name};
    int64_t ready = 0, target = 0;
    core_count(core, &numbers);
    for (size_t i = 0; i < numbers.pool_count; i++) {
        if (strcmp(numbers.pools[i].name, "sandbox") != 0)
            continue;
        ready = numbers.pools[i].ready;
        target = numbers.pools[i].target;
    }
    sandboxes_each(core, exchange_principal(x), count, &counting);
    exchange_reply_json(x, 200,
                        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "total",
                                  (json_int_t)(ready + counting.in_use), "available",
                                  (json_int_t)ready, "in_use", (json_int_t)counting.in_use, "idle",
                                  (json_int_t)ready, "active", (json_int_t)counting.in_use,
                                  "creating", (json_int_t)(target > ready ? target - ready : 0),
                                  "max", (json_int_t)core_settings(core)->max_sandboxes));
}

/* --- what the rows say of themselves */

static const struct doc_schema acquire_schema = {
    .name = "CloudAcquire",
    .fields = FIELDS(TEXT("session_id", "Of which session; without it the newest that nobody has "
                                        "acquired.")),
};

static const struct doc_schema acquired_schema = {
    .name = "CloudSandbox",
    .whole = true,
    .fields = FIELDS(TEXT("sandbox_id", "What is worked in.", .format = "uuid"),
                     TEXT("container_id", "The same."),
                     TEXT("status", "Always `running`.", .words = "running"),
                     TEXT("ip", "Always null: it has no address.", .null = true)),
};

static const struct doc_schema release_schema = {
    .name = "CloudRelease",
    .fields = FIELDS(TEXT("sandbox_id", "What was acquired.", .must = true)),
};

static const struct doc_schema stats_schema = {
    .name = "CloudStats",
    .whole = true,
    .fields = FIELDS(INTEGER("total", "`available` and `in_use`."),
                     INTEGER("available", "Those that stand ready."),
                     INTEGER("in_use", "Those that the caller has acquired."),
                     INTEGER("idle", "As `available`."), INTEGER("active", "As `in_use`."),
                     INTEGER("creating", "Those that are being made ready."),
                     INTEGER("max", "The most that the gateway may have; 0: no limit.")),
};

const struct doc cloud_sandbox_acquire_doc = {
    .tag = CLOUD_TAG,
    .about = "Without a session that waits for it, a sandbox of its own, until it is released.",
    .body = &acquire_schema,
    .replies = {REPLY(200, "The sandbox.", .schema = &acquired_schema)},
};

const struct doc cloud_sandbox_release_doc = {
    .tag = CLOUD_TAG,
    .about = "That of a session stays what it is, and waits to be acquired again; one without is "
             "gone.",
    .body = &release_schema,
    .body_must = true,
    .replies = {REPLY(200, "It is not the caller's any more.", .schema = &cloud_success_schema)},
};

const struct doc cloud_sandbox_stats_doc = {
    .tag = CLOUD_TAG,
    .replies = {REPLY(200, "The numbers.", .schema = &stats_schema)},
};
