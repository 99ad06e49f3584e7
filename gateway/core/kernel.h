/* One kernel: a host that lives on its own, what it said, and who reads it. */
#ifndef WARMCELL_GATEWAY_CORE_KERNEL_H
#define WARMCELL_GATEWAY_CORE_KERNEL_H

#include <jansson.h>
#include <time.h>

#include "gateway/net/principal.h"
#include "protocol/bytes.h"
#include "protocol/message.h"

struct core;
struct kernel;

enum kernel_state { KERNEL_STARTING, KERNEL_IDLE, KERNEL_BUSY, KERNEL_RESTARTING, KERNEL_DEAD };

/* What a caller asks for. All borrowed; NULL: not said. */
struct kernel_request {
    const char *name; /* of a kernelspec; NULL or "": the default one */
    const char *id;   /* chosen by the client */
    json_t *env;      /* see launch/environment.h */
    const char *path; /* of a notebook or folder: where the kernel works */
};

/* Starts a kernel or hands out one of the pool. done is called once, at once or later: with a
 * kernel (the state may still be starting), or NULL and why: 400 the request; 403 "Resource Limit",
 * or who is no admin; 404 no such kernelspec; 409 the id is taken; 502 the program cannot be
 * started; 503. */
void kernels_start(struct core *c, const struct principal *who,
                   const struct kernel_request *request,
                   void (*done)(void *user, struct kernel *k, const struct err *e), void *user);

/* What who may know of: NULL with e 404, whether it is foreign or not there. Kernels of the pool
 * and those that are being deleted are not found; those that are in no sandbox, by admins alone. */
struct kernel *kernels_find(const struct core *c, const struct principal *who, const char *id,
                            struct err *e);

/* Calls each for every kernel that kernels_find finds. */
void kernels_each(const struct core *c, const struct principal *who,
                  void (*each)(void *user, struct kernel *k), void *user);

/* Borrowed and valid until control returns to the loop. */
const char *kernel_id(const struct kernel *k);
const char *kernel_name(const struct kernel *k);
enum kernel_state kernel_state(const struct kernel *k);
const char *
kernel_state_text(const struct kernel *k); /* "starting", "idle", "busy", "restarting", "dead" */
const char *kernel_state_name(enum kernel_state state);
const char *kernel_reason(
    const struct kernel *k); /* why it is dead, or what happened last; NULL: nothing did */
/* The word for that reason: "oom", "idle", ... (docs/link.md, DEATH); NULL: none. */
const char *kernel_cause(const struct kernel *k);
struct timespec kernel_last_activity(const struct kernel *k);
size_t kernel_connections(const struct kernel *k);

/* The absolute path of something that exists in the kernel's place; relative paths start where the
 * kernel began to work. Given to the caller; NULL: there is no such thing, or it is in a sandbox.
 */
char *kernel_resolve_path(const struct kernel *k, const char *path);

/* Each calls done once, with NULL or why not: 409 the kernel is dead; 502 the host said so; 503 no
 * answer in time. */
void kernel_interrupt(struct kernel *k, void (*done)(void *user, const struct err *e), void *user);
void kernel_restart(struct kernel *k, void (*done)(void *user, const struct err *e), void *user);

/* Ends the kernel and forgets it: k is not found any more at once; done when its processes are
 * gone. done may be NULL. reason goes to the record and, as the reason of close code 1000, to the
 * clients. */
void kernel_stop(struct kernel *k, const char *reason,
                 void (*done)(void *user, const struct err *e), void *user);

/* Passes a client's message on. frame is the v1 form of m. identity is the client's session. A dead
 * kernel's requests are answered with an error. 400: the header is not one; 503: the kernel does
 * not take messages. */
bool kernel_send(struct kernel *k, const char *identity, const struct message *m,
                 struct bytes frame, struct err *e);

#endif
