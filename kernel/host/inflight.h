/* Counts the bytes that ZeroMQ holds for clients that have not read them yet, so that output waits
 * for its readers instead of growing or being dropped.
 *
 * The sockets have no high-water mark of their own: ZeroMQ counts messages, which says nothing
 * about memory. Each message carries its weight in its last frame; ZeroMQ releases it when the last
 * reader has been sent it, on its own thread. */
#ifndef WARMCELL_KERNEL_HOST_INFLIGHT_H
#define WARMCELL_KERNEL_HOST_INFLIGHT_H

#include <zmq.h>

#include "protocol/bytes.h"

#define INFLIGHT_HIGH_WATER_BYTES (16u * 1024 * 1024)
#define INFLIGHT_LOW_WATER_BYTES  (4u * 1024 * 1024)

struct inflight;
struct inflight *inflight_new(void);
void inflight_free(struct inflight *inflight); /* after the ZeroMQ context has ended */

/* Readable when the weight has fallen below the low-water mark; inflight_settled() clears it. */
int inflight_fd(const struct inflight *inflight);
void inflight_settled(struct inflight *inflight);

bool inflight_above(const struct inflight *inflight); /* above the high-water mark */
size_t inflight_bytes(const struct inflight *inflight);

/* Makes *out a copy of part that weighs `weight` bytes until ZeroMQ lets go of it. */
void inflight_frame(struct inflight *inflight, zmq_msg_t *out, struct bytes part, size_t weight);

#endif
