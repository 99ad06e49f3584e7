/* Hosts of sandboxes that wait to be started. To start a process holds the loop up for a
 * millisecond or more, and what it then does takes time from the keeper: so while sandboxes are
 * being made for those who asked, hosts wait. Their kernels can be talked to all the same: the
 * socket listens already. */
#ifndef WARMCELL_GATEWAY_CORE_LAUNCHING_H
#define WARMCELL_GATEWAY_CORE_LAUNCHING_H

#include "gateway/core/kernel.h"

/* As kernel_launch, but that the host is started when no sandbox is being made any more, or
 * LAUNCH_LATEST_MS later; if it cannot be started then, the kernel dies. False: there is no socket
 * for it to be awaited on, 503. */
#define LAUNCH_LATEST_MS 100
bool launching_add(struct kernel *k, struct err *e);
void launching_remove(struct kernel *k); /* it is being freed; nothing when it does not wait */

/* A keeper has made one: if that was the last, the hosts are started. */
void launching_go(struct core *c);
void launching_flush(struct core *c); /* all of them now: the gateway ends */

#endif
