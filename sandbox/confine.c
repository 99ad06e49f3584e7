/* The last steps of a process before it runs what a user gave: joins a sandbox's namespaces, gives
 * up all rights, and puts the fences around itself. Called between fork and exec, or in a fork that
 * never execs: nothing here allocates or locks. The order is forced: rights are needed for uid and
 * gid, seccomp forbids nothing that comes before it, and landlock needs no_new_privs. */
#include "sandbox/confine.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocol/memory.h"
#include "sandbox/filter.h"
#include "sandbox/landlock.h"

bool confine_join(const int *namespaces, size_t count)
{
    /* until confine_self nobody inside may look into this process, which still has its past in
     * memory */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return false;
    for (size_t i = 0; i < count; i++)
        if (namespaces[i] >= 0 && setns(namespaces[i], 0) < 0)
            return false;
    return true;
}

/* What a program could win back by exec of a file with capabilities, or by becoming root. Who has
 * not the right to give them up (EPERM) has none of them, and no_new_privs keeps it so. */
static const char *give_up_future(void)
{
    static const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED |
                                      SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
                                      SECBIT_NO_CAP_AMBIENT_RAISE |
                                      SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
        return "ambient capabilities";
    if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) < 0 && errno != EPERM)
        return "securebits";
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EPERM)
            return "bounding set";
    return NULL;
}

const char *confine_identity(uid_t uid, gid_t gid)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0}};
    /* raw calls: those of libc signal other threads, which a fork of a threaded process has lost */
    if (syscall(SYS_setresgid, gid, gid, gid) < 0)
        return "gid";
    if (syscall(SYS_setresuid, uid, uid, uid) < 0)
        return "uid";
    if (syscall(SYS_capset, &head, none) < 0)
        return "capabilities";
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? "no_new_privs" : NULL;
}

const char *confine_rights(uid_t uid, gid_t gid)
{
    const char *failed = give_up_future();
    return failed ? failed : confine_identity(uid, gid);
}

bool confine_rlimit(int resource, struct rlimit wanted)
{
    struct rlimit now;
    if (getrlimit((__rlimit_resource_t)resource, &now) != 0)
        return false;
    if (wanted.rlim_max > now.rlim_max)
        wanted.rlim_max = now.rlim_max;
    if (wanted.rlim_cur > wanted.rlim_max)
        wanted.rlim_cur = wanted.rlim_max;
    return setrlimit((__rlimit_resource_t)resource, &wanted) == 0;
}

static const char *limit(const struct confine *plan)
{
    for (size_t i = 0; i < plan->rlimit_count && i < CONFINE_RLIMITS_MOST; i++)
        if (!confine_rlimit(plan->rlimits[i].resource, plan->rlimits[i].limit))
            return "rlimits";
    /* 1, not 0: see the filter */
    struct rlimit core = {1, 1};
    return setrlimit(RLIMIT_CORE, &core) < 0 ? "core limit" : NULL;
}

const char *confine_self(const struct confine *plan)
{
    const char *failed = limit(plan);
    if (!failed)
        failed = confine_rights(plan->uid, plan->gid);
    if (failed)
        return failed;
    if (plan->landlock && landlock_restrict(plan->workspace) < 0)
        return "landlock";
    /* it is the sandbox's now: its own /proc/self belongs to it */
    if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
        return "dumpable";
    return plan->seccomp && filter_install(FILTER_SANDBOX) < 0 ? "seccomp" : NULL;
}
