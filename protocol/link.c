/* The codec of the link. The reader keeps what a socket gave in one buffer and hands out frames
 * where they stand in it: at..end is what has not been handed out yet. */
#include "protocol/link.h"

#include <assert.h>

#include "protocol/byte_order.h"

#define FIRST_CAPACITY (64 * 1024)
#define KEPT_CAPACITY  (1024 * 1024) /* more is given back once its frame is done with */

struct link_reader {
    char *data; /* owned */
    size_t capacity, at, end;
    size_t limit_bytes;
    struct bytes *parts; /* owned; of the frame handed out last */
    size_t parts_room;
};

struct head {
    uint8_t kind, flags;
    size_t part_count;
    uint64_t number;
    size_t length; /* what follows the head */
};

static size_t table_len(size_t part_count)
{
    return 4 * part_count;
}

void link_encode_head(struct buffer *out, const struct link_frame *frame)
{
    assert(frame->part_count <= LINK_PARTS_LIMIT);
    size_t head = LINK_HEAD_BYTES + table_len(frame->part_count);
    char *place = buffer_reserve(out, head);
    size_t sum = 0;
    for (size_t i = 0; i < frame->part_count; i++) {
        size_t len = frame->parts[i].len;
        assert(len <= LINK_LIMIT_BYTES - sum);
        sum += len;
        store_u32le(place + LINK_HEAD_BYTES + table_len(i), (uint32_t)len);
    }
    store_u32le(place, (uint32_t)(table_len(frame->part_count) + sum));
    place[4] = (char)frame->kind;
    place[5] = (char)frame->flags;
    store_u16le(place + 6, (uint16_t)frame->part_count);
    store_u64le(place + 8, frame->number);
    out->len += head;
}

void link_encode(struct buffer *out, const struct link_frame *frame)
{
    link_encode_head(out, frame);
    for (size_t i = 0; i < frame->part_count; i++)
        buffer_add_bytes(out, frame->parts[i]);
}

void link_pipe_counts(const uint64_t counts[2], char out[LINK_PIPE_COUNTS_BYTES])
{
    store_u64le(out, counts[0]);
    store_u64le(out + 8, counts[1]);
}

bool link_take_pipe_counts(struct link_frame *frame, uint64_t counts[2], struct err *e)
{
    if (frame->part_count == 0 || frame->parts[frame->part_count - 1].len != LINK_PIPE_COUNTS_BYTES)
        return fail(e, 400, "link: a frame after the pipes does not say after which bytes");
    const char *part = frame->parts[--frame->part_count].data;
    counts[0] = load_u64le(part);
    counts[1] = load_u64le(part + 8);
    return true;
}

struct link_reader *link_reader_new(size_t limit_bytes)
{
    struct link_reader *r = xcalloc(1, sizeof(*r));
    r->limit_bytes = limit_bytes < LINK_LIMIT_BYTES ? limit_bytes : LINK_LIMIT_BYTES;
    return r;
}

void link_reader_free(struct link_reader *r)
{
    if (!r)
        return;
    free(r->data);
    free(r->parts);
    free(r);
}

static struct head head_at(const char *data)
{
    return (struct head){
        .length = load_u32le(data),
        .kind = (uint8_t)data[4],
        .flags = (uint8_t)data[5],
        .part_count = load_u16le(data + 6),
        .number = load_u64le(data + 8),
    };
}

static bool check_head(const struct link_reader *r, const struct head *h, struct err *e)
{
    if (h->part_count > LINK_PARTS_LIMIT)
        return fail(e, 400, "link: %zu parts, at most %d are accepted", h->part_count,
                    LINK_PARTS_LIMIT);
    if (h->length < table_len(h->part_count))
        return fail(e, 400, "link: %zu bytes cannot hold the table of %zu parts", h->length,
                    h->part_count);
    if (h->length - table_len(h->part_count) > r->limit_bytes)
        return fail(e, 413, "link: a frame of %zu bytes, at most %zu are accepted", h->length,
                    r->limit_bytes);
    return true;
}

/* How many bytes the frame that stands first will have in all: what is known so far. A head that
 * will be refused asks for no room. */
static size_t bytes_wanted(const struct link_reader *r)
{
    if (r->end - r->at < LINK_HEAD_BYTES)
        return LINK_HEAD_BYTES;
    struct head h = head_at(r->data + r->at);
    return LINK_HEAD_BYTES + (check_head(r, &h, NULL) ? h.length : 0);
}

static void set_capacity(struct link_reader *r, size_t capacity)
{
    r->data = xrealloc(r->data, capacity);
    r->capacity = capacity;
}

char *link_reader_space(struct link_reader *r, size_t *len)
{
    if (r->at == r->end) {
        r->at = r->end = 0;
        if (r->capacity > KEPT_CAPACITY) {
            free(r->data);
            r->data = NULL;
            r->capacity = 0;
        }
        if (!r->data)
            set_capacity(r, FIRST_CAPACITY);
    }
    size_t wanted = bytes_wanted(r);
    if (r->capacity - r->at < wanted || r->end == r->capacity) {
        memmove(r->data, r->data + r->at, r->end - r->at);
        r->end -= r->at;
        r->at = 0;
        if (r->capacity < wanted)
            set_capacity(r, wanted);
        else if (r->end == r->capacity)
            set_capacity(r, r->capacity * 2);
    }
    *len = r->capacity - r->end;
    return r->data + r->end;
}

void link_reader_filled(struct link_reader *r, size_t len)
{
    assert(len <= r->capacity - r->end);
    r->end += len;
}

/* Points r->parts into the frame; its whole length is there. */
static bool find_parts(struct link_reader *r, const struct head *h, struct err *e)
{
    if (h->part_count > r->parts_room) {
        r->parts = xrealloc(r->parts, h->part_count * sizeof(*r->parts));
        r->parts_room = h->part_count;
    }
    const char *table = r->data + r->at + LINK_HEAD_BYTES;
    const char *part = table + table_len(h->part_count);
    size_t left = h->length - table_len(h->part_count);
    for (size_t i = 0; i < h->part_count; i++) {
        size_t len = load_u32le(table + table_len(i));
        if (len > left)
            return fail(e, 400, "link: part %zu of %zu bytes leaves its frame", i, len);
        r->parts[i] = (struct bytes){part, len};
        part += len;
        left -= len;
    }
    return left == 0 || fail(e, 400, "link: %zu bytes of a frame belong to no part", left);
}

int link_reader_next(struct link_reader *r, struct link_frame *out, struct err *e)
{
    size_t there = r->end - r->at;
    if (there < LINK_HEAD_BYTES)
        return 0;
    struct head h = head_at(r->data + r->at);
    if (!check_head(r, &h, e))
        return -1;
    if (there - LINK_HEAD_BYTES < h.length)
        return 0;
    if (!find_parts(r, &h, e))
        return -1;
    *out = (struct link_frame){h.kind, h.flags, h.number, r->parts, h.part_count};
    r->at += LINK_HEAD_BYTES + h.length;
    return 1;
}
