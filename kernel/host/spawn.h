/* Starts a program in a session of its own, with exactly the descriptors it is given. */
#ifndef WARMCELL_KERNEL_HOST_SPAWN_H
#define WARMCELL_KERNEL_HOST_SPAWN_H

#include <sys/types.h>

#include "protocol/err.h"
#include "protocol/memory.h"

/* Where the program finds spawn.link_fd and spawn.pipes_fd. */
#define SPAWN_LINK_FD  3
#define SPAWN_PIPES_FD 4

/* All borrowed for the call. */
struct spawn {
    char *const *argv;      /* argv[0] is looked up in PATH */
    const char *const *env; /* NAME=VALUE set on top of the host's own, NULL at the end; or NULL */
    const char *cwd;        /* NULL: the host's */
    int stdout_fd;
    int stderr_fd;
    int link_fd;  /* -1: none, and no pipes_fd either */
    int pipes_fd; /* with a link: the memory of protocol/pipe_page.h */
};

/* Descriptor 0 is /dev/null; all signals have their defaults and none is blocked. Returns the pid,
 * which is also the process group; -1: e says what could not be run (503). */
pid_t spawn_run(const struct spawn *plan, struct err *e);

#endif
