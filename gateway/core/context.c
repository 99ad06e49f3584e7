/* The kernels of a sandbox: how each is made, found, and leaves it. What the sandbox is as a whole
 * is in sandbox.c.
 *
 * Invariant: a sandbox's list holds exactly the kernels whose `sandbox` it is, by their number. */
#include "gateway/core/context.h"

#include <stdio.h>
#include <string.h>

#include "gateway/core/artifact.h"
#include "gateway/core/json_file.h"
#include "gateway/core/keepsake.h"
#include "gateway/core/launching.h"
#include "gateway/core/once.h"
#include "gateway/core/package.h"
#include "gateway/core/state.h"
#include "gateway/log.h"
#include "gateway/store/kernel_table.h"
#include "gateway/store/store.h"
#include "protocol/ids.h"
#include "protocol/json.h"

#define HOME         "/home/user" /* these as every sandbox has them */
#define WORKSPACE    "/workspace"
#define NAME_DEFAULT "default"

const char *context_name(const struct kernel *k)
{
    return k->context_name;
}

const char *context_language(const struct kernel *k)
{
    return language_of_spec(k->spec)->name;
}

const char *context_recorded_language(json_t *record)
{
    return language_of_spec(record)->name;
}

const char *context_restored_from(const struct kernel *k)
{
    return k->restored_from;
}

const char *context_forked_from(const struct kernel *k)
{
    return k->forked_from;
}

struct timespec context_created(const struct kernel *k)
{
    return k->started;
}

/* --- the list */

void context_join(struct sandbox *s, struct kernel *k, int64_t number)
{
    struct kernel **place = &s->kernel;
    while (*place && (*place)->context_number <= number)
        place = &(*place)->sibling;
    k->context_number = number;
    k->sibling = *place;
    *place = k;
    k->sandbox = s;
    if (number > s->last_number)
        s->last_number = number;
}

void context_leave(struct kernel *k)
{
    struct kernel **place = &k->sandbox->kernel;
    while (*place != k)
        place = &(*place)->sibling;
    *place = k->sibling;
    k->sibling = NULL;
    keepsake_due(k->sandbox);
    sandbox_touch(k->sandbox);
    k->sandbox = NULL;
}

static bool visible(const struct kernel *k)
{
    return !k->pooled && !k->handing && !k->ending && !k->gone && !k->sandbox->halted;
}

size_t contexts_count(const struct sandbox *s)
{
    size_t found = 0;
    for (const struct kernel *k = s->kernel; k; k = k->sibling)
        found += visible(k);
    return found;
}

bool contexts_live(const struct sandbox *s)
{
    for (const struct kernel *k = s->kernel; k; k = k->sibling)
        if (k->state != KERNEL_DEAD)
            return true;
    return false;
}

struct kernel *contexts_find(const struct sandbox *s, const char *id, struct err *e)
{
    for (struct kernel *k = s->kernel; k; k = k->sibling)
        if (visible(k) && strcmp(k->id, id) == 0)
            return k;
    fail(e, 404, "sandbox %.100s has no context %.100s", s->id, id);
    return NULL;
}

struct kernel *contexts_named(const struct sandbox *s, const char *name)
{
    for (struct kernel *k = s->kernel; k; k = k->sibling)
        if (visible(k) && (!name || strcmp(k->id, name) == 0 || strcmp(context_name(k), name) == 0))
            return k;
    return NULL;
}

void contexts_each(const struct sandbox *s, void (*each)(void *user, struct kernel *k), void *user)
{
    for (struct kernel *k = s->kernel; k; k = k->sibling)
        if (visible(k))
            each(user, k);
}

/* --- what its host gets */

/* All that its host gets, too: the host is not confined, so nothing that a client named may reach
 * its environment. */
void context_environment(const struct settings_core *settings, struct environment *env)
{
    static const char *const passed[] = {"TZ",           "WARMCELL_PYTHON", "WARMCELL_PYTHONPATH",
                                         "ASAN_OPTIONS", "UBSAN_OPTIONS",   "LSAN_OPTIONS"};
    environment_init(env);
    const char *slash = strrchr(settings->python, '/');
    scoped(string) char *path =
        xasprintf(PACKAGES_SITE "/bin:%.*s%s/usr/local/bin:/usr/bin:/bin",
                  slash ? (int)(slash - settings->python) : 0, settings->python, slash ? ":" : "");
    environment_set(env, "PATH", path);
    environment_set(env, "PYTHONPATH", PACKAGES_SITE);
    environment_set(env, "HOME", HOME);
    environment_set(env, "USER", "user");
    environment_set(env, "LOGNAME", "user");
    environment_set(env, "LANG", "C.UTF-8");
    for (size_t i = 0; i < countof(passed); i++) {
        const char *value = getenv(passed[i]);
        if (value)
            environment_set(env, passed[i], value);
    }
}

/* The life of a sandbox does not begin again with a further context. */
static struct limits limits_of(const struct kernel *k)
{
    struct limits limits = k->sandbox->limits;
    if (limits.life_ms) {
        int64_t left_ms = k->sandbox->lives_from_ms + limits.life_ms - monotonic_ms();
        limits.life_ms = left_ms > 1 ? left_ms : 1;
    }
    return limits;
}

bool context_write_plan(const struct kernel *k, const char *path, struct err *e)
{
    __attribute__((cleanup(environment_scoped))) struct environment env = {0};
    struct limits limits = limits_of(k);
    context_environment(&k->core->settings->core, &env);
    scoped(json) json_t *plan = sandbox_plan(k->sandbox), *all = environment_json(&env);
    json_object_update(all, k->sandbox->env);
    json_object_del(plan, "sandbox");
    json_object_set(plan, "env", all);
    json_object_set_new(plan, "limits", sandbox_limits_told(&limits));
    json_object_set_new(plan, "cwd", json_string(WORKSPACE));
    return json_file_write(path, plan, e);
}

/* --- the start */

static struct kernel *make(struct sandbox *s, const char *id, int64_t number,
                           const struct language *language, struct err *e)
{
    struct kernel *k = kernel_new(s->core, id, language->kernelspec, e);
    if (!k)
        return NULL;
    if (!contexts_live(s))
        s->lives_from_ms = monotonic_ms();
    context_join(s, k, number);
    scoped(string) char *history = xasprintf("%s/history.sqlite", k->dir);
    k->spec = kernelspec_of_language(&s->core->settings->core, language, "--history", history, e);
    environment_free(&k->env);
    context_environment(&s->core->settings->core, &k->env);
    return k;
}

static struct kernel *launch(struct sandbox *s, struct kernel *k, struct err *e)
{
    bool others_wait = s->core->opens > (size_t)s->opening;
    bool may_wait = others_wait && !k->branching && !k->restoring;
    if (k->spec && (may_wait ? launching_add(k, e) : kernel_launch(k, e)))
        return k;
    context_leave(k);
    k->branching = NULL;
    kernel_forget(k, 1011, "the kernel could not be started", s->paused != NULL);
    return NULL;
}

struct kernel *context_start(struct sandbox *s, const char *name, const struct language *language,
                             json_t *once, struct branching *branching, struct err *e)
{
    char id[UUID_TEXT];
    uuid_make(id);
    struct kernel *k = make(s, id, s->last_number + 1, language ? language : s->language, e);
    if (!k)
        return NULL;
    k->pooled = s->pooled;
    k->context_name = name ? xstrdup(name)
                      : k->context_number == 1
                          ? xstrdup(NAME_DEFAULT)
                          : xasprintf("context-%lld", (long long)k->context_number);
    k->once = json_incref(once);
    if (branching)
        branching_expects(branching, k);
    return launch(s, k, e);
}

/* What a record says of one; it has no host yet. */
static struct kernel *make_recorded(struct sandbox *s, json_t *record, struct err *e)
{
    const char *id = json_string_value(json_object_get(record, "id"));
    const char *from = json_string_value(json_object_get(record, "forked_from"));
    struct kernel *k = make(s, id, json_integer_value(json_object_get(record, "number")),
                            language_of_spec(record), e);
    if (!k)
        return NULL;
    uint64_t source;
    journal_source(k->journal, &source, &k->epoch); /* the next host is another than the last */
    k->generation = json_integer_value(json_object_get(record, "generation"));
    k->context_name = xstrdup(json_string_value(json_object_get(record, "name")));
    k->forked_from = from ? xstrdup(from) : NULL;
    k->once = once_renewed(s->core, json_object_get(record, "once"));
    k->started = core_time_of(json_object_get(record, "created"));
    return k;
}

struct kernel *context_revive(struct sandbox *s, json_t *record, struct err *e)
{
    struct kernel *k = make_recorded(s, record, e);
    if (!k)
        return NULL;
    k->handing = k->restoring = true;
    return launch(s, k, e);
}

void context_find_dead(struct sandbox *s, json_t *record)
{
    struct err e = {0};
    const char *reason = json_string_value(json_object_get(record, "reason"));
    struct kernel *k = make_recorded(s, record, &e);
    if (!k) {
        log_error("a context that is dead cannot be taken up", F_STR("sandbox", s->id),
                  F_STR("why", e.text));
        return;
    }
    if (!k->spec) /* its language is not installed any more: a restart says so */
        k->spec = json_pack("{s:O}", "language", json_object_get(record, "language"));
    k->state = KERNEL_DEAD;
    kernel_set_reason(k, json_string_value(json_object_get(record, "cause")),
                      reason ? reason : "the kernel's host ended while no gateway was there");
    kernel_save(k);
    scan_catch_up(s->core->scan, k);
    log_warn("a context is dead", F_STR("kernel", k->id), F_STR("reason", k->reason));
}

static bool name_free(const struct sandbox *s, const char *name, struct err *e)
{
    for (const struct kernel *k = s->kernel; k; k = k->sibling)
        if (!k->ending && !k->gone && strcmp(k->context_name, name) == 0)
            return fail(e, 409, "name: the sandbox has a context %s already", name);
    return true;
}

static bool name_good(const char *name, struct err *e)
{
    size_t len = strlen(name);
    if (len == 0 || len > CONTEXT_NAME_LIMIT)
        return fail(e, 400, "name: must be 1 to %d bytes long", CONTEXT_NAME_LIMIT);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] < ' ' || name[i] == 127)
            return fail(e, 400, "name: must hold no control characters");
    return true;
}

/* What a request says of a branch's language can only be what it has. */
static bool can_be_forked(const struct kernel *k, const struct language *wanted, struct err *e)
{
    const struct language *language = language_of_spec(k->spec);
    static const char *const why[] = {
        [KERNEL_STARTING] = "is starting: it can be forked when it is idle",
        [KERNEL_BUSY] = "is busy: it can be forked between two executions",
        [KERNEL_RESTARTING] = "is starting again: it can be forked when it is idle",
    };
    if (wanted && wanted != language)
        return fail(e, 400, "language: context %s is %s, and so is what is forked from it", k->id,
                    language->name);
    if (!language->keeps_variables)
        return fail(e, 409, "context %s is %s, which cannot be forked: make a new one", k->id,
                    language->name);
    if (k->state == KERNEL_IDLE && k->uplink)
        return true;
    if (k->state == KERNEL_DEAD || !k->uplink)
        return fail(e, 409, "context %s is dead: %s", k->id, k->reason ? k->reason : "it ended");
    return fail(e, 409, "context %s %s", k->id, why[k->state]);
}

static bool check(struct sandbox *s, const struct context_request *request, struct err *e)
{
    int64_t most = s->core->settings->core.max_contexts;
    size_t count = 0;
    if (s->core->draining)
        return fail(e, 503, "the gateway is ending");
    if (request->name && (!name_good(request->name, e) || !name_free(s, request->name, e)))
        return false;
    for (const struct kernel *k = s->kernel; k; k = k->sibling)
        count += !k->ending;
    if (most > 0 && count >= (size_t)most)
        return fail(e, 403,
                    "Resource Limit: the sandbox has %lld contexts, which is the most "
                    "allowed",
                    (long long)most);
    if (!usage_allows_sandbox(s, &(struct usage){.kernels = 1}, e))
        return false;
    return kernels_allowed(s->core, 1, e);
}

/* out: NULL: it names none. */
static bool read_language(const struct sandbox *s, const struct context_request *request,
                          const struct language **out, struct err *e)
{
    *out = request->language ? language_find(request->language, e) : NULL;
    return (*out || !request->language) && language_check(*out ? *out : s->language, e);
}

/* True: done was called. */
static bool made_before(struct sandbox *s, const struct context_request *request,
                        void (*done)(void *user, struct kernel *k, const struct err *e), void *user)
{
    struct err e = {0};
    struct kernel *k = s->kernel;
    while (k && (k->ending || k->gone || !once_meets(k->once, request->once)))
        k = k->sibling;
    if (!k)
        return false;
    if (once_same(k->once, request->once, "context", k->id, &e) && !visible(k))
        fail(&e, 409, "Idempotency-Key: context %s is being made with it", k->id);
    done(user, e.status ? NULL : k, e.status ? &e : NULL);
    return true;
}

/* Its maker is told when a power cut cannot take it. */
struct telling {
    struct sandbox *s; /* held */
    char *id;          /* of the context; NULL: none was made */
    void (*done)(void *user, struct kernel *k, const struct err *e);
    void *user;
};

static void end_telling(struct telling *t, struct kernel *k, const struct err *e)
{
    t->done(t->user, k, e);
    sandbox_let_go(t->s);
    free(t->id);
    free(t);
}

static void on_safe(void *user, const struct err *e)
{
    struct telling *t = user;
    struct err why = {0};
    struct kernel *k = t->s->kernel;
    while (k && (k->ending || k->gone || strcmp(k->id, t->id) != 0))
        k = k->sibling;
    if (e)
        fail(&why, e->status, "context %s was made, but that is not written down: %.200s", t->id,
             e->text);
    else if (!k)
        fail(&why, 502, "context %s ended as it was made", t->id);
    end_telling(t, why.status ? NULL : k, why.status ? &why : NULL);
}

static void tell(void *user, struct kernel *k, const struct err *e)
{
    struct telling *t = user;
    if (e) {
        end_telling(t, NULL, e);
        return;
    }
    t->id = xstrdup(k->id);
    keepsake_settle_fully(t->s, on_safe, t);
}

static void create(struct sandbox *s, const struct context_request *request,
                   void (*done)(void *user, struct kernel *k, const struct err *e), void *user)
{
    struct err e = {0};
    struct kernel *from = NULL, *k = NULL;
    struct branching *branching = NULL;
    const struct language *language = NULL;
    if (made_before(s, request, done, user))
        return;
    if (read_language(s, request, &language, &e) && check(s, request, &e) &&
        (!request->fork ||
         ((from = contexts_find(s, request->fork, &e)) && can_be_forked(from, language, &e)))) {
        if (from) {
            branching = branching_new(from, request->force, done, user);
            language = language_of_spec(from->spec);
        }
        k = context_start(s, request->name, language, request->once, branching, &e);
    }
    if (!k) {
        branching_free(branching);
        done(user, NULL, &e);
        return;
    }
    if (from)
        return; /* its maker is told when there is an interpreter */
    kernel_table_started(s->core->store, k->id, k->name, k->started);
    done(user, k, NULL);
}

void contexts_create(struct sandbox *s, const struct context_request *request,
                     void (*done)(void *user, struct kernel *k, const struct err *e), void *user)
{
    struct telling *t = xcalloc(1, sizeof(*t));
    *t = (struct telling){.s = s, .done = done, .user = user};
    sandbox_hold(s);
    create(s, request, tell, t);
}

/* --- the end */

struct deletion {
    struct sandbox *s; /* held */
    void (*done)(void *user, const struct err *e);
    void *user;
};

/* All others that it has end already. */
static bool is_last(const struct kernel *k)
{
    for (const struct kernel *other = k->sandbox->kernel; other; other = other->sibling)
        if (other != k && !other->ending && !other->gone)
            return false;
    return true;
}

/* Where its sandbox ends meanwhile, that is awaited. */
static void on_safely_gone(void *user, const struct err *e)
{
    struct deletion *d = user;
    struct sandbox *s = d->s;
    if (e && s->ending && !s->gone)
        sandbox_remove(s, "its last context was deleted", d->done, d->user);
    else
        d->done(d->user, s->ending ? NULL : e);
    sandbox_let_go(s);
    free(d);
}

/* It is in the list of its sandbox yet. */
static void on_stopped(void *user, const struct err *e)
{
    struct deletion *d = user;
    if (e)
        on_safely_gone(d, e);
    else
        keepsake_settle_fully(d->s, on_safely_gone, d);
}

void context_delete(struct kernel *k, const char *reason,
                    void (*done)(void *user, const struct err *e), void *user)
{
    if (!k->sandbox) {
        kernel_stop(k, reason, done, user);
        return;
    }
    if (is_last(k)) { /* it takes its sandbox along: that is awaited */
        sandbox_remove(k->sandbox, "its last context was deleted", done, user);
        return;
    }
    struct deletion *d = xmalloc(sizeof(*d));
    *d = (struct deletion){k->sandbox, done, user};
    sandbox_hold(k->sandbox);
    kernel_stop(k, reason, on_stopped, d);
}
