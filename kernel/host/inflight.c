/* The weight of what ZeroMQ has not sent yet. add() on the loop's thread, release() on ZeroMQ's. */
#include "kernel/host/inflight.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct inflight {
    atomic_size_t bytes;
    int event_fd;
};

struct weighed {
    struct inflight *inflight;
    size_t weight;
    char data[];
};

struct inflight *inflight_new(void)
{
    struct inflight *inflight = xcalloc(1, sizeof *inflight);
    inflight->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (inflight->event_fd < 0) {
        perror("warmcell-kernel: eventfd");
        abort();
    }
    return inflight;
}

void inflight_free(struct inflight *inflight)
{
    if (!inflight)
        return;
    close(inflight->event_fd);
    free(inflight);
}

int inflight_fd(const struct inflight *inflight)
{
    return inflight->event_fd;
}

void inflight_settled(struct inflight *inflight)
{
    uint64_t count;
    while (read(inflight->event_fd, &count, sizeof count) > 0)
        ;
}

size_t inflight_bytes(const struct inflight *inflight)
{
    return atomic_load_explicit(&inflight->bytes, memory_order_relaxed);
}

bool inflight_above(const struct inflight *inflight)
{
    return inflight_bytes(inflight) > INFLIGHT_HIGH_WATER_BYTES;
}

static void release(void *data, void *hint)
{
    struct weighed *weighed = hint;
    (void)data;
    struct inflight *inflight = weighed->inflight;
    size_t before = atomic_fetch_sub(&inflight->bytes, weighed->weight);
    bool crossed =
        before > INFLIGHT_LOW_WATER_BYTES && before - weighed->weight <= INFLIGHT_LOW_WATER_BYTES;
    free(weighed);
    if (crossed) {
        ssize_t written = write(inflight->event_fd, &(uint64_t){1}, sizeof(uint64_t));
        (void)written; /* full: it is readable already */
    }
}

void inflight_frame(struct inflight *inflight, zmq_msg_t *out, struct bytes part, size_t weight)
{
    struct weighed *weighed = xmalloc(sizeof *weighed + part.len);
    weighed->inflight = inflight;
    weighed->weight = weight;
    if (part.len)
        memcpy(weighed->data, part.data, part.len);
    atomic_fetch_add(&inflight->bytes, weight);
    if (zmq_msg_init_data(out, weighed->data, part.len, release, weighed) != 0)
        abort(); /* ENOMEM is its only error */
}
