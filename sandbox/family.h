/* The processes below one, as /proc shows them. */
#ifndef WARMCELL_SANDBOX_FAMILY_H
#define WARMCELL_SANDBOX_FAMILY_H

#include <stddef.h>
#include <sys/types.h>

#define FAMILY_MOST 4096

/* Writes the pids of the children of `parent`, those of all its threads, behind the `count` that
 * pids[FAMILY_MOST] already holds; returns the new count. */
size_t family_children(pid_t parent, pid_t *pids, size_t count);

/* The same for all descendants of `ancestor`, each after its parent. One that is forked meanwhile
 * may be missed. */
size_t family_list(pid_t ancestor, pid_t *pids, size_t count);

/* Kills (SIGKILL) every descendant of this process and reaps them, again and again until none is
 * left, for two seconds at most (a process that the system does not let die). Orphans must come to
 * this process: it is a child subreaper or the first of its PID namespace. */
void family_kill(void);

#endif
