/* The gateway's end of one host: a connection to its Unix socket that is made, kept and made again.
 *
 * docs/link.md, "Between a gateway and a host". Nothing here knows what a message means. */
#ifndef WARMCELL_GATEWAY_CORE_UPLINK_H
#define WARMCELL_GATEWAY_CORE_UPLINK_H

#include <uv.h>

#include "protocol/link.h"

#define UPLINK_QUEUE_LIMIT_BYTES                                                                   \
    (64 * 1024 * 1024) /* to a host that does not read, or is not there yet */

struct uplink;

/* Called on the loop's thread. Views live for the call. uplink_close may be called from each of
 * them. */
struct uplink_events {
    /* Asked right before each ATTACH: the host's last sequence that is stored. */
    uint64_t (*stored)(void *user);
    /* STATE, DEATH, RESULT and KERNEL_MESSAGE frames. */
    void (*on_frame)(void *user, const struct link_frame *frame);
    /* What could be read now has been given; frames may follow in a later turn. */
    void (*on_batch)(void *user);
    /* The connection ended; it is tried again until uplink_close. why is for the log. */
    void (*on_lost)(void *user, const char *why);
};

/* Begins to connect to path, which need not exist yet. path must fit a sun_path (a bug otherwise).
 */
struct uplink *uplink_open(uv_loop_t *loop, const char *path, const struct uplink_events *events,
                           void *user);

/* No event comes after it; memory is given back by the loop. NULL is fine. */
void uplink_close(struct uplink *u);

/* The host answered STATE on the present connection. */
bool uplink_attached(const struct uplink *u);
bool uplink_connected(const struct uplink *u);

/* Sends a frame, now or after the next ATTACH. False: the queue is full (503). */
bool uplink_send(struct uplink *u, const struct link_frame *frame, struct err *e);

/* Stops and starts taking frames; the host keeps what is not taken. */
void uplink_pause(struct uplink *u, bool paused);

#endif
