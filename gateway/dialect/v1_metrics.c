/* /metrics: one table of what Prometheus reads. Times and sizes are in base units, counters end in
 * _total. Source: prometheus.io, "Exposition formats" and "Metric and label naming". */
#include <inttypes.h>
#include <stdio.h>

#include "gateway/core/execution.h"
#include "gateway/core/execution_numbers.h"
#include "gateway/core/numbers.h"
#include "gateway/core/sandbox.h"
#include "gateway/dialect/v1.h"
#include "gateway/net/server.h"
#include "protocol/ids.h"
#include "protocol/memory.h"

struct page {
    struct exchange *x;
    struct core *core;
    struct core_numbers core_numbers;
    struct server_numbers server_numbers;
    struct buffer text;
};

struct metric {
    const char *name;
    const char *type;
    const char *help;
    void (*values)(const struct metric *metric, struct page *page);
    size_t offset;     /* of the int64_t in what values reads */
    const char *usage; /* of a sandbox: the member of its usage */
};

static int64_t at(const void *base, size_t offset)
{
    return *(const int64_t *)(const void *)((const char *)base + offset);
}

static void of_core(const struct metric *metric, struct page *page)
{
    buffer_printf(&page->text, "%s %" PRId64 "\n", metric->name,
                  at(&page->core_numbers, metric->offset));
}

static void of_server(const struct metric *metric, struct page *page)
{
    buffer_printf(&page->text, "%s %" PRId64 "\n", metric->name,
                  at(&page->server_numbers, metric->offset));
}

static void of_kernels(const struct metric *metric, struct page *page)
{
    for (int state = 0; state < NUMBERS_STATES; state++)
        buffer_printf(&page->text, "%s{state=\"%s\"} %" PRId64 "\n", metric->name,
                      kernel_state_name((enum kernel_state)state),
                      page->core_numbers.kernels[state]);
}

static void of_pools(const struct metric *metric, struct page *page)
{
    for (size_t i = 0; i < page->core_numbers.pool_count; i++) {
        const struct pool_numbers *pool = &page->core_numbers.pools[i];
        buffer_printf(&page->text, "%s{pool=\"%s\"} %" PRId64 "\n", metric->name, pool->name,
                      at(pool, metric->offset));
    }
}

static void of_keepers(const struct metric *metric, struct page *page)
{
    for (size_t i = 0; i < NUMBERS_KEEPERS; i++) {
        const struct keeper_numbers *keeper = &page->core_numbers.keepers[i];
        if (keeper->used)
            buffer_printf(&page->text, "%s{keeper=\"%s\"} %" PRId64 "\n", metric->name,
                          keeper->name, at(keeper, metric->offset));
    }
}

static void of_keepers_up(const struct metric *metric, struct page *page)
{
    for (size_t i = 0; i < NUMBERS_KEEPERS; i++) {
        const struct keeper_numbers *keeper = &page->core_numbers.keepers[i];
        if (keeper->used)
            buffer_printf(&page->text, "%s{keeper=\"%s\"} %d\n", metric->name, keeper->name,
                          metric->offset ? keeper->forks_ready : keeper->up);
    }
}

static void of_requests(const struct metric *metric, struct page *page)
{
    for (int class = 1; class <= 5; class ++)
        buffer_printf(&page->text, "%s{status=\"%dxx\"} %" PRId64 "\n", metric->name, class,
                      page->server_numbers.replies[class]);
}

struct sandbox_line {
    const struct metric *metric;
    struct buffer *text;
};

static void add_sandbox(void *user, struct sandbox *s)
{
    const struct sandbox_line *line = user;
    json_t *value = json_object_get(sandbox_last_usage(s), line->metric->usage);
    if (json_is_number(value))
        buffer_printf(line->text, "%s{sandbox=\"%s\"} %.17g\n", line->metric->name, sandbox_id(s),
                      json_number_value(value));
}

static void of_sandboxes(const struct metric *metric, struct page *page)
{
    struct sandbox_line line = {metric, &page->text};
    sandboxes_each(page->core, exchange_principal(page->x), add_sandbox, &line);
}

static void of_executions(const struct metric *metric, struct page *page)
{
    const struct execution_numbers *n = core_execution_numbers(page->core);
    for (size_t i = 0; i < EXECUTION_STATUSES_MOST && execution_status_word(i); i++)
        if (execution_status_ends(i))
            buffer_printf(&page->text, "%s{status=\"%s\"} %" PRId64 "\n", metric->name,
                          execution_status_word(i), n->ended[i]);
}

static void of_executions_total(const struct metric *metric, struct page *page)
{
    buffer_printf(&page->text, "%s %" PRId64 "\n", metric->name,
                  at(core_execution_numbers(page->core), metric->offset));
}

static void of_execution_cpu(const struct metric *metric, struct page *page)
{
    buffer_printf(&page->text, "%s %.6f\n", metric->name,
                  core_execution_numbers(page->core)->cpu_ms / 1000);
}

/* Counts add up, and times are seconds. */
static void of_timing(const struct metric *metric, struct page *page)
{
    const struct timing *t =
        (const struct timing *)(const void *)((const char *)core_execution_numbers(page->core) +
                                              metric->offset);
    int64_t below = 0;
    for (size_t i = 0; i < TIMING_BOUNDS; i++) {
        below += t->buckets[i];
        buffer_printf(&page->text, "%s_bucket{le=\"%g\"} %" PRId64 "\n", metric->name,
                      timing_bounds_ms[i] / 1000, below);
    }
    buffer_printf(&page->text, "%s_bucket{le=\"+Inf\"} %" PRId64 "\n", metric->name, t->count);
    buffer_printf(&page->text, "%s_sum %.6f\n%s_count %" PRId64 "\n", metric->name,
                  t->sum_ms / 1000, metric->name, t->count);
}

static void of_start(const struct metric *metric, struct page *page)
{
    struct timespec started = core_started(page->core);
    buffer_printf(&page->text, "%s %lld.%03ld\n", metric->name, (long long)started.tv_sec,
                  started.tv_nsec / 1000000);
}

#define CORE(field)   .values = of_core, .offset = offsetof(struct core_numbers, field)
#define SERVER(field) .values = of_server, .offset = offsetof(struct server_numbers, field)
#define POOL(field)   .values = of_pools, .offset = offsetof(struct pool_numbers, field)
#define EXECUTIONS(field)                                                                          \
    .values = of_executions_total, .offset = offsetof(struct execution_numbers, field)
#define TIMING(field) .values = of_timing, .offset = offsetof(struct execution_numbers, field)
#define KEEPER(field) .values = of_keepers, .offset = offsetof(struct keeper_numbers, field)
#define USAGE(member) .values = of_sandboxes, .usage = member

static const struct metric table[] = {
    {"warmcell_start_time_seconds", "gauge", "When the gateway began, since the epoch.",
     .values = of_start},
    {"warmcell_kernels", "gauge", "Kernels, those of sandboxes too.", .values = of_kernels},
    {"warmcell_kernels_started_total", "counter", "Hosts that were started.",
     CORE(kernels_started)},
    {"warmcell_kernels_died_total", "counter", "Kernels that ended unasked and stayed dead.",
     CORE(kernels_died)},
    {"warmcell_retention_passes_total", "counter",
     "Times that what is old was looked for by the clock.", CORE(retention_passes)},
    {"warmcell_kernel_messages_total", "counter", "Messages from kernels.", CORE(messages_out)},
    {"warmcell_kernel_message_bytes_total", "counter", "Their bytes.", CORE(message_bytes_out)},
    {"warmcell_client_messages_total", "counter", "Messages from clients to kernels.",
     CORE(messages_in)},
    {"warmcell_client_message_bytes_total", "counter", "Their bytes.", CORE(message_bytes_in)},
    {"warmcell_sandboxes", "gauge", "Sandboxes that live.", CORE(sandboxes)},
    {"warmcell_commands_running", "gauge", "Commands that run in sandboxes.",
     CORE(commands_running)},
    {"warmcell_commands_started_total", "counter", "Commands that were begun.",
     CORE(commands_started)},
    {"warmcell_executions_total", "counter", "Executions that have ended.",
     .values = of_executions},
    {"warmcell_execution_run_seconds", "histogram", "How long executions ran.", TIMING(run)},
    {"warmcell_execution_queue_seconds", "histogram", "How long they waited.", TIMING(queue)},
    {"warmcell_execution_cpu_seconds_total", "counter",
     "CPU time that their interpreters say they used.", .values = of_execution_cpu},
    {"warmcell_execution_output_bytes_total", "counter", "What they put out.",
     EXECUTIONS(output_bytes)},
    {"warmcell_code_cache_hits_total", "counter", "Executions that compiled nothing.",
     EXECUTIONS(cache_hits)},
    {"warmcell_code_cache_misses_total", "counter", "Executions whose cell was compiled.",
     EXECUTIONS(cache_misses)},
    {"warmcell_pool_target", "gauge", "How many a pool shall hold.", POOL(target)},
    {"warmcell_pool_ready", "gauge", "How many could be handed out now.", POOL(ready)},
    {"warmcell_pool_hits_total", "counter", "Requests that a pool answered.", POOL(hits)},
    {"warmcell_pool_misses_total", "counter", "Requests that found a pool empty.", POOL(misses)},
    {"warmcell_keeper_up", "gauge", "1: the keeper answers.", .values = of_keepers_up},
    {"warmcell_keeper_starts_total", "counter", "Times that the gateway started it.",
     KEEPER(starts)},
    {"warmcell_keeper_processes", "gauge", "Processes that it started and that live.",
     KEEPER(processes)},
    {"warmcell_keeper_forks_total", "counter", "Interpreters that were forked.", KEEPER(forks)},
    {"warmcell_keeper_cold_starts_total", "counter", "Interpreters that were started cold.",
     KEEPER(cold)},
    {"warmcell_fork_server_ready", "gauge", "1: the keeper's fork server can fork.",
     .values = of_keepers_up, .offset = 1},
    {"warmcell_fork_server_generation", "gauge", "Which fork server of the keeper this is.",
     KEEPER(generation)},
    {"warmcell_sandbox_cpu_seconds_total", "counter", "CPU time that a sandbox used.",
     USAGE("cpu_s")},
    {"warmcell_sandbox_memory_bytes", "gauge", "Memory that it uses.", USAGE("memory_bytes")},
    {"warmcell_sandbox_memory_peak_bytes", "gauge", "The most that it used.",
     USAGE("memory_peak_bytes")},
    {"warmcell_sandbox_processes", "gauge", "Its processes.", USAGE("processes")},
    {"warmcell_sandbox_disk_bytes", "gauge", "Bytes in its workspace.", USAGE("disk_bytes")},
    {"warmcell_connections", "gauge", "Open connections.", SERVER(connections)},
    {"warmcell_websockets", "gauge", "Those of them that are WebSockets.", SERVER(websockets)},
    {"warmcell_http_requests_total", "counter", "Requests that were answered.",
     .values = of_requests},
};

static void on_measured(void *user)
{
    struct page *page = user;
    core_count(page->core, &page->core_numbers);
    exchange_server_numbers(page->x, &page->server_numbers);
    for (size_t i = 0; i < countof(table); i++) {
        buffer_printf(&page->text, "# HELP %s %s\n# TYPE %s %s\n", table[i].name, table[i].help,
                      table[i].name, table[i].type);
        table[i].values(&table[i], page);
    }
    exchange_reply(page->x, 200, "text/plain; version=0.0.4; charset=utf-8",
                   buffer_view(&page->text));
    buffer_free(&page->text);
    free(page);
}

void v1_metrics(struct exchange *x, void *core)
{
    struct page *page = xcalloc(1, sizeof(*page));
    page->x = x;
    page->core = core;
    core_measure(core, on_measured, page);
}
