/* What is counted as executions end. Called by execution_fold.c and stream.c; read by the dialect.
 */
#include "gateway/core/execution_numbers.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/core/execution_state.h"
#include "gateway/core/state.h"
#include "protocol/json.h"

const double timing_bounds_ms[TIMING_BOUNDS] = {1,   2,    5,    10,   20,    50,    100,   200,
                                                500, 1000, 2000, 5000, 10000, 30000, 60000, 300000};

void timing_add(struct timing *t, double ms)
{
    size_t i = 0;
    while (i < TIMING_BOUNDS && ms > timing_bounds_ms[i])
        i++;
    t->buckets[i]++;
    t->count++;
    t->sum_ms += ms;
    if (ms > t->max_ms)
        t->max_ms = ms;
}

double timing_quantile_ms(const struct timing *t, double share)
{
    double wanted = share * (double)t->count, before = 0;
    for (size_t i = 0; i < TIMING_BOUNDS; i++) {
        double here = (double)t->buckets[i], low = i ? timing_bounds_ms[i - 1] : 0;
        double high = timing_bounds_ms[i] < t->max_ms ? timing_bounds_ms[i] : t->max_ms;
        if (here > 0 && before + here >= wanted)
            return low + (high - low) * (wanted - before) / here;
        before += here;
    }
    return t->max_ms;
}

/* A number that others wrote; false: it is none, or absurd. */
static bool read_number(struct bytes raw, double *out)
{
    char text[40] = "";
    if (!raw.len || raw.len >= sizeof(text))
        return false;
    memcpy(text, raw.data, raw.len);
    char *end;
    *out = strtod(text, &end);
    return *end == '\0' && *out >= 0 && *out < 1e15;
}

static int64_t read_count(struct bytes raw)
{
    double number;
    return read_number(raw, &number) ? (int64_t)number : 0;
}

void execution_numbers_add(struct execution_numbers *n, const char *status, const char *outcome)
{
    enum { QUEUE, RUN, CPU, BYTES, HIT };
    struct slice own[] = {[QUEUE] = {.name = "queue_ms"},
                          [RUN] = {.name = "run_ms"},
                          [CPU] = {.name = "cpu_ms"},
                          [BYTES] = {.name = "output_bytes"},
                          [HIT] = {.name = "code_cache_hit"}};
    double ms;
    for (size_t i = 0; i < EXECUTION_STATUSES_MOST && execution_status_word(i); i++)
        n->ended[i] += strcmp(execution_status_word(i), status) == 0;
    if (!outcome || !json_slices(bytes_of(outcome), own, countof(own), NULL))
        return;
    if (read_number(own[QUEUE].value, &ms))
        timing_add(&n->queue, ms);
    if (read_number(own[RUN].value, &ms))
        timing_add(&n->run, ms);
    if (read_number(own[CPU].value, &ms))
        n->cpu_ms += ms;
    n->output_bytes += read_count(own[BYTES].value);
    n->cache_hits += bytes_is(own[HIT].value, "true");
    n->cache_misses += bytes_is(own[HIT].value, "false");
}

void code_cache_read(struct code_cache *cache, struct bytes metadata)
{
    struct slice found = {.name = "code_cache"};
    struct slice own[] = {
        {.name = "cached"}, {.name = "bytes"}, {.name = "hits"}, {.name = "misses"}};
    if (!json_slices(metadata, &found, 1, NULL) || !json_slice_is_object(found.value) ||
        !json_slices(found.value, own, countof(own), NULL))
        return;
    *cache = (struct code_cache){.known = true,
                                 .cached = read_count(own[0].value),
                                 .bytes = read_count(own[1].value),
                                 .hits = read_count(own[2].value),
                                 .misses = read_count(own[3].value)};
}

const struct execution_numbers *sandbox_execution_numbers(const struct sandbox *s)
{
    return &s->numbers;
}

const struct execution_numbers *core_execution_numbers(const struct core *c)
{
    return &c->numbers;
}

const struct code_cache *context_code_cache(const struct kernel *k)
{
    return &k->code_cache;
}

size_t sandbox_executions_open(const struct sandbox *s)
{
    size_t open = 0;
    for (const struct kernel *k = s->kernel; k; k = k->sibling)
        for (const struct execution *x = k->executions; x; x = x->next)
            open++;
    return open;
}
