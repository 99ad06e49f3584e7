/* A fork whose child is nobody's: its parent ends at once, so that whoever reaps orphans (the
 * keeper, as PID 1 or subreaper) becomes its parent and outlives the process that forked. */
#ifndef WARMCELL_KERNEL_PYTHON_ORPHAN_H
#define WARMCELL_KERNEL_PYTHON_ORPHAN_H

#include <stddef.h>
#include <sys/types.h>

/* Forks this process, which must have one thread, into the namespaces given (descriptors, joined in
 * their order; count may be 0). In the child: 0. In the caller: the child's pid as the caller's PID
 * namespace counts it, and the child belongs to the reaper already; or -1 with errno.
 *
 * doors: of the control groups in which the child is from its first moment (sandbox/limits.h).
 *
 * The memory is copied once: what forks is a process between the two that shares the caller's
 * memory and joins the namespaces. It is libc's fork, with its handlers. */
pid_t orphan_fork(const int *namespaces, size_t count, const int *doors, size_t door_count);

#endif
