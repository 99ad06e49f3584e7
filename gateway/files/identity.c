/* The identity for files of one thread. Called around each piece of work in libuv's pool. glibc's
 * setgroups would change every thread of the process, so the call itself is made.
 *
 * Invariant: a thread of the pool has the process's own identity whenever no work is on it. */
#include "gateway/files/identity.h"

#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocol/memory.h"

static _Thread_local bool entered;
static _Thread_local gid_t *groups;
static _Thread_local int group_count;

static bool has_fsid(uid_t uid, gid_t gid)
{
    return (uid_t)setfsuid((uid_t)-1) == uid && (gid_t)setfsgid((gid_t)-1) == gid;
}

bool identity_enter(int64_t uid, struct err *e)
{
    if (geteuid() != 0)
        return true;
    if (uid <= 0 || uid >= UINT32_MAX)
        return fail(e, 503, "the sandbox's uid is not known");
    int count = getgroups(0, NULL);
    groups = xcalloc(count > 0 ? (size_t)count : 1, sizeof *groups);
    group_count = getgroups(count > 0 ? count : 0, groups);
    entered = true;
    if (group_count < 0 || (group_count > 0 && syscall(SYS_setgroups, 0, NULL) < 0)) {
        identity_leave();
        return fail_errno(e, 503, "the groups of the gateway cannot be put aside");
    }
    setfsgid((gid_t)uid); /* before the uid: it may not be allowed after */
    setfsuid((uid_t)uid);
    if (has_fsid((uid_t)uid, (gid_t)uid))
        return true;
    identity_leave();
    return fail(e, 503, "the gateway may not act as the sandbox's uid");
}

void identity_leave(void)
{
    if (!entered)
        return;
    setfsuid(geteuid());
    setfsgid(getegid());
    if (!has_fsid(geteuid(), getegid()) ||
        (group_count > 0 && syscall(SYS_setgroups, group_count, groups) < 0))
        abort();
    free(groups);
    groups = NULL;
    entered = false;
}
