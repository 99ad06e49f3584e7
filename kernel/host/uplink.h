/* The gateway frontend: a Unix socket to which one gateway at a time is attached, and the numbered
 * messages that it has not stored yet. docs/link.md, "Between a gateway and a host". */
#ifndef WARMCELL_KERNEL_HOST_UPLINK_H
#define WARMCELL_KERNEL_HOST_UPLINK_H

#include "kernel/host/backend.h"
#include "kernel/host/frontend.h"
#include "sandbox/loop.h"

/* Strings are borrowed for the life of the uplink. */
struct uplink_plan {
    const char *path;            /* of the socket; at most 107 bytes */
    int listen_fd;               /* listens at path already; taken. 0: none does */
    int64_t lease_s;             /* 0: for ever */
    const char *connection_file; /* what STATE says; or NULL */
    size_t memory_bytes;         /* the bound of what is kept in memory */
    struct receiver receiver;
    struct backend *backend;
    void (*on_lease_over)(void *data);
    void *data;
};

struct uplink;

/* Listens (mode 0600). 400: the path is too long, the descriptor is not that of a socket; 409:
 * another process serves it; 503. */
struct uplink *uplink_open(struct loop *loop, const struct uplink_plan *plan, struct err *e);
struct frontend *uplink_frontend(struct uplink *u);

/* Says DEATH after everything else and calls on_finished once when the gateway has all of it, or is
 * gone: then at once when nothing waits for it or there is no lease, else when the lease is over.
 * end is borrowed for the call. */
void uplink_finish(struct uplink *u, const struct backend_end *end, void (*on_finished)(void *data),
                   void *data);
void uplink_close(struct uplink *u); /* removes the socket; NULL is legal */

#endif
