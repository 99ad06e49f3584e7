/* Settling: what a run (an execution or a command) left in its workspace is looked for once it has
 * ended, and its displays are stored; then that is written down, once, and told.
 *
 * One scan of a sandbox goes on at a time; the runs that end meanwhile wait for the next. After one
 * that found nothing the next has time, unless somebody waits for it. A gateway that comes back
 * settles what an earlier one had not. */
#ifndef WARMCELL_GATEWAY_CORE_SETTLING_H
#define WARMCELL_GATEWAY_CORE_SETTLING_H

#include "gateway/core/execution.h"
#include "gateway/store/workspace_table.h"

struct settling;

struct settling *settling_new(struct core *c);
void settling_free(struct settling *s); /* NULL is legal; nothing may be under way */

/* Its end is committed. x is kept until it is told. */
void settling_add(struct core *c, struct execution *x);
/* A command that has ended: command_run_settled (command_run.h) is told of it. Times are
 * CLOCK_REALTIME; started_ns 0: its program never ran. */
struct settling_command {
    const char *id, *sandbox_id; /* borrowed for the call */
    int64_t started_ns, ended_ns;
};
void settling_add_command(struct core *c, const struct settling_command *command);
/* One that was added and is not settled yet; borrowed; NULL: none. */
struct execution *settling_find(const struct core *c, const char *id);

/* The files API changed what is at path (clean): that is nobody's run. etag: of the file that it
 * put there; "": it moved or removed what was there and below, or made more than one file. */
void settling_note(struct core *c, const char *sandbox_id, const char *path, const char *etag);

/* Begins what can begin: some displays were stored. */
void settling_look(struct core *c);
/* Somebody waits for one to be settled now. */
void settling_hurry(struct core *c);

/* What still waits of it is told that nothing was looked for; its files are forgotten. */
void settling_sandbox_gone(struct core *c, const char *sandbox_id);

/* The gateway ends: who waits is told so; what is under way finishes. */
void settling_drain(struct core *c);

/* What a run changed, in the order of paths: e NULL, or 503. list is borrowed for the call. */
void settling_changes(struct core *c, const struct workspace_change_query *query,
                      void (*done)(void *user, const struct workspace_change *list, size_t count,
                                   const struct err *e),
                      void *user);

#endif
