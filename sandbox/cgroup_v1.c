/* Control groups of version 1: each controller may have a hierarchy of its own, so every function
 * gets the set that this one has. Swap counts as memory: the limit of both together is set to the
 * limit of memory, in the order that the kernel demands (the sum is never below the part). */
#include "sandbox/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define PERIOD_US INT64_C(100000)

static const struct {
    unsigned bit;
    const char *file;
} tell_tales[] = {
    {CGROUP_MEMORY, "memory.limit_in_bytes"},
    {CGROUP_CPU, "cpu.cfs_quota_us"},
    {CGROUP_CPUACCT, "cpuacct.usage"},
    {CGROUP_PIDS, "pids.max"},
};

static unsigned offers(int own, unsigned wanted)
{
    return faccessat(own, ".", W_OK, AT_EACCESS) == 0 ? wanted : 0;
}

static unsigned lend(int own, unsigned wanted, struct err *why)
{
    (void)own;
    (void)why;
    return wanted;
}

static unsigned has(int group, unsigned wanted)
{
    unsigned set = 0;
    for (size_t i = 0; i < sizeof tell_tales / sizeof tell_tales[0]; i++)
        if ((wanted & tell_tales[i].bit) && cgroup_exists(group, tell_tales[i].file))
            set |= tell_tales[i].bit;
    return set;
}

static bool pass_on(int group, unsigned controllers, struct err *e)
{
    (void)group;
    (void)controllers;
    (void)e;
    return true;
}

static bool limit_memory(int group, int64_t bytes, struct err *e)
{
    static const char part[] = "memory.limit_in_bytes", sum[] = "memory.memsw.limit_in_bytes";
    int64_t wanted = bytes ? bytes : -1;
    bool swap = cgroup_exists(group, sum);
    /* without an account of swap, the group is kept out of it; a machine without swap says EINVAL
     * or has no such file, which is as good */
    if (!swap)
        cgroup_write_number(group, "memory.swappiness", 0);
    /* raising: the sum first; lowering: the part first. The other order is refused with EINVAL. */
    bool sum_first = swap && cgroup_write_number(group, sum, wanted);
    bool done = cgroup_write_number(group, part, wanted) &&
                (!swap || sum_first || cgroup_write_number(group, sum, wanted));
    if (!done && errno == EBUSY)
        return fail(e, 409, "memory_bytes: %lld bytes are in use, more than %lld",
                    (long long)cgroup_number(group, "memory.usage_in_bytes"), (long long)bytes);
    return done || fail_errno(e, 503, "cannot limit the memory of a control group");
}

static bool limit_cpu(int group, int64_t millis, struct err *e)
{
    bool done =
        cgroup_write_number(group, "cpu.cfs_period_us", PERIOD_US) &&
        cgroup_write_number(group, "cpu.cfs_quota_us", millis ? millis * PERIOD_US / 1000 : -1);
    return done || fail_errno(e, 503, "cannot limit the CPU time of a control group");
}

static void usage(int group, unsigned controllers, struct cgroup_usage *out)
{
    if (controllers & CGROUP_MEMORY) {
        int64_t all = cgroup_number(group, "memory.usage_in_bytes");
        int64_t cache = cgroup_keyed(group, "memory.stat", "total_inactive_file");
        out->memory_bytes = cache > 0 && cache < all ? all - cache : all;
        out->memory_peak_bytes = cgroup_number(group, "memory.max_usage_in_bytes");
        out->oom_kills = cgroup_keyed(group, "memory.oom_control", "oom_kill");
    }
    if (controllers & CGROUP_CPUACCT) {
        int64_t ns = cgroup_number(group, "cpuacct.usage");
        out->cpu_us = ns < 0 ? -1 : ns / 1000;
    }
    if (controllers & CGROUP_PIDS)
        out->processes = cgroup_number(group, "pids.current");
}

const struct cgroup_kind cgroup_v1 = {
    .name = "cgroup-v1",
    .door = "tasks",
    .offers = offers,
    .lend = lend,
    .has = has,
    .pass_on = pass_on,
    .limit_memory = limit_memory,
    .limit_cpu = limit_cpu,
    .usage = usage,
    .kill = cgroup_kill_each, /* there is no cgroup.kill here */
};
