/* Control groups, one version behind one struct of functions, and where this process has its own.
 *
 * Everything works on descriptors of directories: the keeper leaves the host's file system after it
 * has opened them. */
#ifndef WARMCELL_SANDBOX_CGROUP_H
#define WARMCELL_SANDBOX_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/err.h"
#include "sandbox/limits.h"

/* What a hierarchy can do for us; a set of these. */
enum cgroup_controller {
    CGROUP_MEMORY = 1,
    CGROUP_CPU = 2,
    CGROUP_CPUACCT = 4, /* counts CPU time; version 2 always does */
    CGROUP_PIDS = 8,
};
#define CGROUP_ALL (CGROUP_MEMORY | CGROUP_CPU | CGROUP_CPUACCT | CGROUP_PIDS)

/* What a group used; -1: not known here. */
struct cgroup_usage {
    int64_t cpu_us;
    int64_t memory_bytes;      /* without page cache that can be dropped at once */
    int64_t memory_peak_bytes; /* with page cache */
    int64_t oom_kills;
    int64_t processes;
};

struct cgroup_kind {
    const char *name; /* "cgroup-v1": what share_enforced says */
    /* The file of a group through which a thread that has no others enters by writing "0" to it,
     * in some 0.03 ms. To move another process locks out every fork of the machine, and after a
     * quiet time it takes the kernel some 10 ms to get there. NULL: none. */
    const char *door;
    /* Those of `wanted` that lend could ready, as far as can be seen without changing anything. */
    unsigned (*offers)(int own, unsigned wanted);
    /* Readies own for groups below it: those of `wanted` that it can lend. why (may be NULL) is
     * filled where something is not lent. */
    unsigned (*lend)(int own, unsigned wanted, struct err *why);
    /* Those of `wanted` whose files are in the group. */
    unsigned (*has)(int group, unsigned wanted);
    /* Lets the groups made below have them too. */
    bool (*pass_on)(int group, unsigned controllers, struct err *e);
    /* 0: no limit. 409: below what is in use. See cgroup_limit. */
    bool (*limit_memory)(int group, int64_t bytes, struct err *e);
    bool (*limit_cpu)(int group, int64_t millis, struct err *e);
    /* Fills what `controllers` can tell and leaves the rest. */
    void (*usage)(int group, unsigned controllers, struct cgroup_usage *out);
    /* SIGKILL to everything inside, so that nothing forked meanwhile is missed. */
    void (*kill)(int group);
};

extern const struct cgroup_kind cgroup_v1, cgroup_v2;

/* Our own cgroup in one hierarchy. */
struct cgroup_place {
    int version;          /* 1, 2 */
    unsigned controllers; /* of version 1; version 2 says so in cgroup.controllers */
    char path[PATH_MAX];
};
#define CGROUP_PLACES_MOST 5

/* Reads /proc/self/cgroup and /proc/self/mountinfo (their texts): which hierarchies are mounted,
 * and where our own cgroup is in each. One that is mounted without our own cgroup below its root is
 * left out. How many. */
size_t cgroup_find(const char *self_cgroup, const char *mountinfo,
                   struct cgroup_place out[CGROUP_PLACES_MOST]);

/* --- the files of a group (cgroup_file.c) */

/* One write. false: errno says why. */
bool cgroup_write(int group, const char *file, const char *text);
bool cgroup_write_number(int group, const char *file, int64_t number);
/* The text of a small file, cut at size - 1; empty when it cannot be read. */
void cgroup_read(int group, const char *file, char *text, size_t size);
/* A file of one number. -1: none there, or "max". */
int64_t cgroup_number(int group, const char *file);
/* The number behind `key` in a file of "key number" lines; -1. */
int64_t cgroup_keyed(int group, const char *file, const char *key);
bool cgroup_exists(int group, const char *file);
/* Calls on_pid for every process in it; how many. -1: the file cannot be read. */
int cgroup_each(int group, bool (*on_pid)(pid_t pid, void *data), void *data);
/* Sets those limits that the group's controllers can hold. 409: the limit of memory is below what
 * is in use; what was set before that stays. */
bool cgroup_limit(const struct cgroup_kind *kind, int group, unsigned controllers,
                  const struct limits *l, struct err *e);
/* SIGKILL to one process after the other, with no room for new ones where processes are limited. */
void cgroup_kill_each(int group);

#endif
