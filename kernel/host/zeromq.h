/* libzmq is loaded when the first ZeroMQ socket is about to be made. A host that a gateway reaches
 * through its uplink alone never loads it, nor the dozen libraries that it brings: that is most of
 * the time and memory that a host's start costs. */
#ifndef WARMCELL_KERNEL_HOST_ZEROMQ_H
#define WARMCELL_KERNEL_HOST_ZEROMQ_H

#include <stdbool.h>

#include "protocol/err.h"

/* To be called before any zmq_ function; again is free. 503: it cannot be loaded. */
bool zeromq_load(struct err *e);

#endif
