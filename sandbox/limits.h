/* Limits of a sandbox: what they are, who enforces each, and what was used. */
#ifndef WARMCELL_SANDBOX_LIMITS_H
#define WARMCELL_SANDBOX_LIMITS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/err.h"
#include "sandbox/confine.h"
#include "sandbox/wire.h"

/* 0: no limit. Those of time and output are enforced by the host of each kernel, all others by the
 * keeper. */
struct limits {
    int64_t memory_bytes;
    int64_t cpu_millis; /* 1000: one core; "cpus" in JSON, a number */
    int64_t processes;
    int64_t open_files;
    int64_t workspace_bytes;
    int64_t workspace_inodes;
    int64_t tmp_bytes; /* each of /tmp, HOME and /dev/shm */
    int64_t output_bytes;
    int64_t execution_ms; /* "execution_s" in JSON, a number */
    int64_t idle_ms;
    int64_t life_ms;
};

extern const struct limits limits_default;

/* Members that are absent stay as they are in *out. 400 names the member and its range. */
bool limits_read(json_t *object, struct limits *out, struct err *e);
json_t *limits_json(const struct limits *l); /* every member; given */

/* --- enforcement, in the keeper */

/* The control groups that this machine lends us: found before the keeper leaves the host's file
 * system (it keeps descriptors). delegated: a cgroup v2 folder given by the administrator, or NULL:
 * below our own. Never fails: what is missing is in governor_report. */
struct governor;
struct governor *governor_open(const char *name, const char *delegated);
void governor_free(struct governor *g); /* removes what it made */
/* What a keeper that this process started would get, found out without changing anything:
 * {"memory": bool, "cpus": bool, "processes": bool}. Given. */
json_t *governor_prospect(void);
json_t *governor_report(const struct governor *g); /* {"cgroup": "v1"|"v2"|"none", "missing": []} */

/* One sandbox's share. Every process enters it before anything of a user runs in it: the init, and
 * what the keeper starts inside. */
struct share;
/* workspace is opened now and held; NULL: none is counted, until share_watch. 400: id cannot be a
 * name; 503. NULL: e is filled. */
struct share *share_open(struct governor *g, const char *id, const struct limits *l,
                         const char *workspace, struct err *e);
bool share_watch(struct share *s, const char *workspace, struct err *e); /* 503 */
/* The share is that of another sandbox now; its control groups get that name where they can. */
void share_rename(struct share *s, const char *id);
/* A process that has one thread enters by itself, with share_enter(), for which it needs these
 * descriptors (borrowed; SHARE_DOORS_MOST at most): how many. Some control groups have none. */
#define SHARE_DOORS_MOST WIRE_DOORS_MOST
size_t share_doors(const struct share *s, int doors[SHARE_DOORS_MOST]);
bool share_enter(const int *doors, size_t count); /* async-signal-safe; errno */
/* Sees to it that a process (its pid as the keeper counts) is inside. One that has not entered is
 * moved, which after a quiet time takes some 10 ms, else 0.05. 503. */
bool share_attach(struct share *s, pid_t pid, struct err *e);
/* 409: more memory is in use than the new limit allows; then all is as it was. Processes that run
 * already need share_press. */
bool share_change(struct share *s, const struct limits *l, struct err *e);
const struct limits *share_limits(const struct share *s); /* borrowed */
/* {"memory_bytes": "cgroup-v1", "cpus": "cgroup-v1", "processes": "cgroup-v1", "open_files":
 * "rlimit", "workspace_bytes": "accounting", "tmp_bytes": "tmpfs", "output_bytes": "host", ...};
 * "none": nobody does here; null: there is no such limit. Given. */
json_t *share_enforced(const struct share *s);
void share_rlimits(const struct share *s, struct confine *out); /* adds them */
/* Sets the same rlimits in a process that runs already (prlimit); its children inherit them. */
void share_press(const struct share *s, pid_t pid);
/* {"cpu_s": 1.25, "memory_bytes": n, "memory_peak_bytes": n, "processes": n, "disk_bytes": n,
 * "disk_inodes": n}; null where it cannot be known. memory_bytes is without page cache that can be
 * dropped, the peak of a control group with it. processes counts threads, as the limit does. Where
 * the keeper counts itself, what the last tick saw. Given. */
json_t *share_usage(struct share *s);
/* Asked for each that was killed: true when it was for want of memory; then the limit and the
 * peak. Each kill is told once. */
bool share_out_of_memory(struct share *s, int64_t *limit_bytes, int64_t *peak_bytes);
/* To be called every SHARE_TICK_MS while processes run: own accounting where no cgroup or quota
 * enforces. roots: the init and the processes that the keeper started inside; their descendants are
 * found from there. A sentence (given) when a limit is passed and everything inside must end; NULL.
 * Takes at most some 20 ms of all shares' time together. */
#define SHARE_TICK_MS 100
char *share_tick(struct share *s, const pid_t *roots, size_t count);
/* Removes the control groups; processes in them must have ended, or are killed: those that take
 * their time are seen to by later calls of share_open, share_tick and governor_free. NULL is legal.
 */
void share_close(struct share *s);

#endif
