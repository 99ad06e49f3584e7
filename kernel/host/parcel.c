/* Multi-part messages over ZeroMQ sockets. ZeroMQ delivers a multi-part message whole or not at
 * all, so only the first frame of one can be EAGAIN. */
#include "kernel/host/parcel.h"

#include <errno.h>

#define WEIGHT_OF_A_MESSAGE 512 /* what ZeroMQ keeps besides the bytes, roughly */

void parcel_clear(struct parcel *p)
{
    for (size_t i = 0; i < p->frame_count; i++)
        zmq_msg_close(p->frames[i]);
    p->frame_count = 0;
    p->too_big = false;
}

void parcel_free(struct parcel *p)
{
    parcel_clear(p);
    for (size_t i = 0; i < p->capacity; i++)
        free(p->frames[i]);
    free(p->frames);
    free(p->parts);
    *p = (struct parcel){0};
}

static void grow(struct parcel *p)
{
    size_t capacity = p->capacity ? 2 * p->capacity : 16;
    p->frames = xrealloc(p->frames, capacity * sizeof *p->frames);
    p->parts = xrealloc(p->parts, capacity * sizeof *p->parts);
    for (size_t i = p->capacity; i < capacity; i++)
        p->frames[i] = xmalloc(sizeof **p->frames);
    p->capacity = capacity;
}

static bool receive_frame(void *socket, zmq_msg_t *frame)
{
    zmq_msg_init(frame);
    while (zmq_msg_recv(frame, socket, ZMQ_DONTWAIT) < 0) {
        if (errno == EINTR)
            continue;
        int saved = errno;
        zmq_msg_close(frame);
        errno = saved;
        return false;
    }
    return true;
}

int parcel_receive(void *socket, struct parcel *p)
{
    parcel_clear(p);
    size_t total = 0;
    for (bool more = true; more;) {
        if (p->frame_count == p->capacity)
            grow(p);
        zmq_msg_t *frame = p->frames[p->frame_count];
        if (!receive_frame(socket, frame)) {
            int result = errno == EAGAIN && p->frame_count == 0 ? 0 : -1;
            parcel_clear(p);
            return result;
        }
        more = zmq_msg_more(frame);
        total += zmq_msg_size(frame);
        if (p->too_big || p->frame_count >= PARCEL_FRAMES_LIMIT || total > PARCEL_LIMIT_BYTES) {
            p->too_big = true;
            zmq_msg_close(frame);
            continue;
        }
        p->parts[p->frame_count++] = (struct bytes){zmq_msg_data(frame), zmq_msg_size(frame)};
    }
    return 1;
}

static bool send_frame(void *socket, zmq_msg_t *frame, int flags)
{
    while (zmq_msg_send(frame, socket, flags) < 0) {
        if (errno == EINTR)
            continue;
        zmq_msg_close(frame);
        return false;
    }
    return true;
}

bool parcel_send(void *socket, const struct bytes *parts, size_t count, struct inflight *inflight)
{
    size_t weight = WEIGHT_OF_A_MESSAGE;
    for (size_t i = 0; i < count; i++)
        weight += parts[i].len;
    for (size_t i = 0; i < count; i++) {
        bool last = i + 1 == count;
        zmq_msg_t frame;
        if (last && inflight) {
            inflight_frame(inflight, &frame, parts[i], weight);
        } else {
            if (zmq_msg_init_size(&frame, parts[i].len) != 0)
                abort(); /* out of memory */
            if (parts[i].len)
                memcpy(zmq_msg_data(&frame), parts[i].data, parts[i].len);
        }
        if (!send_frame(socket, &frame, ZMQ_DONTWAIT | (last ? 0 : ZMQ_SNDMORE)))
            return false;
    }
    return true;
}
