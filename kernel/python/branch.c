/* Forks a live interpreter into another host, which has sent its descriptors with the frame BRANCH.
 * Called by warmcell_kernel.branching, between two requests. Invariant: the other host learns of
 * the child only when the child is a session of its own, with the new descriptors in their places.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel/python/core.h"
#include "kernel/python/orphan.h"

#define LINEAGE_LEAST ((rlim_t)1 << 40) /* below it the limit is no mark */
#define NOBODYS_MARK  ((rlim_t)1 << 31)

enum { LINK, STDOUT, STDERR, PIPES, BIRTH, COUNT };

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

/* Who started the parent must not take the child for its own (sandbox/lineage.h): its mark is one
 * that nobody gives. */
static void leave_lineage(void)
{
    static bool left; /* by the parent, perhaps */
    struct rlimit limit;
    if (left || getrlimit(RLIMIT_RTTIME, &limit) != 0 || limit.rlim_max < LINEAGE_LEAST)
        return;
    if (limit.rlim_max == RLIM_INFINITY)
        return;
    limit.rlim_max -= NOBODYS_MARK;
    limit.rlim_cur = limit.rlim_max;
    left = setrlimit(RLIMIT_RTTIME, &limit) == 0;
}

static PyObject *become_the_child(const int *fds)
{
    leave_lineage();
    if (setsid() < 0 || dup2(fds[STDOUT], 1) < 0 || dup2(fds[STDERR], 2) < 0)
        _exit(126);
    close(fds[STDOUT]);
    close(fds[STDERR]);
    PyOS_AfterFork_Child();
    core_leave_lane();
    if (send(fds[BIRTH], "", 1, MSG_NOSIGNAL) != 1)
        _exit(126);
    close(fds[BIRTH]);
    return Py_BuildValue("(ii)", fds[LINK], fds[PIPES]);
}

PyObject *core_py_branch(PyObject *module, PyObject *go)
{
    int fds[LANE_DESCRIPTORS_MOST];
    (void)module;
    struct lane *lane = core_lane();
    if (!lane)
        return NULL;
    size_t count = lane_take_descriptors(lane, fds);
    if (go != Py_True || count != COUNT) {
        close_all(fds, count);
        return go != Py_True
                   ? Py_NewRef(Py_None)
                   : PyErr_Format(PyExc_ValueError, "BRANCH came with %zu descriptors", count);
    }
    lane_flush(lane);
    PyOS_BeforeFork();
    pid_t pid = orphan_fork(NULL, 0, NULL, 0);
    if (pid == 0)
        return become_the_child(fds);
    int cause = errno;
    PyOS_AfterFork_Parent();
    close_all(fds, count);
    errno = cause;
    return pid < 0 ? PyErr_SetFromErrno(PyExc_OSError) : Py_NewRef(Py_None);
}
