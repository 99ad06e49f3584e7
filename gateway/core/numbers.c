/* Counts what the core holds. Called by the dialect for /metrics. */
#include "gateway/core/numbers.h"

#include <string.h>

#include "gateway/core/command_run.h"
#include "gateway/core/state.h"

_Static_assert(NUMBERS_POOLS >= POOLS_MOST + 3, "there may be more names of pools than have room");

static struct pool_numbers *named(struct core_numbers *out, const char *name)
{
    for (size_t i = 0; i < out->pool_count; i++)
        if (strcmp(out->pools[i].name, name) == 0)
            return &out->pools[i];
    out->pools[out->pool_count].name = name;
    return &out->pools[out->pool_count++];
}

static void count_pools(const struct core *c, struct core_numbers *out)
{
    for (const struct pool *p = &c->pool_owner; p; p = p->next) {
        if (!p->shown)
            continue;
        struct pool_numbers *numbers = named(out, p->label);
        numbers->target += (int64_t)p->target;
        numbers->ready += (int64_t)pool_ready(c, p);
        numbers->hits += (int64_t)p->hits;
        numbers->misses += (int64_t)p->misses;
    }
}

static int64_t number(json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static void count_keeper(const struct kept *kept, struct keeper_numbers *out)
{
    if (!kept->keeper)
        return;
    json_t *forks = json_object_get(kept->status, "fork_server");
    const char *state = json_string_value(json_object_get(forks, "state"));
    out->used = true;
    out->up = keeper_up(kept->keeper);
    out->starts = keeper_starts(kept->keeper);
    out->forks_ready = out->up && state && strcmp(state, "ready") == 0;
    out->generation = number(forks, "generation");
    out->forks = number(forks, "forks");
    out->cold = number(kept->status, "cold");
    out->processes = number(kept->status, "processes");
}

static void count_sandbox(void *user, struct sandbox *s)
{
    struct core_numbers *out = user;
    out->sandboxes++;
    out->commands_running += (int64_t)command_runs_count(s);
}

void core_count(const struct core *c, struct core_numbers *out)
{
    static const char *const names[KEEPERS] = {[KEEPERS_OWNER] = "owner",
                                               [KEEPERS_REQUIRED] = "sandbox",
                                               [KEEPERS_BEST_EFFORT] = "sandbox-best-effort"};
    *out = (struct core_numbers){
        .kernels_started = (int64_t)c->counters.kernels_started,
        .kernels_died = (int64_t)c->counters.kernels_died,
        .retention_passes = (int64_t)c->counters.retention_passes,
        .commands_started = (int64_t)c->counters.commands_started,
        .messages_out = (int64_t)c->counters.messages_out,
        .message_bytes_out = (int64_t)c->counters.message_bytes_out,
        .messages_in = (int64_t)c->counters.messages_in,
        .message_bytes_in = (int64_t)c->counters.message_bytes_in,
    };
    for (size_t i = 0; i < c->kernel_count; i++) {
        const struct kernel *k = c->kernels[i];
        if (k->pooled || k->handing || k->ending)
            continue;
        out->kernels[k->state]++;
    }
    sandboxes_each(c, &principal_gateway, count_sandbox, out);
    count_pools(c, out);
    for (size_t i = 0; i < KEEPERS; i++) {
        out->keepers[i].name = names[i];
        count_keeper(&c->keepers[i], &out->keepers[i]);
    }
}

struct measuring {
    size_t awaited;
    void (*done)(void *user);
    void *user;
};

static void on_one(void *user)
{
    struct measuring *m = user;
    if (--m->awaited > 0)
        return;
    m->done(m->user);
    free(m);
}

static void measure_sandbox(void *user, struct sandbox *s)
{
    struct measuring *m = user;
    m->awaited++;
    sandbox_measure(s, on_one, m);
}

void core_measure(struct core *c, void (*done)(void *user), void *user)
{
    struct measuring *m = xmalloc(sizeof(*m));
    *m = (struct measuring){1, done, user};
    sandboxes_each(c, &principal_gateway, measure_sandbox, m);
    for (size_t i = 0; i < KEEPERS; i++) {
        m->awaited++;
        if (!kept_refresh(core_kept(c, i), on_one, m))
            m->awaited--;
    }
    on_one(m);
}
