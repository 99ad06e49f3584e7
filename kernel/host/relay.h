/* A kernel that speaks ZeroMQ itself (ipykernel, xeus-python, IRkernel...), served to the gateway behind this host: started
 * and watched by us, its messages signed anew in one direction and checked in the other. The second backend besides
 * kernel.h. */
#ifndef WARMCELL_KERNEL_HOST_RELAY_H
#define WARMCELL_KERNEL_HOST_RELAY_H

#include "kernel/host/backend.h"
#include "kernel/host/loop.h"

/* Borrowed for the life of the relay. */
struct relay_plan {
    char *const *argv;           /* the kernel's command; it finds connection_file by itself */
    const char *connection_file; /* written by the relay, mode 0600 */
    bool interrupt_by_message;   /* interrupt_request on control instead of SIGINT */
};

struct relay;

/* Writes the connection file. 503: not yet. */
struct relay *relay_open(struct loop *loop, const struct relay_plan *plan, struct err *e);
struct backend *relay_backend(struct relay *r);

#endif
