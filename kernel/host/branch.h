/* Has the interpreter fork itself into another host, which waits for it (cradle.h): the host's side
 * of fork(context). docs/link.md, "Branching". */
#ifndef WARMCELL_KERNEL_HOST_BRANCH_H
#define WARMCELL_KERNEL_HOST_BRANCH_H

#include "kernel/host/backend.h"
#include "protocol/link.h"

struct kernel;
struct branch; /* one that is under way */

/* json: {"to": path, "force": bool}. The outcome is told when there is a second interpreter: 400
 * the JSON; 409 the kernel is not ready, something runs, or the interpreter refuses (threads or
 * tasks of the user's); 503. */
void branch_begin(struct kernel *k, struct bytes json, struct outcome outcome);
void branch_answered(struct kernel *k, const struct link_frame *frame); /* LINK_BRANCHED */
void branch_fail(struct kernel *k, const char *why); /* if one is under way: its end */

#endif
