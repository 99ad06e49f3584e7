/* GET /v1/sandboxes/{id}/metrics: one sandbox in numbers (docs/gateway.md, "Numbers"). */
#include <math.h>
#include <string.h>

#include "gateway/core/command_run.h"
#include "gateway/core/execution.h"
#include "gateway/core/execution_numbers.h"
#include "gateway/dialect/v1.h"
#include "gateway/dialect/v1_executions.h"
#include "protocol/ids.h"
#include "protocol/json.h"
#include "protocol/memory.h"

/* Three digits behind the point. */
static json_t *rounded(double number)
{
    return json_real(round(number * 1000) / 1000);
}

static json_t *timing_model(const struct timing *t)
{
    static const struct {
        const char *name;
        double share;
    } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}};
    json_t *model =
        json_pack("{s:I, s:o}", "count", (json_int_t)t->count, "sum", rounded(t->sum_ms));
    for (size_t i = 0; i < countof(quantiles); i++)
        json_object_set_new(model, quantiles[i].name,
                            t->count ? rounded(timing_quantile_ms(t, quantiles[i].share))
                                     : json_null());
    json_object_set_new(model, "max", t->count ? rounded(t->max_ms) : json_null());
    json_t *buckets = json_array();
    for (size_t i = 0; i <= TIMING_BOUNDS; i++) {
        json_t *most = i < TIMING_BOUNDS ? json_real(timing_bounds_ms[i]) : json_null();
        json_array_append_new(
            buckets, json_pack("{s:o, s:I}", "most", most, "count", (json_int_t)t->buckets[i]));
    }
    json_object_set_new(model, "buckets", buckets);
    return model;
}

static json_t *executions_model(const struct sandbox *s)
{
    const struct execution_numbers *n = sandbox_execution_numbers(s);
    json_t *ended = json_object();
    json_int_t total = 0;
    for (size_t i = 0; i < EXECUTION_STATUSES_MOST && execution_status_word(i); i++) {
        total += n->ended[i];
        if (n->ended[i])
            json_object_set_new(ended, execution_status_word(i), json_integer(n->ended[i]));
    }
    return json_pack("{s:I, s:I, s:o, s:o, s:I, s:o, s:o}", "open",
                     (json_int_t)sandbox_executions_open(s), "ended", total, "by_status", ended,
                     "cpu_ms", rounded(n->cpu_ms), "output_bytes", (json_int_t)n->output_bytes,
                     "queue_ms", timing_model(&n->queue), "run_ms", timing_model(&n->run));
}

json_t *v1_code_cache_model(const struct code_cache *cache)
{
    if (!cache->known)
        return json_null();
    double all = (double)(cache->hits + cache->misses);
    return json_pack("{s:I, s:I, s:I, s:I, s:o}", "cached_compilations", (json_int_t)cache->cached,
                     "bytes", (json_int_t)cache->bytes, "hits", (json_int_t)cache->hits, "misses",
                     (json_int_t)cache->misses, "hit_ratio",
                     all > 0 ? json_real((double)cache->hits / all) : json_null());
}

static void add_cache(void *user, struct kernel *k)
{
    struct code_cache *sum = user;
    const struct code_cache *one = context_code_cache(k);
    sum->known = true;
    sum->cached += one->cached;
    sum->bytes += one->bytes;
    sum->hits += one->hits;
    sum->misses += one->misses;
}

static json_t *time_model(struct timespec when)
{
    char text[TIME_TEXT];
    time_text(when, text);
    return json_string(text);
}

static json_t *metrics_model(const struct sandbox *s, struct core *core)
{
    struct code_cache cache = {.known = true};
    struct timespec created = sandbox_created(s), started = core_started(core), now;
    bool newer = created.tv_sec > started.tv_sec ||
                 (created.tv_sec == started.tv_sec && created.tv_nsec > started.tv_nsec);
    json_t *usage = sandbox_last_usage(s);
    clock_gettime(CLOCK_REALTIME, &now);
    contexts_each(s, add_cache, &cache);
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:{s:I}, s:o}", "sandbox_id", sandbox_id(s),
                     "since", time_model(newer ? created : started), "measured", time_model(now),
                     "usage", usage ? json_incref(usage) : json_null(), "executions",
                     executions_model(s), "commands", "running", (json_int_t)command_runs_count(s),
                     "code_cache", v1_code_cache_model(&cache));
}

/* A reply that needs the usage first; the sandbox may be gone by then. */
struct measured {
    struct exchange *x;
    struct core *core;
};

/* model is taken. Three digits behind the point stay three. */
static void reply(struct exchange *x, json_t *model)
{
    scoped(json) json_t *taken = model;
    scoped(buffer) struct buffer text = {0};
    scoped(string) char *dumped = json_dumps(taken, JSON_COMPACT | JSON_REAL_PRECISION(15));
    buffer_add_text(&text, dumped);
    v1_reply_text(x, 200, &text);
}

static void on_measured(void *user)
{
    struct measured *m = user;
    struct exchange *x = m->x;
    struct err e = {0};
    struct sandbox *s =
        sandboxes_find_any(m->core, exchange_principal(x), exchange_param(x, "id"), &e);
    if (s)
        reply(x, metrics_model(s, m->core));
    else
        exchange_fail(x, &e);
    free(m);
}

void v1_sandbox_metrics(struct exchange *x, void *core)
{
    struct err e = {0};
    struct sandbox *s =
        sandboxes_find_any(core, exchange_principal(x), exchange_param(x, "id"), &e);
    if (!s) {
        exchange_fail(x, &e);
        return;
    }
    struct measured *m = xmalloc(sizeof(*m));
    *m = (struct measured){x, core};
    sandbox_measure(s, on_measured, m);
}
