/* The core in numbers, for whoever watches over it. */
#ifndef WARMCELL_GATEWAY_CORE_NUMBERS_H
#define WARMCELL_GATEWAY_CORE_NUMBERS_H

#include <stdint.h>

#include "gateway/core/core.h"
#include "gateway/core/kernel.h"

#define NUMBERS_STATES  (KERNEL_DEAD + 1)
#define NUMBERS_POOLS   19 /* two, those with a template, and one for all others */
#define NUMBERS_KEEPERS 3

struct pool_numbers {
    const char *name; /* "owner", "sandbox", the id of a template, "other"; borrowed */
    int64_t target, ready, hits, misses;
};

struct keeper_numbers {
    const char *name; /* "owner", "sandbox", "sandbox-best-effort" */
    bool used;        /* false: it was not needed yet; the rest is 0 */
    bool up;
    bool forks_ready; /* its fork server is */
    int64_t starts;   /* of the keeper, by this gateway */
    int64_t generation, forks, cold, processes;
};

struct core_numbers {
    int64_t kernels[NUMBERS_STATES]; /* by enum kernel_state; what callers see */
    int64_t sandboxes;
    int64_t kernels_started, kernels_died;
    int64_t retention_passes;
    int64_t commands_running, commands_started;
    int64_t messages_out, message_bytes_out;  /* from kernels, into their journals */
    int64_t messages_in, message_bytes_in;    /* from clients to kernels */
    struct pool_numbers pools[NUMBERS_POOLS]; /* those of one name are added up */
    size_t pool_count;
    struct keeper_numbers keepers[NUMBERS_KEEPERS];
};

/* As it is now; valid until control returns to the loop. */
void core_count(const struct core *c, struct core_numbers *out);

/* Asks keepers and sandboxes for what only they know (for core_count and sandbox_last_usage); done
 * is called once, at once or later. */
void core_measure(struct core *c, void (*done)(void *user), void *user);

#endif
