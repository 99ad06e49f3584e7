/* A child of this process inside other namespaces, the PID namespace too. */
#ifndef WARMCELL_SANDBOX_JOIN_H
#define WARMCELL_SANDBOX_JOIN_H

#include <sys/types.h>

#include "protocol/err.h"

/* Calls be(data) in the child, which must not return. namespaces: WIRE_NAMESPACES of them. The pid
 * as this process counts; -1: 409 when its first process has ended, else 503. */
pid_t join_fork(const int *namespaces, void (*be)(void *data), void *data, struct err *e);

#endif
