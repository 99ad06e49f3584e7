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
    bool landlock; /* false: the policy is best-effort and the kernel has none */
    bool seccomp;
};

/* Joins the namespaces in the order given (user first). On failure errno is set. The caller must
 * not share its file system state (CLONE_FS). */
bool confine_join(const int *namespaces, size_t count);

/* uid and gid, rlimits, no capabilities (bounding and ambient sets too), no_new_privs, not dumpable
 * for others, landlock, and seccomp last. The namespaces must be joined already. NULL: done;
 * otherwise the literal name of the step that failed ("seccomp"), with errno. After a failure the
 * process must end. */
const char *confine_self(const struct confine *plan);

#endif
