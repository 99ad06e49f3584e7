/* Single executions by their msg_id: which there are, and taking one back. docs/link.md, CANCEL. */
#ifndef WARMCELL_KERNEL_HOST_CANCEL_H
#define WARMCELL_KERNEL_HOST_CANCEL_H

#include <jansson.h>

#include "kernel/host/backend.h"

struct kernel;

/* One that waits is answered `aborted`, with the outcome "cancelled"; the one that runs is
 * interrupted. One that is not there any more is passed over. */
void kernel_cancel(struct kernel *k, const char *msg_id);

/* The order {"msg_id": "..."} for that. 400 names what is wrong. */
void cancel_order(struct kernel *k, struct bytes json, struct outcome outcome);

/* The msg_ids of the executions that run or wait, in their order. Given. */
json_t *kernel_executions(const struct kernel *k);

#endif
