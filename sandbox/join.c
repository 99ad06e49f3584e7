/* setns for a PID namespace concerns children only, and what joins a user namespace cannot come
 * back: so a child that shares our memory joins and forks, as our child (CLONE_PARENT), and ends.
 * The copy is not dumpable from its first moment, so that nobody inside can look into it. */
#include "sandbox/join.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/confine.h"
#include "sandbox/wire.h"

#define STACK_BYTES (256 * 1024)

struct visit {
    const int *namespaces;
    void (*be)(void *data);
    void *data;
    pid_t pid; /* -1: cause */
    int cause;
};

static int join_and_fork(void *data)
{
    struct visit *v = data;
    if (!confine_join(v->namespaces, WIRE_NAMESPACES)) {
        v->cause = errno;
        _exit(1);
    }
    v->pid = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
    if (v->pid == 0) {
        v->be(v->data);
        _exit(1);
    }
    v->cause = errno;
    _exit(0);
}

bool join_visit(int (*be)(void *data), void *data, int shared)
{
    char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return false;
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    pid_t visitor = clone(be, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD | shared, data);
    int cause = errno;
    while (visitor > 0 && waitpid(visitor, NULL, 0) < 0 && errno == EINTR)
        ;
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* the maps of new sandboxes are written through /proc */
    munmap(stack, STACK_BYTES);
    errno = cause;
    return visitor > 0;
}

pid_t join_fork(const int *namespaces, void (*be)(void *data), void *data, struct err *e)
{
    struct visit v = {namespaces, be, data, -1, 0};
    if (!join_visit(join_and_fork, &v, 0))
        v.cause = errno;
    errno = v.cause;
    if (v.pid < 0 && v.cause == ENOMEM) /* what clone says of a PID namespace that is ending */
        fail(e, 409, "cannot enter the sandbox: its first process has ended");
    else if (v.pid < 0)
        fail_errno(e, 503, "cannot enter the sandbox");
    return v.pid;
}
