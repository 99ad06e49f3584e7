/* What a principal has of what quotas bound (net/allowance.h). */
#ifndef WARMCELL_GATEWAY_CORE_USAGE_H
#define WARMCELL_GATEWAY_CORE_USAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/err.h"

struct core;

/* Of its sandboxes, paused ones too; of the contexts of those that are not paused and not dead, at
 * least one each; the sum of the limits of memory of the same; and that of the limits of all
 * workspaces, for a paused one keeps its own, and of the seeds of its templates. */
struct usage {
    int64_t sandboxes, kernels, memory_bytes, disk_bytes;
};

void usage_of(const struct core *c, const char *principal, struct usage *out);

/* Whose quotas hold; NULL: nobody's. account: the id of a token that has quotas of its own
 * (tokens_account), for the sandboxes that were made with it; "" as NULL. */
struct usage_payer {
    const char *principal, *account;
};

/* May they have more? What does not grow is not asked. 403 with the quota; a limit of 0 (none) of a
 * sandbox is more than any quota allows. */
struct limits;
bool usage_allows(const struct core *c, struct usage_payer payer, const struct usage *more,
                  struct err *e);
/* The same for more of a sandbox that there is. */
struct sandbox;
bool usage_allows_sandbox(const struct sandbox *s, const struct usage *more, struct err *e);
/* The memory and the disk that limits stand for. */
void usage_add_limits(struct usage *u, const struct limits *limits, bool runs);

#endif
