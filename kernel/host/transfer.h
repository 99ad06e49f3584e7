/* Has the interpreter save its variables to a gateway, or restore them: the host connects to where
 * the gateway waits, and hands the connection on. docs/link.md, "Snapshots". */
#ifndef WARMCELL_KERNEL_HOST_TRANSFER_H
#define WARMCELL_KERNEL_HOST_TRANSFER_H

#include "kernel/host/backend.h"
#include "protocol/link.h"

struct kernel;
struct transfer; /* one that is under way */

/* kind: LINK_SAVE or LINK_RESTORE. json: {"to": path, "limit_s": n}. The outcome is told when the
 * interpreter is through with it: 400 the JSON; 409 the kernel is not ready, something runs, or its
 * interpreter has no snapshots; 502 it failed there; 503. */
void transfer_begin(struct kernel *k, enum link_kind kind, struct bytes json,
                    struct outcome outcome);
void transfer_answered(struct kernel *k, const struct link_frame *frame); /* LINK_SAVED */
void transfer_fail(struct kernel *k, const char *why); /* if one is under way: its end */

#endif
