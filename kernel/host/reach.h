/* To a Unix socket at which somebody waits for what a request names with "to". */
#ifndef WARMCELL_KERNEL_HOST_REACH_H
#define WARMCELL_KERNEL_HOST_REACH_H

#include "protocol/err.h"

/* type: SOCK_STREAM or SOCK_SEQPACKET, with SOCK_NONBLOCK where that is wanted. A connected
 * descriptor, closed on exec; the caller's. -1: 400, the path is too long; 503, nobody waits. */
int reach(const char *path, int type, struct err *e);

#endif
