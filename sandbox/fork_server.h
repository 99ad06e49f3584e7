/* The keeper's fork server, whichever process is that at the moment: asked for forks, watched,
 * replaced when it is old, stale, hung or dead. What it forked does not depend on it. */
#ifndef WARMCELL_SANDBOX_FORK_SERVER_H
#define WARMCELL_SANDBOX_FORK_SERVER_H

#include "sandbox/parent.h"
#include "sandbox/start.h"

struct fork_server;

/* Starts the first process. command is borrowed; "--fork-server" is appended to it. */
struct fork_server *fork_server_new(struct keeper *k, char *const *command);
void fork_server_free(struct fork_server *f); /* NULL is legal; its processes must have ended */

/* Asks for a fork: start_forked(s, pid) or start_cold(s, why) follows later. patient: also while
 * the first process is still warming up. False: there is none to be had, and e->text says why. f
 * may be NULL. */
bool fork_server_take(struct fork_server *f, struct start *s, bool patient, struct err *e);

/* A child that can be waited for. True: it was one of its processes, and is reaped. */
bool fork_server_reap(struct fork_server *f, pid_t pid);
/* A child that nobody knew has been reaped: perhaps what a dead process left half done. */
void fork_server_stranger(struct fork_server *f);
bool fork_server_has(const struct fork_server *f, pid_t pid);

/* Kills its processes and starts no more. */
void fork_server_end(struct fork_server *f);
bool fork_server_ended(const struct fork_server *f);

/* {"state": "off|starting|ready|failed", "pid": n, "generation": n, "forks": n, "age_s": n, "why":
 * "..." or null}; given. f may be NULL. */
json_t *fork_server_status(const struct fork_server *f);

#endif
