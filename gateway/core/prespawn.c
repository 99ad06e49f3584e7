/* The pool: kernels of the default kind that are started ahead and handed out by POST.
 *
 * One of ours takes the request's environment and folder when it is handed out; of other kinds a
 * kernel fits only a request that asks for neither. Kernels of the pool are in no list and count
 * for no limit. */
#include <stdio.h>
#include <string.h>

#include "gateway/core/seed.h"
#include "gateway/core/state.h"
#include "gateway/log.h"
#include "gateway/store/kernel_table.h"
#include "protocol/ids.h"

#define DELAY_FIRST_MS 100 /* the kernel that was just handed out goes first */
#define DELAY_LAST_MS  (60 * 1000)
#define ADOPT_LIMIT_MS (30 * 1000)

extern char **environ;

static bool start_one(struct core *c)
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

static void on_pool_timer(uv_timer_t *timer)
{
    struct core *c = timer->data;
    size_t pooled = 0;
    for (size_t i = 0; i < c->kernel_count; i++)
        pooled += c->kernels[i]->pooled && !c->kernels[i]->gone;
    if (c->draining || pooled >= (size_t)c->settings->core.prespawn_count)
        return;
    if (!start_one(c))
        c->pool_delay_ms *= 2;
    pool_refill(c);
}

void pool_refill(struct core *c)
{
    if (c->draining || c->settings->core.prespawn_count <= 0)
        return;
    if (c->pool_delay_ms < DELAY_FIRST_MS)
        c->pool_delay_ms = DELAY_FIRST_MS;
    if (c->pool_delay_ms > DELAY_LAST_MS)
        c->pool_delay_ms = DELAY_LAST_MS;
    if (!uv_is_active((uv_handle_t *)&c->pool_timer))
        uv_timer_start(&c->pool_timer, on_pool_timer, (uint64_t)c->pool_delay_ms, 0);
}

/* STOP is in the host's socket when this returns, and is read from there though we are gone. */
void pool_end(struct kernel *k)
{
    if (uplink_attached(k->uplink))
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
    return k->pooled && !k->gone && k->uplink && strcmp(k->name, request->name) == 0 &&
           (unchanged || kernelspec_has_uplink(k->spec));
}

/* The one that has come furthest: a kernel that is still starting is ahead of one that is not there
 * yet. */
static struct kernel *find_fit(struct core *c, const struct kernel_request *request, bool unchanged)
{
    struct kernel *best = NULL;
    if (request->id)
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
    c->pool_delay_ms = DELAY_FIRST_MS;
    pool_refill(c);
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
    struct kernel *k = find_fit(c, request, !request->env && !cwd);
    if (!k)
        return false;
    k->handing = true;
    k->pooled = false;
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
