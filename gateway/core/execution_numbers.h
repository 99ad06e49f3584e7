/* Executions in numbers: how many ended how, how long they waited and ran, and what the code cache
 * of an interpreter says of itself. Of a sandbox, and of all together, since this gateway began. */
#ifndef WARMCELL_GATEWAY_CORE_EXECUTION_NUMBERS_H
#define WARMCELL_GATEWAY_CORE_EXECUTION_NUMBERS_H

#include "gateway/core/context.h"
#include "gateway/core/core.h"

#define TIMING_BOUNDS           16
#define EXECUTION_STATUSES_MOST 16

extern const double timing_bounds_ms[TIMING_BOUNDS]; /* upper ones, rising */

struct timing {
    int64_t count;
    double sum_ms, max_ms;
    int64_t buckets[TIMING_BOUNDS + 1]; /* each its own; the last is beyond all bounds */
};

void timing_add(struct timing *t, double ms);
/* As Prometheus' histogram_quantile has it: within the bucket in which it lies. share: 0..1. */
double timing_quantile_ms(const struct timing *t, double share);

struct execution_numbers {
    int64_t ended[EXECUTION_STATUSES_MOST]; /* by execution_status_word */
    struct timing queue, run;               /* of those that ran */
    double cpu_ms;
    int64_t output_bytes;
    int64_t cache_hits, cache_misses; /* of those whose interpreter said which */
};

/* One has ended. outcome: as the store has it; NULL: nothing is known. */
void execution_numbers_add(struct execution_numbers *n, const char *status, const char *outcome);

/* Of an interpreter, as its last reply said; it counts every cell, whoever sent it. */
struct code_cache {
    bool known;
    int64_t cached, bytes, hits, misses;
};

/* metadata: raw, of an execute_reply. Other kernels say nothing of it. */
void code_cache_read(struct code_cache *cache, struct bytes metadata);

/* Borrowed and valid until control returns to the loop. */
const struct execution_numbers *sandbox_execution_numbers(const struct sandbox *s);
const struct execution_numbers *core_execution_numbers(const struct core *c);
const struct code_cache *context_code_cache(const struct kernel *k);
size_t sandbox_executions_open(const struct sandbox *s); /* they wait, or run */

#endif
