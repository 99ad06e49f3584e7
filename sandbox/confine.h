/* What a process does to itself, between fork and its first own act, so that it can harm nobody.
 *
 * Called in children of processes that may hold locks: every function here is async-signal-safe,
 * allocates nothing, and reports the step that failed instead of a sentence. */
#ifndef WARMCELL_SANDBOX_CONFINE_H
#define WARMCELL_SANDBOX_CONFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#define CONFINE_RLIMITS_MOST 12

struct confine {
    uid_t uid; /* inside the user namespace */
    gid_t gid;
    struct {
        int resource;
        struct rlimit limit;
    } rlimits[CONFINE_RLIMITS_MOST];
    size_t rlimit_count;
    const char *workspace; /* borrowed; NULL: /workspace. Where landlock lets it write */
    bool landlock;         /* false: the policy is best-effort and the kernel has none */
    bool seccomp;
};

/* Joins the namespaces in the order given (user first); those that are -1 are passed over. From
 * here to the end of confine_self nobody inside can look into the process (it is not dumpable). On
 * failure errno is set. The caller must not share its file system state (CLONE_FS). */
bool confine_join(const int *namespaces, size_t count);

/* uid and gid, rlimits (never above what the process has; no core dumps), no capabilities (bounding
 * and ambient sets too), no_new_privs, landlock, and seccomp last. The namespaces must be joined,
 * and all descriptors but the process's own closed already. NULL: done; otherwise the literal name
 * of the step that failed ("seccomp"), with errno. After a failure the process must end. */
const char *confine_self(const struct confine *plan);

/* Sets a limit, or what of it is below the hard limit that the process has: nothing is raised. */
bool confine_rlimit(int resource, struct rlimit wanted);

/* The part of confine_self that gives up rights: uid and gid, capabilities, no_new_privs; and the
 * same without the bounding set and securebits, for a process that never execs. */
const char *confine_rights(uid_t uid, gid_t gid);
const char *confine_identity(uid_t uid, gid_t gid);

#endif
