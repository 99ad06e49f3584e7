/* Counted anew each time: a few additions for each sandbox, and never wrong. Limits are counted,
 * not what was measured: who is let in has what was promised, whatever the others do later. */
#include "gateway/core/usage.h"

#include <string.h>

#include "gateway/core/state.h"
#include "gateway/core/template_seed.h"
#include "gateway/net/allowance.h"

#define UNBOUNDED INT64_C(1000000000000000000) /* what no limit stands for */

static int64_t sum(int64_t a, int64_t b)
{
    return a > UNBOUNDED - b ? UNBOUNDED : a + b;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a == 0 || b == 0 ? 0 : a > b ? a : b;
}

void usage_add_limits(struct usage *u, const struct limits *limits, bool runs)
{
    int64_t memory = limits->memory_bytes ? limits->memory_bytes : UNBOUNDED;
    int64_t disk = limits->workspace_bytes ? limits->workspace_bytes : UNBOUNDED;
    if (runs)
        u->memory_bytes = sum(u->memory_bytes, memory);
    u->disk_bytes = sum(u->disk_bytes, disk);
}

static int64_t kernels_of(const struct sandbox *s)
{
    int64_t count = 0;
    for (const struct kernel *k = s->kernel; k; k = k->sibling)
        count += k->state != KERNEL_DEAD;
    int64_t coming = s->resuming ? (int64_t)json_array_size(sandbox_paused_contexts(s)) : 1;
    return count > coming ? count : coming;
}

static bool pays(const struct sandbox *s, struct usage_payer payer)
{
    return payer.principal ? strcmp(s->owner, payer.principal) == 0
                           : strcmp(s->account, payer.account) == 0;
}

/* Of one of the two. */
static void add_up(const struct core *c, struct usage_payer payer, struct usage *out)
{
    *out = (struct usage){0};
    for (size_t i = 0; i < c->sandbox_count; i++) {
        const struct sandbox *s = c->sandboxes[i];
        struct limits limits = s->limits;
        bool runs = !s->paused || s->resuming;
        if (!pays(s, payer) || s->pooled || (s->kernel && s->kernel->pooled))
            continue;
        if (s->wanted) { /* a change under way may still come about */
            limits.memory_bytes = larger(limits.memory_bytes, s->wanted->memory_bytes);
            limits.workspace_bytes = larger(limits.workspace_bytes, s->wanted->workspace_bytes);
        }
        out->sandboxes++;
        out->kernels += runs ? kernels_of(s) : 0;
        usage_add_limits(out, &limits, runs);
    }
}

void usage_of(const struct core *c, const char *principal, struct usage *out)
{
    add_up(c, (struct usage_payer){.principal = principal}, out);
    out->disk_bytes = sum(out->disk_bytes, templates_seed_bytes(c, principal));
}

static int64_t at(const void *base, size_t offset)
{
    return *(const int64_t *)(const void *)((const char *)base + offset);
}

static bool fits(const char *who, const struct allowance *allowance, const struct usage *used,
                 const struct usage *more, struct err *e)
{
    static const struct {
        const char *name, *has;
        size_t used, limit;
    } rows[] = {
        {"sandboxes", "sandboxes", offsetof(struct usage, sandboxes),
         offsetof(struct allowance, sandboxes)},
        {"kernels", "running kernels", offsetof(struct usage, kernels),
         offsetof(struct allowance, kernels)},
        {"memory_bytes", "bytes of memory for sandboxes", offsetof(struct usage, memory_bytes),
         offsetof(struct allowance, memory_bytes)},
        {"disk_bytes", "bytes for workspaces", offsetof(struct usage, disk_bytes),
         offsetof(struct allowance, disk_bytes)},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int64_t limit = at(allowance, rows[i].limit), has = at(used, rows[i].used);
        int64_t wants = at(more, rows[i].used);
        if (limit > 0 && wants > 0 && sum(has, wants) > limit)
            return fail_quota(e, 403, &(struct err_quota){rows[i].name, limit, has},
                              "Resource Limit: %s has %lld %s, and %lld is the most allowed", who,
                              (long long)has, rows[i].has, (long long)limit);
    }
    return true;
}

bool usage_allows(const struct core *c, struct usage_payer payer, const struct usage *more,
                  struct err *e)
{
    struct usage used;
    struct allowance allowance;
    if (payer.principal) {
        usage_of(c, payer.principal, &used);
        allowance_of(&c->settings->net.quota, payer.principal, &allowance);
        if (!fits(payer.principal, &allowance, &used, more, e))
            return false;
    }
    if (!payer.account || !*payer.account || !tokens_allowance_of(c, payer.account, &allowance))
        return true;
    scoped(string) char *who = xasprintf("token %s", payer.account);
    add_up(c, (struct usage_payer){.account = payer.account}, &used);
    return fits(who, &allowance, &used, more, e);
}

bool usage_allows_sandbox(const struct sandbox *s, const struct usage *more, struct err *e)
{
    struct usage_payer payer = {s->bounded ? s->owner : NULL, s->account};
    return usage_allows(s->core, payer, more, e);
}
