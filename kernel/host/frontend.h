/* Where requests come from and messages go to: the ZeroMQ sockets, and the gateway's uplink. */
#ifndef WARMCELL_KERNEL_HOST_FRONTEND_H
#define WARMCELL_KERNEL_HOST_FRONTEND_H

#include "protocol/message.h"

struct frontend;

struct frontend_class {
    /* Sends m: on iopub to everybody, on another channel to m->identities. Everything is copied or
     * sent before it returns. Never fails: a client that has gone is nobody's concern. */
    void (*send)(struct frontend *frontend, const char *msg_type, const struct message *m);
    /* True while so much waits to be read by clients that no more output should be made. */
    bool (*congested)(struct frontend *frontend);
    /* Takes in every client message that has arrived, so that "already queued" has a meaning. */
    void (*drain)(struct frontend *frontend);
};

/* The first member of each implementation. */
struct frontend {
    const struct frontend_class *class;
};

/* What a frontend hands its messages to. m is borrowed for the call; its channel says where it came
 * in. */
struct receiver {
    void (*on_message)(void *data, struct frontend *from, const struct message *m);
    void (*on_relief)(void *data); /* congested() may have become false */
    void *data;
};

#endif
