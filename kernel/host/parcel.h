/* One multi-part ZeroMQ message: received whole, or sent whole. */
#ifndef WARMCELL_KERNEL_HOST_PARCEL_H
#define WARMCELL_KERNEL_HOST_PARCEL_H

#include <zmq.h>

#include "kernel/host/inflight.h"
#include "protocol/bytes.h"
#include "protocol/link.h"

#define PARCEL_FRAMES_LIMIT (LINK_PARTS_LIMIT - 16)
#define PARCEL_LIMIT_BYTES  (256u * 1024 * 1024)
#define PARCEL_FRAME_LIMIT_BYTES                                                                   \
    (64 * 1024 * 1024) /* ZMQ_MAXMSGSIZE: a peer beyond it is cut off */

/* {0} is empty. parts borrow the frames; frame_count entries. */
struct parcel {
    zmq_msg_t **frames;
    struct bytes *parts;
    size_t frame_count;
    size_t capacity;
    bool too_big; /* beyond a limit: received to its end, but without content */
};

/* 1: one message, 0: none waiting (EAGAIN), -1: the socket is closed or broken. What p held before
 * is released. */
int parcel_receive(void *socket, struct parcel *p);
void parcel_clear(struct parcel *p); /* releases the frames, keeps the arrays */
void parcel_free(struct parcel *p);
static inline void parcel_scoped(struct parcel *p)
{
    parcel_free(p);
}

/* Sends the parts as one message without waiting; with an inflight, their weight is counted. False:
 * ZeroMQ did not take it. */
bool parcel_send(void *socket, const struct bytes *parts, size_t count, struct inflight *inflight);

#endif
