/* Limits of a sandbox: what they are, who enforces each, and what was used. */
#ifndef WARMCELL_SANDBOX_LIMITS_H
#define WARMCELL_SANDBOX_LIMITS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/err.h"
#include "sandbox/confine.h"

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
void governor_free(struct governor *g);            /* removes what it made */
json_t *governor_report(const struct governor *g); /* {"cgroup": "v1"|"v2"|"none", "missing": []} */

/* One sandbox's share. Children are attached by pid as the keeper counts. */
struct share;
struct share *share_open(struct governor *g, const char *id, const struct limits *l,
                         const char *workspace, struct err *e);
bool share_attach(struct share *s, pid_t pid, struct err *e);
bool share_change(struct share *s, const struct limits *l, struct err *e);
/* {"memory_bytes": "cgroup-v1", "cpus": "cgroup-v1", "processes": "cgroup-v1", "open_files":
 * "rlimit", "workspace_bytes": "accounting", ...}; "none": nobody does here. Given. */
json_t *share_enforced(const struct share *s);
void share_rlimits(const struct share *s, struct confine *out); /* adds them */
/* {"cpu_s": 1.25, "memory_bytes": n, "memory_peak_bytes": n, "processes": n, "disk_bytes": n,
 * "disk_inodes": n}; null where it cannot be known. Given. */
json_t *share_usage(struct share *s);
/* True when memory ran out since the last call; then the limit and the peak. */
bool share_out_of_memory(struct share *s, int64_t *limit_bytes, int64_t *peak_bytes);
/* To be called every SHARE_TICK_MS while processes run: own accounting where no cgroup or quota
 * enforces. A sentence (given) when a limit is passed and everything inside must end; NULL. */
#define SHARE_TICK_MS 100
char *share_tick(struct share *s, const pid_t *members, size_t count);
/* Removes the control groups; processes in them must have ended, or are killed. */
void share_close(struct share *s);

#endif
