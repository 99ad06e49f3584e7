/* The host's end of a keeper's socket: has interpreters started there, and is told how they end.
 * docs/keeper.md. One connection for the host's life; it is also what holds the sandbox. */
#ifndef WARMCELL_KERNEL_HOST_KEEPER_CLIENT_H
#define WARMCELL_KERNEL_HOST_KEEPER_CLIENT_H

#include <jansson.h>

#include "kernel/host/channels.h"
#include "kernel/host/interpreter.h"
#include "sandbox/loop.h"

/* Borrowed for the client's life. */
struct keeper_plan {
    const char *socket;
    const char *sandbox; /* its id; NULL: unconfined */
    const char *file;    /* of a sandbox: {"uid": n, "network": "none", "limits": {...}, "env":
                          * {...}, "cwd": "/workspace"}, all optional; NULL: {} */
    bool cold;
};

/* What becomes of a birth: on_started or on_failed once; after on_started, on_ended once. None
 * comes after keeper_client_forget(). */
struct birth_events {
    void (*on_started)(void *data, pid_t pid, int pidfd); /* pidfd: borrowed, until on_ended; pid -1
                                                           * when it has ended already */
    void (*on_failed)(void *data, const struct err *e);   /* nothing runs, nor will */
    void (*on_ended)(void *data, const struct interpreter_end *end);
    void *data;
};

struct keeper_client;

/* Reads the plan's file; connects when something is to be started. 400: what is wrong in it. */
struct keeper_client *keeper_client_new(struct loop *loop, const struct keeper_plan *plan,
                                        struct err *e);
void keeper_client_free(struct keeper_client *c); /* NULL is legal; what it started ends */

/* True: what it starts is confined, and may not be started any other way. */
bool keeper_client_confines(const struct keeper_client *c);

/* Joins the sandbox (makes it, where there is none) without starting anything. */
bool keeper_client_hold(struct keeper_client *c, struct err *e);

/* Its sandbox has another name from now on. Nothing happens without one. */
void keeper_client_rename(struct keeper_client *c, const char *sandbox);

void keeper_client_set_cold(struct keeper_client *c); /* no fork any more, from the next start on */

/* The limits of the sandbox, as its plan names them; borrowed; NULL: it names none. */
json_t *keeper_client_limits(const struct keeper_client *c);

/* One at a time. argv is the command without the link; theirs are borrowed until the answer. False:
 * the keeper cannot be asked (e). */
bool keeper_client_start(struct keeper_client *c, char *const *argv, const int theirs[ENDS],
                         const struct birth_events *events, struct err *e);
void keeper_client_forget(struct keeper_client *c); /* kills it, if it is there or comes to be */

/* Lets go of the sandbox, and of what else it started, when nothing more is to be. */
void keeper_client_leave(struct keeper_client *c);

/* end: of a process in the sandbox that this client did not start: on_ended comes with what the
 * keeper knows of its cause, at once when there is nothing to ask. */
void keeper_client_explain(struct keeper_client *c, const struct interpreter_end *end,
                           const struct birth_events *events);

/* Kills everything that this host has had started; on_ended comes when nothing of it is left. */
void keeper_client_kill_tree(struct keeper_client *c);

#endif
