/* A sandbox made as another one is: the variables of its contexts, from a snapshot that is taken
 * for it, and its workspace. What it ran, its artifacts and its history stay the first one's. */
#ifndef WARMCELL_GATEWAY_CORE_FORKING_H
#define WARMCELL_GATEWAY_CORE_FORKING_H

#include "gateway/core/sandbox.h"
#include "gateway/files/clone.h"

#define FORKS_MOST 8 /* at a time: each has a thread */

/* All borrowed; NULL: not said. */
struct fork_request {
    const char *name; /* as in sandbox_request, as the next two */
    json_t *labels;   /* NULL: those of the first */
    json_t *once;
    const struct principal *who; /* whose token's quotas hold for the copy, if it has some */
    bool force;                  /* a context that cannot be saved or restored begins empty */
};

/* All borrowed. */
struct fork_answer {
    json_t *resumed;                   /* as sandbox_resume's; NULL: the key had made it before */
    const struct clone_result *copied; /* NULL: likewise */
};

/* The copy belongs to the owner of `from`, with its limits, environment, network, policy and
 * template, and contexts of the same names with ids of their own. `from` runs on, or stays paused.
 *
 * Of a running one each context is saved between two executions, then the workspace is copied: what
 * the first does from then on may be in the copy, or not; clone_result says which files were
 * written to as they were copied.
 *
 * done is called once, at once or later, with the copy, which runs, or NULL and why: 400, 403 too
 * much lives or is in use; 409 `from` is being saved, paused, resumed or deleted, or a context is
 * busy or starting (unless forced), or the name is taken; 413 a context is larger than
 * --snapshot-limit; 422 the key came with another body; 502; 503; 507 it does not fit into
 * workspace_bytes or onto the disk. Nothing of the copy is left then. */
void sandbox_fork(struct sandbox *from, const struct fork_request *request,
                  void (*done)(void *user, struct sandbox *s, const struct fork_answer *answer,
                               const struct err *e),
                  void *user);

#endif
