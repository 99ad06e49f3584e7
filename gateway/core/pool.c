/* The pools: kernels that are started ahead and handed out when one is asked for. One for the
 * kernels of the default kind that the owner starts (--prespawn-count), one for sandboxes as they
 * are by default (--pool-min), and those of pools.c.
 *
 * A pool's size follows demand: the most that was asked for in two intervals that follow each other
 * (a burst falls into two as often as into one), fading slowly, between its bounds, and as all of
 * them together have room (--pool-total). It is refilled in the background, a few at a time and not
 * amid requests, so that who waits for a kernel of their own is not behind those that nobody waits
 * for.
 *
 * A kernel of ours takes on the request's environment and folder as it is handed out; of other
 * kinds one fits only a request that asks for neither. Kernels of a pool are in no list and count
 * for no limit. */
#include "gateway/core/pool.h"

#include <stdio.h>
#include <string.h>

#include "gateway/core/seed.h"
#include "gateway/core/state.h"
#include "gateway/log.h"
#include "gateway/store/kernel_table.h"
#include "protocol/ids.h"

#define STARTING_MOST  2   /* at once, of all pools */
#define QUIET_MS       50  /* without a request: what was just handed out goes first */
#define QUIET_MOST_MS  500 /* where requests never pause */
#define DELAY_FIRST_MS 100 /* after a start that failed */
#define DELAY_LAST_MS  (60 * 1000)
#define ADOPT_LIMIT_MS (30 * 1000)
#define INTERVAL_MS    5000
#define FADING         0.875 /* of the demand, each interval */

extern char **environ;

static bool start_kernel(struct core *c)
{
    struct err e = {0};
    char id[UUID_TEXT];
    uuid_make(id);
    const struct kernelspec *spec = kernelspecs_find(c->specs, kernelspecs_default(c->specs), &e);
    struct environment env = {0};
    struct kernel *k = NULL;
    if (spec && environment_build(&c->settings->core, environ, NULL, &env, &e) &&
        (k = kernel_new(c, id, spec->name, &e))) {
        k->pooled = true;
        k->spec = json_incref(spec->spec);
        free(k->resource_dir);
        k->resource_dir = xstrdup(spec->dir ? spec->dir : "");
        environment_free(&k->env);
        environment_add_spec(&env, json_object_get(spec->spec, "env"));
        k->env = env;
        env = (struct environment){0};
        if (kernel_launch(k, &e))
            return true;
        kernel_forget(k, 1011, e.text, false);
    }
    environment_free(&env);
    log_warn("no kernel for the pool", F_STR("why", e.text));
    return false;
}

struct pool *pool_of(const struct kernel *k)
{
    return k->sandbox ? k->sandbox->pool : &k->core->pool_owner;
}

/* --- how large they shall be */

struct bounds {
    size_t least, most;
};

static struct bounds bounds_of(const struct core *c, const struct pool *p)
{
    const struct settings_core *settings = &c->settings->core;
    size_t most = (size_t)settings->pool_max, least = p->least;
    if (p == &c->pool_owner)
        least = (size_t)settings->prespawn_count;
    if (p == &c->pool_sandbox)
        least = (size_t)settings->pool_min;
    if (p->fixed) {
        bool off = p == &c->pool_owner && least == 0;
        return (struct bounds){least, off ? 0 : most > least ? most : least};
    }
    if (!p->shown)
        return (struct bounds){0, 0};
    most = p->most < most ? p->most : most;
    return (struct bounds){least < most ? least : most, most};
}

/* Of all pools together. What the two are to hold at least is beyond question. */
static size_t room_of(const struct core *c)
{
    const struct settings_core *settings = &c->settings->core;
    int64_t total = settings->pool_total ? settings->pool_total : 2 * settings->pool_max;
    int64_t least = settings->prespawn_count + settings->pool_min;
    return (size_t)(total > least ? total : least);
}

static size_t wanted(const struct pool *p, struct bounds bounds)
{
    double lately = (double)(p->takes_before + p->takes);
    size_t demand = (size_t)((p->demand > lately ? p->demand : lately) + 0.5);
    return demand < bounds.least ? bounds.least : demand > bounds.most ? bounds.most : demand;
}

/* What each has to hold at least comes first, in the order of the list; then one at a time for whom
 * the most is missing. */
static void set_targets(struct core *c)
{
    size_t room = room_of(c);
    for (struct pool *p = &c->pool_owner; p; p = p->next) {
        struct bounds bounds = bounds_of(c, p);
        p->wanted = wanted(p, bounds);
        p->target = bounds.least < room ? bounds.least : room;
        room -= p->target;
    }
    for (; room > 0; room--) {
        struct pool *next = &c->pool_owner;
        for (struct pool *p = next->next; p; p = p->next)
            if (p->wanted - p->target > next->wanted - next->target)
                next = p;
        if (next->wanted == next->target)
            return;
        next->target++;
    }
}

/* Pooled kernels, those on their way too; ready: only those that could be handed out now. */
static size_t count(const struct core *c, const struct pool *p, bool ready)
{
    size_t found = 0;
    for (size_t i = 0; i < c->kernel_count; i++) {
        const struct kernel *k = c->kernels[i];
        if (k->pooled && !k->gone && !k->ending && pool_of(k) == p)
            found += !ready || k->state == KERNEL_IDLE;
    }
    return found + (ready || p == &c->pool_owner ? 0 : sandboxes_opening(c, p));
}

size_t pool_count(const struct core *c, const struct pool *p)
{
    return count(c, p, false);
}

size_t pool_ready(const struct core *c, const struct pool *p)
{
    return count(c, p, true);
}

/* --- filling them */

static size_t count_all(const struct core *c, bool ready)
{
    size_t found = 0;
    for (const struct pool *p = &c->pool_owner; p; p = p->next)
        found += count(c, p, ready);
    return found;
}

void pool_failed(struct pool *p)
{
    if (!p)
        return;
    p->delay_ms = p->delay_ms ? p->delay_ms * 2 : DELAY_FIRST_MS;
    if (p->delay_ms > DELAY_LAST_MS)
        p->delay_ms = DELAY_LAST_MS;
    p->not_before_ms = monotonic_ms() + p->delay_ms;
}

/* Its fork server may have ended meanwhile, and others have taken its place. */
static bool has_keeper(struct core *c, const struct pool *p)
{
    const struct sandbox_request request = {.preload = p->preload,
                                            .policy = p->best_effort ? "best-effort" : NULL,
                                            .shares_keeper = p->shares_keeper};
    return !p->preload || keepers_take(c, p->principal ? p->principal : PRINCIPAL_OWNER, &request);
}

/* The one that lacks the most, of those that may start one now; NULL: none. */
static struct pool *neediest(struct core *c, int64_t now_ms)
{
    struct pool *found = NULL;
    size_t most = 0;
    for (struct pool *p = &c->pool_owner; p; p = p->next) {
        size_t has = count(c, p, false);
        if (now_ms >= p->not_before_ms && has + most < p->target) {
            found = p;
            most = p->target - has;
        }
    }
    return found;
}

/* Starts one if one is wanted and may be started now. */
static bool fill_one(struct core *c, int64_t now_ms)
{
    struct pool *p = neediest(c, now_ms);
    if (!p || count_all(c, false) >= room_of(c))
        return false;
    if (p == &c->pool_owner ? !start_kernel(c) : !has_keeper(c, p))
        pool_failed(p);
    else if (p != &c->pool_owner)
        sandbox_start_pooled(c, p);
    return true;
}

/* For a kernel that is started for them alone. */
static bool somebody_waits(const struct core *c)
{
    for (size_t i = 0; i < c->kernel_count; i++) {
        const struct kernel *k = c->kernels[i];
        if (!k->pooled && !k->gone && !k->ending && k->state == KERNEL_STARTING)
            return true;
    }
    return false;
}

static void on_pool_timer(uv_timer_t *timer)
{
    struct core *c = timer->data;
    int64_t now_ms = monotonic_ms();
    bool quiet = now_ms - c->last_take_ms >= QUIET_MS && !somebody_waits(c);
    if (!quiet && now_ms - c->busy_since_ms < QUIET_MOST_MS) {
        uv_timer_start(timer, on_pool_timer, QUIET_MS / 2, 0);
        return;
    }
    while (!c->draining && count_all(c, false) - count_all(c, true) < STARTING_MOST &&
           fill_one(c, now_ms))
        ;
}

void pool_refill(struct core *c)
{
    bool lacks = false;
    set_targets(c);
    for (const struct pool *p = &c->pool_owner; p && !lacks; p = p->next)
        lacks = count(c, p, false) < p->target;
    if (lacks && !c->draining && !uv_is_active((uv_handle_t *)&c->pool_timer))
        uv_timer_start(&c->pool_timer, on_pool_timer, 1, 0);
}

static void retire(struct kernel *k, const char *why)
{
    if (k->sandbox)
        sandbox_retire(k->sandbox, why);
    else
        kernel_stop(k, why, NULL, NULL);
}

/* One that is too old goes, and one that is too many: one of each at a time. */
static void thin(struct core *c, const struct pool *p)
{
    struct kernel *oldest = NULL;
    for (size_t i = 0; i < c->kernel_count; i++) {
        struct kernel *k = c->kernels[i];
        if (k->pooled && !k->gone && !k->ending && pool_of(k) == p &&
            (!oldest || k->started.tv_sec < oldest->started.tv_sec))
            oldest = k;
    }
    if (!oldest)
        return;
    int64_t age_s = c->settings->core.pool_age_s;
    if (count(c, p, false) > p->target)
        retire(oldest, "the pool was larger than its demand");
    else if (age_s > 0 && time(NULL) - oldest->started.tv_sec > age_s)
        retire(oldest, "it stood in the pool for long");
}

void pool_tick(struct core *c, int64_t now_ms)
{
    bool over = now_ms >= c->next_demand_ms;
    if (over)
        c->next_demand_ms = now_ms + INTERVAL_MS;
    for (struct pool *p = &c->pool_owner; p && over; p = p->next) {
        double lately = (double)(p->takes_before + p->takes);
        double faded = p->demand * FADING;
        p->demand = lately > faded ? lately : faded;
        p->takes_before = p->takes;
        p->takes = 0;
    }
    set_targets(c);
    for (const struct pool *p = &c->pool_owner; p; p = p->next)
        thin(c, p);
    pools_forget_unwanted(c, now_ms);
    pool_refill(c);
}

static void taken(struct core *c, struct pool *p, bool hit)
{
    int64_t now_ms = monotonic_ms();
    if (now_ms - c->last_take_ms >= QUIET_MS)
        c->busy_since_ms = now_ms;
    c->last_take_ms = now_ms;
    p->shown = p->shown || (p->asked_ms && now_ms - p->asked_ms <= POOLS_WINDOW_MS);
    p->asked_ms = now_ms;
    p->takes++;
    if (hit) {
        p->hits++;
        p->delay_ms = 0;
    } else {
        p->misses++;
    }
    pool_refill(c);
}

struct sandbox *pool_take_sandbox(struct core *c, struct pool *p)
{
    struct kernel *best = NULL;
    if (!p)
        return NULL;
    for (size_t i = 0; i < c->kernel_count; i++) {
        struct kernel *k = c->kernels[i];
        if (k->pooled && !k->gone && !k->ending && k->uplink && k->sandbox && pool_of(k) == p &&
            (!best || (k->state == KERNEL_IDLE && best->state != KERNEL_IDLE)))
            best = k;
    }
    taken(c, p, best != NULL);
    if (!best)
        return NULL;
    best->pooled = best->sandbox->pooled = false;
    best->sandbox->pool = NULL;
    best->handing = true;
    return best->sandbox;
}

/* It is asked for nothing: a host that is told to stop sees to it first that its last words are
 * acknowledged, and there will be nobody for the length of a lease. Nothing is lost with one that
 * nobody has used. */
void pool_end(struct kernel *k)
{
    kernel_kill_host(k);
    kernel_forget(k, 1000, "the gateway ended", false);
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool fits(const struct kernel *k, const struct kernel_request *request, bool unchanged)
{
    return k->pooled && !k->sandbox && !k->gone && k->uplink &&
           strcmp(k->name, request->name) == 0 && (unchanged || kernelspec_has_uplink(k->spec));
}

/* The one that has come furthest: a kernel that is still starting is ahead of one that is not there
 * yet. */
static struct kernel *find_fit(struct core *c, const struct kernel_request *request,
                               const struct environment *env, bool unchanged)
{
    struct kernel *best = NULL;
    if (request->id || kernel_env_is_cold(env))
        return NULL;
    if (!unchanged && seed_is_for(c->seed, request->name))
        return NULL; /* its seed has run in another environment */
    for (size_t i = 0; i < c->kernel_count; i++) {
        struct kernel *k = c->kernels[i];
        if (fits(k, request, unchanged) &&
            (!best || (k->state == KERNEL_IDLE && best->state != KERNEL_IDLE)))
            best = k;
    }
    return best;
}

struct handout {
    struct kernel *k;
    void (*done)(void *user, struct kernel *k, const struct err *e);
    void *user;
    struct environment env;
    char *cwd;
};

static void hand_out(struct kernel *k)
{
    struct core *c = k->core;
    k->pooled = k->handing = false;
    clock_gettime(CLOCK_REALTIME, &k->started);
    kernel_touch(k);
    kernel_save(k);
    kernel_table_started(c->store, k->id, k->name, k->started);
    log_info("kernel handed out", F_STR("kernel", k->id));
    taken(c, &c->pool_owner, true);
}

/* A kernel that could not be made fit is ended; the caller hears why. */
static void on_adopted(void *user, const struct err *e)
{
    struct handout *handout = user;
    struct kernel *k = handout->k;
    if (!e) {
        environment_free(&k->env);
        k->env = handout->env;
        k->cwd = handout->cwd;
        hand_out(k);
        handout->done(handout->user, k, NULL);
    } else {
        environment_free(&handout->env);
        free(handout->cwd);
        log_warn("a kernel of the pool could not be adopted", F_STR("why", e->text));
        if (!k->gone && !k->ending)
            kernel_stop(k, "it could not be adopted", NULL, NULL);
        handout->done(handout->user, NULL, e);
    }
    free(handout);
}

bool pool_take(struct core *c, const struct kernel_request *request, const struct environment *env,
               const char *cwd, void (*done)(void *user, struct kernel *k, const struct err *e),
               void *user)
{
    struct kernel *k = find_fit(c, request, env, !request->env && !cwd);
    if (!k) {
        if (c->settings->core.prespawn_count > 0)
            taken(c, &c->pool_owner, false);
        return false;
    }
    k->handing = true;
    k->pooled = false;
    kernel_save(k); /* a gateway that comes back ends what was only half handed out */
    json_t *changes = environment_difference(&k->env, env);
    if (json_object_size(changes) == 0 && same_text(k->cwd, cwd)) {
        json_decref(changes);
        hand_out(k);
        done(user, k, NULL);
        return true;
    }
    json_t *adoption = json_pack("{s:o}", "env", changes);
    if (cwd)
        json_object_set_new(adoption, "cwd", json_string(cwd));
    struct handout *handout = xcalloc(1, sizeof(*handout));
    *handout = (struct handout){.k = k, .done = done, .user = user};
    environment_copy(env, &handout->env);
    handout->cwd = cwd ? xstrdup(cwd) : NULL;
    scoped(string) char *text = json_dumps(adoption, JSON_COMPACT);
    json_decref(adoption);
    kernel_command(k, LINK_ADOPT_KERNEL, bytes_of(text), ADOPT_LIMIT_MS, on_adopted, handout);
    return true;
}
