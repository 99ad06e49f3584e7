/* The contexts of a sandbox: kernels that share its namespaces, workspace and limits. Each is one
 * under /api/kernels too, with the same id. */
#ifndef WARMCELL_GATEWAY_CORE_CONTEXT_H
#define WARMCELL_GATEWAY_CORE_CONTEXT_H

#include "gateway/core/sandbox.h"

#define CONTEXT_NAME_LIMIT 64 /* bytes */

/* All borrowed; NULL: not said. */
struct context_request {
    const char *name;     /* unique in its sandbox; NULL: "context-N" */
    const char *language; /* of the table (launch/language.h); NULL: the sandbox's, or, with fork,
                             that of the one it comes from */
    const char *fork; /* the id of the context that it becomes a branch of; NULL: it begins empty */
    json_t *once;     /* of its Idempotency-Key (once.h) */
    bool force;       /* with fork: threads and tasks that the branch will not have do not matter */
};

/* Makes one more. done is called once, at once or later: with a kernel (its state may still be
 * starting; a branch has its variables already), or NULL and why: 400 the name or language; 403 the
 * most allowed; 404 there is no context to fork; 409 the name is taken, the context is busy,
 * starting or dead, or cannot be forked (now: threads or tasks of the user's run; ever: its
 * language); 422 the language is not installed; 502; 503. With --durability=full it is on the disk
 * before done; 503 also: it was made, and is not. */
void contexts_create(struct sandbox *s, const struct context_request *request,
                     void (*done)(void *user, struct kernel *k, const struct err *e), void *user);
/* As kernel_stop, of a kernel of a sandbox or of none; with --durability=full that a context is
 * gone is on the disk before done. */
void context_delete(struct kernel *k, const char *reason,
                    void (*done)(void *user, const struct err *e), void *user);

/* NULL with e 404. Those that are being made or deleted are not found. */
struct kernel *contexts_find(const struct sandbox *s, const char *id, struct err *e);
/* By id or name; NULL: the first one. NULL: there is none, or none that is found. */
struct kernel *contexts_named(const struct sandbox *s, const char *name);
/* In the order in which they were made. */
void contexts_each(const struct sandbox *s, void (*each)(void *user, struct kernel *k), void *user);

/* Borrowed and valid until control returns to the loop. */
const char *context_name(const struct kernel *k);     /* "default", "context-2", ... */
const char *context_language(const struct kernel *k); /* "python", "javascript", ... */
/* Of what sandbox_paused_contexts has of one. */
const char *context_recorded_language(json_t *record);
/* The id of the snapshot that its interpreter began with; NULL: it began without one. */
const char *context_restored_from(const struct kernel *k);
const char *context_forked_from(const struct kernel *k); /* an id; NULL: it began empty */
struct timespec context_created(const struct kernel *k);

#endif
