/* The pools: kernels that are started ahead and handed out when one is asked for. One for the
 * kernels of the default kind that the owner starts (--prespawn-count), one for sandboxes as they
 * are by default (--pool-min).
 *
 * A pool's size follows demand: the most that was asked for in two intervals that follow each other
 * (a burst falls into two as often as into one), fading slowly, between its bounds. It is refilled
 * in the background, a few at a time and not amid requests, so that who waits for a kernel of their
 * own is not behind those that nobody waits for.
 *
 * A kernel of ours takes on the request's environment and folder as it is handed out; of other
 * kinds one fits only a request that asks for neither. Kernels of a pool are in no list and count
 * for no limit. */
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

enum pools pool_of(const struct kernel *k)
{
    return k->sandbox ? POOL_SANDBOX : POOL_OWNER;
}

static void bounds(const struct core *c, enum pools which, size_t *least, size_t *most)
{
    const struct settings_core *settings = &c->settings->core;
    int64_t low = which == POOL_OWNER ? settings->prespawn_count : settings->pool_min;
    int64_t high = settings->pool_max > low ? settings->pool_max : low;
    *least = (size_t)low;
    *most = which == POOL_OWNER && low == 0 ? 0 : (size_t)high;
}

static void set_target(struct core *c, enum pools which)
{
    struct pool *p = &c->pools[which];
    size_t least, most;
    bounds(c, which, &least, &most);
    double lately = (double)(p->takes_before + p->takes);
    double wanted = p->demand > lately ? p->demand : lately;
    p->target = (size_t)(wanted + 0.5);
    if (p->target < least)
        p->target = least;
    if (p->target > most)
        p->target = most;
}

/* Pooled kernels, those on their way too; ready: only those that could be handed out now. */
static size_t count(const struct core *c, enum pools which, bool ready)
{
    size_t found = 0;
    for (size_t i = 0; i < c->kernel_count; i++) {
        const struct kernel *k = c->kernels[i];
        if (k->pooled && !k->gone && !k->ending && pool_of(k) == which)
            found += !ready || k->state == KERNEL_IDLE;
    }
    if (which == POOL_SANDBOX && !ready)
        found += sandboxes_opening(c);
    return found;
}

size_t pool_ready(const struct core *c, enum pools which)
{
    return count(c, which, true);
}

static size_t starting(const struct core *c)
{
    size_t found = 0;
    for (size_t which = 0; which < POOLS; which++)
        found += count(c, which, false) - count(c, which, true);
    return found;
}

void pool_failed(struct core *c, enum pools which)
{
    struct pool *p = &c->pools[which];
    p->delay_ms = p->delay_ms ? p->delay_ms * 2 : DELAY_FIRST_MS;
    if (p->delay_ms > DELAY_LAST_MS)
        p->delay_ms = DELAY_LAST_MS;
    p->not_before_ms = monotonic_ms() + p->delay_ms;
}

/* Starts one if one is wanted and may be started now. */
static bool fill_one(struct core *c, enum pools which, int64_t now_ms)
{
    struct pool *p = &c->pools[which];
    if (now_ms < p->not_before_ms || count(c, which, false) >= p->target)
        return false;
    if (which == POOL_SANDBOX)
        sandbox_start_pooled(c);
    else if (!start_kernel(c))
        pool_failed(c, which);
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
    for (size_t which = 0; which < POOLS && !c->draining; which++)
        while (starting(c) < STARTING_MOST && fill_one(c, which, now_ms))
            ;
}

void pool_refill(struct core *c)
{
    bool wanted = false;
    for (size_t which = 0; which < POOLS; which++) {
        set_target(c, which);
        wanted = wanted || count(c, which, false) < c->pools[which].target;
    }
    if (wanted && !c->draining && !uv_is_active((uv_handle_t *)&c->pool_timer))
        uv_timer_start(&c->pool_timer, on_pool_timer, 1, 0);
}

static void retire(struct kernel *k, const char *why)
{
    if (k->sandbox)
        sandbox_remove(k->sandbox, why, NULL, NULL);
    else
        kernel_stop(k, why, NULL, NULL);
}

/* One that is too old goes, and one that is too many: one of each at a time. */
static void thin(struct core *c, enum pools which)
{
    struct kernel *oldest = NULL;
    for (size_t i = 0; i < c->kernel_count; i++) {
        struct kernel *k = c->kernels[i];
        if (k->pooled && !k->gone && !k->ending && pool_of(k) == which &&
            (!oldest || k->started.tv_sec < oldest->started.tv_sec))
            oldest = k;
    }
    if (!oldest)
        return;
    int64_t age_s = c->settings->core.pool_age_s;
    if (count(c, which, false) > c->pools[which].target)
        retire(oldest, "the pool was larger than its demand");
    else if (age_s > 0 && time(NULL) - oldest->started.tv_sec > age_s)
        retire(oldest, "it stood in the pool for long");
}

void pool_tick(struct core *c, int64_t now_ms)
{
    bool over = now_ms >= c->next_demand_ms;
    if (over)
        c->next_demand_ms = now_ms + INTERVAL_MS;
    for (size_t which = 0; which < POOLS; which++) {
        struct pool *p = &c->pools[which];
        if (over) {
            double lately = (double)(p->takes_before + p->takes);
            double faded = p->demand * FADING;
            p->demand = lately > faded ? lately : faded;
            p->takes_before = p->takes;
            p->takes = 0;
        }
        set_target(c, which);
        thin(c, which);
    }
    pool_refill(c);
}

static void taken(struct core *c, enum pools which, bool hit)
{
    struct pool *p = &c->pools[which];
    int64_t now_ms = monotonic_ms();
    if (now_ms - c->last_take_ms >= QUIET_MS)
        c->busy_since_ms = now_ms;
    c->last_take_ms = now_ms;
    p->takes++;
    if (hit) {
        p->hits++;
        p->delay_ms = 0;
    } else {
        p->misses++;
    }
    pool_refill(c);
}

void pool_missed(struct core *c, enum pools which)
{
    taken(c, which, false);
}

struct sandbox *pool_take_sandbox(struct core *c)
{
    struct kernel *best = NULL;
    for (size_t i = 0; i < c->kernel_count; i++) {
        struct kernel *k = c->kernels[i];
        if (k->pooled && !k->gone && !k->ending && k->uplink && k->sandbox &&
            (!best || (k->state == KERNEL_IDLE && best->state != KERNEL_IDLE)))
            best = k;
    }
    taken(c, POOL_SANDBOX, best != NULL);
    if (!best)
        return NULL;
    best->pooled = best->sandbox->pooled = false;
    best->handing = true;
    return best->sandbox;
}

/* STOP is in the host's socket when this returns, and is read from there though we are gone. One
 * that is still starting says things that nobody will acknowledge any more, and would wait for
 * that. */
void pool_end(struct kernel *k)
{
    if (uplink_attached(k->uplink) && k->state == KERNEL_IDLE)
        kernel_command(k, LINK_STOP, bytes_of("{\"reason\":\"the gateway ended\"}"), INT32_MAX,
                       NULL, NULL);
    else
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
    taken(c, POOL_OWNER, true);
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
            pool_missed(c, POOL_OWNER);
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
