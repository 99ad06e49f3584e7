/* The account is a walk and what was added since. When something does not fit by it, and it is not
 * fresh, the caller walks again: so nothing is refused for what was removed long ago. */
#include "gateway/core/quota.h"

#include "protocol/ids.h"
#include "sandbox/disk.h"

#define FRESH_MS    1000
#define FRESH_WALKS 20
#define STEP        1024
#define BLOCK       INT64_C(4096)
#define MIB         (1024.0 * 1024.0)

void quota_begin(const struct quota *q, struct quota_count *count)
{
    count->began_ms = monotonic_ms();
    count->counted_bytes = q->added_bytes;
    count->counted_inodes = q->added_inodes;
}

void quota_walk(struct quota_count *count)
{
    struct disk_use use = {0};
    struct disk *d = disk_open(count->workspace);
    if (d) {
        disk_begin(d, 0, 0);
        while (disk_walking(d))
            disk_step(d, STEP);
        disk_now(d, &use);
    }
    disk_free(d);
    count->bytes = use.bytes;
    count->inodes = use.inodes;
    count->took_ms = monotonic_ms() - count->began_ms;
}

void quota_take(struct quota *q, const struct quota_count *count)
{
    if (count->began_ms < q->walked_ms)
        return;
    q->used_bytes = count->bytes;
    q->used_inodes = count->inodes;
    q->counted_bytes = count->counted_bytes;
    q->counted_inodes = count->counted_inodes;
    q->walked_ms = count->began_ms;
    q->walk_ms = count->took_ms;
}

bool quota_is_fresh(const struct quota *q)
{
    int64_t most = q->walk_ms * FRESH_WALKS > FRESH_MS ? q->walk_ms * FRESH_WALKS : FRESH_MS;
    return q->walked_ms && monotonic_ms() - q->walked_ms <= most;
}

int64_t quota_blocks(int64_t bytes)
{
    return bytes > INT64_MAX - BLOCK ? bytes : (bytes + BLOCK - 1) / BLOCK * BLOCK;
}

static int64_t held_bytes(const struct quota *q)
{
    return q->used_bytes + q->added_bytes - q->counted_bytes + q->reserved_bytes;
}

static int64_t held_inodes(const struct quota *q)
{
    return q->used_inodes + q->added_inodes - q->counted_inodes;
}

static int64_t left_of(int64_t limit, int64_t held)
{
    return !limit ? INT64_MAX : held < limit ? limit - held : 0;
}

void quota_left(const struct quota *q, const struct limits *l, int64_t *bytes, int64_t *inodes)
{
    *bytes = left_of(l->workspace_bytes, held_bytes(q));
    *inodes = left_of(l->workspace_inodes, held_inodes(q));
}

bool quota_fits(const struct quota *q, const struct limits *l, int64_t bytes, int64_t inodes,
                struct err *e)
{
    int64_t held = held_bytes(q), names = held_inodes(q);
    if (l->workspace_bytes && (held > l->workspace_bytes || bytes > l->workspace_bytes - held))
        return fail(e, 507,
                    "workspace_bytes: the workspace holds %.1f MiB of the %.1f MiB that its limit "
                    "allows; this needs %.1f MiB more",
                    (double)held / MIB, (double)l->workspace_bytes / MIB, (double)bytes / MIB);
    if (l->workspace_inodes && names + inodes > l->workspace_inodes)
        return fail(e, 507,
                    "workspace_inodes: the workspace holds as many files as its limit "
                    "allows, %lld",
                    (long long)l->workspace_inodes);
    return true;
}
