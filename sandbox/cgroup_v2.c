/* Control groups of version 2: one tree, and controllers that a group hands down to those below it.
 *
 * The kernel lets a group hand down controllers only while no process is in it (its real root
 * excepted), so the processes of our own group move into a leaf beside our groups before that. A
 * keeper that starts later finds itself in that leaf and takes the folder above it. */
#include "sandbox/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/governor.h"

#define PERIOD_US INT64_C(100000)

static const struct controller {
    unsigned bit;
    const char *name;
    const char *file; /* is in every group that has the controller */
} table[] = {
    {CGROUP_MEMORY, "memory", "memory.max"},
    {CGROUP_CPU, "cpu", "cpu.max"},
    {CGROUP_CPUACCT, NULL, "cpu.stat"},
    {CGROUP_PIDS, "pids", "pids.max"},
};
#define CONTROLLERS (sizeof table / sizeof table[0])

static bool word_in(const char *text, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = strstr(text, word); at; at = strstr(at + 1, word))
        if ((at == text || at[-1] == ' ') && (at[len] == '\0' || at[len] == ' ' || at[len] == '\n'))
            return true;
    return false;
}

/* The controllers that a file of ours names. */
static unsigned named(int group, const char *file)
{
    char text[512];
    unsigned set = 0;
    cgroup_read(group, file, text, sizeof text);
    for (size_t i = 0; i < CONTROLLERS; i++)
        if (table[i].name && word_in(text, table[i].name))
            set |= table[i].bit;
    return set;
}

/* One by one: one that cannot be had does not keep the others away. The ones that were refused. */
static unsigned hand_down(int group, unsigned wanted)
{
    unsigned refused = 0;
    for (size_t i = 0; i < CONTROLLERS; i++) {
        char word[16];
        if (!table[i].name || !(wanted & table[i].bit))
            continue;
        snprintf(word, sizeof word, "+%s", table[i].name);
        if (!cgroup_write(group, "cgroup.subtree_control", word))
            refused |= table[i].bit;
    }
    return refused;
}

static bool on_pid_move(pid_t pid, void *data)
{
    const int *leaf = data;
    /* one that ended meanwhile (ESRCH) is as good as moved; one that may not be moved shows in the
     * next round, which finds it still there */
    cgroup_write_number(*leaf, "cgroup.procs", pid);
    return true;
}

/* Moves what runs in own into the leaf. A process that forks while it is moved needs another round.
 */
static bool make_room(int own)
{
    if (mkdirat(own, GOVERNOR_LEAF, 0755) != 0 && errno != EEXIST)
        return false;
    int leaf = openat(own, GOVERNOR_LEAF, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (leaf < 0)
        return false;
    int left = 1;
    for (int round = 0; left > 0 && round < 16; round++) {
        cgroup_each(own, on_pid_move, &leaf);
        left = cgroup_each(own, NULL, NULL);
    }
    close(leaf);
    errno = EBUSY;
    return left == 0;
}

static unsigned offers(int own, unsigned wanted)
{
    unsigned can = named(own, "cgroup.controllers") & wanted;
    bool writable = faccessat(own, "cgroup.subtree_control", W_OK, AT_EACCESS) == 0 &&
                    faccessat(own, ".", W_OK, AT_EACCESS) == 0;
    return can && writable ? can | (wanted & CGROUP_CPUACCT) : 0;
}

static unsigned lend(int own, unsigned wanted, struct err *why)
{
    unsigned can = named(own, "cgroup.controllers") & wanted;
    unsigned already = named(own, "cgroup.subtree_control") & can;
    unsigned refused = can & ~already;
    /* Room first: handing down cpu or pids from a group with processes would be allowed, but turn
     * it into a domain of threads, which can never hand down memory. The real root, which has no
     * cgroup.type, keeps its processes. */
    bool room = !refused || !cgroup_exists(own, "cgroup.type") ||
                cgroup_each(own, NULL, NULL) == 0 || make_room(own);
    if (room)
        refused = hand_down(own, refused);
    if (refused)
        fail_errno(why, 503, "our own control group cannot hand down its controllers");
    can &= ~refused;
    return can ? can | (wanted & CGROUP_CPUACCT) : 0;
}

static unsigned has(int group, unsigned wanted)
{
    unsigned set = 0;
    for (size_t i = 0; i < CONTROLLERS; i++)
        if ((wanted & table[i].bit) && cgroup_exists(group, table[i].file))
            set |= table[i].bit;
    return set;
}

static bool pass_on(int group, unsigned controllers, struct err *e)
{
    return hand_down(group, controllers) == 0 ||
           fail_errno(e, 503, "a control group cannot hand down its controllers");
}

/* Lowering memory.max below what is in use would end processes at once, where the change should be
 * refused instead. Page cache is no obstacle: it is dropped. */
static bool limit_memory(int group, int64_t bytes, struct err *e)
{
    int64_t used = cgroup_number(group, "memory.current");
    int64_t cache = cgroup_keyed(group, "memory.stat", "file");
    int64_t shared = cgroup_keyed(group, "memory.stat", "shmem");
    if (cache > 0)
        used -= cache - (shared > 0 ? shared : 0);
    if (bytes && used > bytes)
        return fail(e, 409, "memory_bytes: %lld bytes are in use, more than %lld", (long long)used,
                    (long long)bytes);
    bool done = bytes ? cgroup_write_number(group, "memory.max", bytes)
                      : cgroup_write(group, "memory.max", "max");
    if (!done)
        return fail_errno(e, 503, "cannot limit the memory of a control group");
    /* absent where the machine has no swap. Groups of a sandbox end one process at a time
     * (memory.oom.group stays 0): a hungry child of a cell should not take the interpreter, its
     * variables and the sandbox's other contexts with it. */
    if (cgroup_exists(group, "memory.swap.max") &&
        !cgroup_write(group, "memory.swap.max", bytes ? "0" : "max"))
        return fail_errno(e, 503, "cannot keep a control group out of swap");
    return true;
}

static bool limit_cpu(int group, int64_t millis, struct err *e)
{
    char text[64];
    if (millis)
        snprintf(text, sizeof text, "%lld %lld", (long long)(millis * PERIOD_US / 1000),
                 (long long)PERIOD_US);
    else
        snprintf(text, sizeof text, "max %lld", (long long)PERIOD_US);
    return cgroup_write(group, "cpu.max", text) ||
           fail_errno(e, 503, "cannot limit the CPU time of a control group");
}

static void usage(int group, unsigned controllers, struct cgroup_usage *out)
{
    if (controllers & CGROUP_MEMORY) {
        int64_t all = cgroup_number(group, "memory.current");
        int64_t cache = cgroup_keyed(group, "memory.stat", "inactive_file");
        out->memory_bytes = cache > 0 && cache < all ? all - cache : all;
        out->memory_peak_bytes = cgroup_number(group, "memory.peak"); /* since Linux 5.19 */
        out->oom_kills = cgroup_keyed(group, "memory.events", "oom_kill");
    }
    if (controllers & CGROUP_CPUACCT)
        out->cpu_us = cgroup_keyed(group, "cpu.stat", "usage_usec");
    if (controllers & CGROUP_PIDS)
        out->processes = cgroup_number(group, "pids.current");
}

static void kill_all(int group)
{
    if (!cgroup_write(group, "cgroup.kill", "1")) /* since Linux 5.14 */
        cgroup_kill_each(group);
}

const struct cgroup_kind cgroup_v2 = {
    .name = "cgroup-v2",
    .offers = offers,
    .lend = lend,
    .has = has,
    .pass_on = pass_on,
    .limit_memory = limit_memory,
    .limit_cpu = limit_cpu,
    .usage = usage,
    .kill = kill_all,
};
