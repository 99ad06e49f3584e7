/* PID 1 of a sandbox: puts its root together, then waits for nothing but its end. */
#ifndef WARMCELL_SANDBOX_INIT_H
#define WARMCELL_SANDBOX_INIT_H

#include <sys/types.h>

#include "sandbox/root.h"

struct init_plan {
    int socket_fd; /* SOCK_SEQPACKET to the keeper */
    int workspace; /* the detached mount of the workspace */
    struct root_sizes sizes;
    char *const *hidden;
    const int *doors; /* of the control groups to enter (limits.h) */
    size_t door_count;
};

/* One datagram each way: the keeper's INIT_GO, when the uid map is written; then this report, with
 * the namespaces' descriptors (user, mnt, pid, net, ipc, uts) beside it when step is empty. */
#define INIT_GO 'g'
struct init_report {
    int error; /* errno */
    char step[40];
};

/* To be called in the new namespaces; never returns. Async-signal-safe. */
_Noreturn void init_main(const struct init_plan *plan);

/* The same for a machine without namespaces (policy best-effort): says that it is there, and
 * sleeps. */
_Noreturn void init_stand_in(const struct init_plan *plan);

#endif
