/* Snapshots of a sandbox: the variables of its contexts, kept in the vault with all that it takes
 * to make the sandbox again; and pause and resume, which are one each way.
 *
 * One save, pause or resume of a sandbox is under way at a time. A paused sandbox has no process;
 * its workspace stays, and it survives the gateway and the machine. What is found in the vault with
 * no process left, whatever ended them, is paused: its state is that of its last snapshot. */
#ifndef WARMCELL_GATEWAY_CORE_SNAPSHOT_H
#define WARMCELL_GATEWAY_CORE_SNAPSHOT_H

#include "gateway/core/sandbox.h"

/* done is called once, later or at once. s: NULL when it has ended meanwhile. snapshot (borrowed;
 * NULL of a pause) is
 *   {"id", "created", "why": "asked", "pause" or "idle", "bytes",
 *    "contexts": [{"id", "name", "saved": [{"name", "type"}], "saved_more": how many more,
 *                  "not_saved": [{"name", "reason"}], "not_saved_more": how many more,
 *                  "problem": why nothing of it was saved, or null}]}
 * 409: something is under way, or a context is busy or starting (force: its variables are left out,
 * and the snapshot says so); 413 a context is larger than --snapshot-limit; 502; 503. Nothing has
 * changed then. A context that is dead has no variables, which is no failure. */
typedef void snapshot_done(void *user, struct sandbox *s, json_t *snapshot, const struct err *e);
/* once: of its Idempotency-Key (once.h); NULL. */
void sandbox_snapshot(struct sandbox *s, bool force, json_t *once, snapshot_done *done, void *user);
/* id: of the one that was made with the same key; NULL: there is none. False: 422. */
bool sandbox_snapshot_once(const struct sandbox *s, json_t *once, const char **id, struct err *e);

/* Saves, and ends all its processes. From its begin on nothing more is run. Of a paused one: done
 * at once. */
void sandbox_pause(struct sandbox *s, bool force, snapshot_done *done, void *user);

/* The same for one that nobody uses, without what cannot be saved; reason is what its model says.
 */
void sandbox_pause_idle(struct sandbox *s, const char *reason);

/* Makes the processes again and restores their variables. done gets
 *   {"snapshot": id, "contexts": [{"id", "name", "restored": [name], "not_restored": [{"name",
 *    "reason"}], "problem": why nothing was restored, or null}]}
 * 409: it is not paused, or something is under way; 403 too many kernels run; 501, 502, 503: it is
 * as paused as before. With force a context whose variables cannot be restored begins empty. */
void sandbox_resume(struct sandbox *s, bool force, snapshot_done *done, void *user);

bool sandbox_is_paused(const struct sandbox *s);
/* Oldest first. */
void sandbox_snapshots_each(const struct sandbox *s,
                            void (*each)(void *user, const char *id, const char *created),
                            void *user);
/* Reads those with these ids (an array, borrowed; one that was dropped meanwhile is left out); done
 * is called once, later. list (borrowed): an array as JSON, in that order. 503. */
void sandbox_snapshots(const struct sandbox *s, json_t *ids,
                       void (*done)(void *user, struct bytes list, const struct err *e),
                       void *user);
const char *sandbox_last_snapshot(const struct sandbox *s); /* an id; NULL: none */
/* Of a paused one: [{"id", "name", "language", "created", "forked_from"}]; borrowed. */
json_t *sandbox_paused_contexts(const struct sandbox *s);

#endif
