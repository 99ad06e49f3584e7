/* Starts the supervisor of a command (sandbox/command.h), a process of its own that outlives this
 * one, or finds it again. */
#ifndef WARMCELL_GATEWAY_LAUNCH_COMMAND_H
#define WARMCELL_GATEWAY_LAUNCH_COMMAND_H

#include <sys/types.h>

#include "protocol/err.h"

/* All paths; borrowed for the call. */
struct command_launch {
    const char *plan, *log, *socket;
    const char *input; /* what it shall read first; NULL: nothing */
    const char *words; /* where the supervisor's own complaints go */
};

/* *pidfd is that of our new child, *gate_fd a connection to it that does not block; both given.
 * 502, 503. */
bool command_launch(const struct command_launch *launch, int *pidfd, int *gate_fd, struct err *e);

/* A connection that does not block, given; -1: nobody listens there. */
int command_find(const char *socket);

#endif
