/* Children of this process inside other namespaces. */
#ifndef WARMCELL_SANDBOX_JOIN_H
#define WARMCELL_SANDBOX_JOIN_H

#include <stdbool.h>
#include <sys/types.h>

#include "protocol/err.h"

/* Calls be(data) in the child, which must not return. namespaces: WIRE_NAMESPACES of them. The pid
 * as this process counts; -1: 409 when its first process has ended, else 503. */
pid_t join_fork(const int *namespaces, void (*be)(void *data), void *data, struct err *e);

/* A child that shares this process's memory runs be(data), which ends it by _exit, while this one
 * waits: for what takes microseconds. shared: CLONE_FILES, or 0. False: there was none (errno). */
bool join_visit(int (*be)(void *data), void *data, int shared);

#endif
