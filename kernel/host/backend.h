/* What stands behind the uplink: our own interpreter (kernel.c), or another kernel over ZeroMQ
 * (relay.c). */
#ifndef WARMCELL_KERNEL_HOST_BACKEND_H
#define WARMCELL_KERNEL_HOST_BACKEND_H

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

#include "kernel/host/death.h"
#include "kernel/host/frontend.h"
#include "protocol/link.h"

/* Told exactly once how a command ended. */
struct outcome {
    void (*call)(void *data, uint64_t number, bool ok, int status, const char *message);
    void *data;
    uint64_t number;
};

static inline void outcome_tell(struct outcome *outcome, bool ok, int status, const char *message)
{
    struct outcome told = *outcome;
    *outcome = (struct outcome){0};
    if (told.call)
        told.call(told.data, told.number, ok, status, message);
}

/* What STATE says besides the version. */
struct backend_state {
    pid_t pid; /* of the interpreter or the kernel; 0: none */
    const char *execution_state;
    const char
        *reason; /* why the last one ended, or the kernel does; borrowed; NULL: nothing to say */
    enum cause cause;   /* with a reason */
    json_t *executions; /* msg_ids of those that run or wait; given; NULL: not known */
};

/* Why the host must end, told once through the on_end of the backend's plan. */
struct backend_end {
    int exit_status; /* the host's */
    enum cause cause;
    char *reason;                /* the sentence for the gateway; owned by the backend */
    struct interpreter_end last; /* of the interpreter or the kernel; wait_status -1: none */
};

struct backend;
/* An outcome that is {0} tells nobody. */
struct backend_class {
    void (*interrupt)(struct backend *backend, struct outcome outcome);
    void (*restart)(struct backend *backend, struct outcome outcome);
    void (*stop)(struct backend *backend, enum cause cause, const char *reason,
                 struct outcome outcome);
    void (*adopt)(struct backend *backend, struct bytes json, struct outcome outcome);
    void (*branch)(struct backend *backend, struct bytes json, struct outcome outcome);
    /* kind: what the interpreter is sent, LINK_SAVE or LINK_RESTORE */
    void (*transfer)(struct backend *backend, enum link_kind kind, struct bytes json,
                     struct outcome outcome);
    void (*cancel)(struct backend *backend, struct bytes json, struct outcome outcome);
    void (*state)(struct backend *backend, struct backend_state *out);
    void (*reaped)(struct backend *backend,
                   pid_t pid); /* pid can be waited for; called before it is */
};

/* The first member of each implementation. Its receiver takes the client messages. */
struct backend {
    const struct backend_class *class;
};

#endif
