/* Where a foreign kernel will bind its sockets: chosen by us, told it by the connection file. */
#ifndef WARMCELL_KERNEL_HOST_ENDPOINTS_H
#define WARMCELL_KERNEL_HOST_ENDPOINTS_H

#include "protocol/connection.h"

/* A new connection with a key of its own: over ipc beside file (400: the path is too long for a
 * socket), or tcp on 127.0.0.1 without ports yet. */
bool endpoints_make(const char *file, bool ipc, struct connection *out, struct err *e);

/* tcp: five ports that nothing is bound to at the moment; ipc: nothing to do. 503: none are free.
 */
bool endpoints_pick(struct connection *c, struct err *e);

/* ipc: removes the sockets that a kernel has left. */
void endpoints_clear(const struct connection *c);

#endif
