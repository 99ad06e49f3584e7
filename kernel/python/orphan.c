/* See orphan.h. The process between shares the caller's memory and stack, so it writes nothing but
 * its answer, and ends while the caller stands still. Invariant: no signal is handled meanwhile.
 *
 * libc takes it for the caller, whose thread-local state it has: fork() there does to that state
 * what it would do in the caller, and has the kernel write the child's own thread id. But what the
 * kernel keeps of a thread beside memory is lost on the way: the area of restartable sequences,
 * which libc told it once, is told again. */
#include "kernel/python/orphan.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/confine.h"
#include "sandbox/limits.h"

/* Written by the process between, read by the caller. */
static struct {
    volatile pid_t child;
    volatile int cause;
} answer;

static void register_restartable_sequences(void)
{
    if (__rseq_size == 0)
        return;
    char *area = (char *)__builtin_thread_pointer() + __rseq_offset;
    syscall(SYS_rseq, area, sizeof(struct rseq), 0, RSEQ_SIG);
}

static bool reap(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    return true;
}

pid_t orphan_fork(const int *namespaces, size_t count, const int *doors, size_t door_count)
{
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    answer.child = -1;
    answer.cause = 0;
    pid_t between = vfork();
    if (between == 0) {
        if (!share_enter(doors, door_count) || (count > 0 && !confine_join(namespaces, count))) {
            answer.cause = errno;
            _exit(1);
        }
        pid_t child = fork();
        if (child != 0) {
            answer.cause = errno;
            answer.child = child;
            _exit(0);
        }
        /* the copy of the caller's stack is whole: from here on this is the child of a fork */
        register_restartable_sequences();
        sigprocmask(SIG_SETMASK, &before, NULL);
        return 0;
    }
    int cause = between < 0 ? errno : answer.cause;
    /* only when it has been waited for is its child an orphan */
    if (between > 0)
        reap(between);
    sigprocmask(SIG_SETMASK, &before, NULL);
    errno = cause;
    return between < 0 ? -1 : answer.child;
}
