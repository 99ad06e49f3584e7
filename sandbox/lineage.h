/* Which processes descend from one that the keeper started, also when they left its session and
 * lost their parents (daemons). Where a PID namespace does not hold them together (profile owner),
 * each started process carries a mark that its descendants inherit, over exec too: a hard limit of
 * RLIMIT_RTTIME of some hundred thousand years, whose last digits are the mark. */
#ifndef WARMCELL_SANDBOX_LINEAGE_H
#define WARMCELL_SANDBOX_LINEAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* The limit that is the mark, for a process that sets it itself as it is confined: nobody else may
 * then. False: our own limit is too low for marks. */
bool lineage_limit(uint32_t mark, struct rlimit *out);

/* For a child that has not run anything of a user's yet. False: the system refuses. */
bool lineage_mark(pid_t pid, uint32_t mark);

/* True: the process, whoever's it is, carries a mark of this keeper, in *mark. */
bool lineage_of(pid_t pid, uint32_t *mark);

/* Kills (SIGKILL) every descendant of this process that carries the mark; returns how many there
 * were. To be repeated until there is none: what is forked meanwhile is seen the next time. */
size_t lineage_kill(uint32_t mark);

#endif
