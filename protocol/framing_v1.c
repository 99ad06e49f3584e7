/* The binary WebSocket framing "v1". The frames of a message stand one after the other, behind a
 * table of offsets; decoding makes views on them. */
#include "protocol/framing.h"

#include "protocol/byte_order.h"

#define PARTS_BEFORE_BUFFERS 5 /* channel, header, parent, metadata, content */

void framed_free(struct framed *f)
{
    free(f->buffers);
    *f = (struct framed){0};
}

/* Part i of a frame, checked: between the end of the part before it and the end of the frame. */
static bool part_at(struct bytes frame, size_t i, struct bytes *out, struct err *e)
{
    uint64_t start = load_u64le(frame.data + 8 * (1 + i));
    uint64_t end = load_u64le(frame.data + 8 * (2 + i));
    if (start > end || end > frame.len)
        return fail(e, 400, "frame: part %zu goes from byte %llu to %llu of %zu", i,
                    (unsigned long long)start, (unsigned long long)end, frame.len);
    *out = (struct bytes){frame.data + start, (size_t)(end - start)};
    return true;
}

/* Checks what the table of offsets says of itself; *parts is how many parts it tells of. */
static bool check_table(struct bytes frame, size_t *parts, struct err *e)
{
    if (frame.len < 8)
        return fail(e, 400, "frame: shorter than its count of offsets");
    uint64_t offsets = load_u64le(frame.data);
    if (offsets < PARTS_BEFORE_BUFFERS + 1)
        return fail(e, 400, "frame: %llu offsets, at least %d are expected",
                    (unsigned long long)offsets, PARTS_BEFORE_BUFFERS + 1);
    if (offsets > PARTS_BEFORE_BUFFERS + 1 + FRAMING_BUFFERS_LIMIT)
        return fail(e, 400, "frame: %llu offsets, more than %d buffers are not accepted",
                    (unsigned long long)offsets, FRAMING_BUFFERS_LIMIT);
    uint64_t table = 8 * (1 + offsets);
    if (frame.len < table)
        return fail(e, 400, "frame: shorter than its table of offsets");
    if (load_u64le(frame.data + 8) != table)
        return fail(e, 400, "frame: the first offset must be %llu, the end of the table",
                    (unsigned long long)table);
    if (load_u64le(frame.data + 8 * offsets) != frame.len)
        return fail(e, 400, "frame: the last offset must be %zu, the length of the frame",
                    frame.len);
    *parts = (size_t)offsets - 1;
    return true;
}

bool framing_v1_decode(struct bytes frame, struct framed *out, struct err *e)
{
    *out = (struct framed){0};
    size_t count = 0;
    if (!check_table(frame, &count, e))
        return false;
    struct bytes parts[PARTS_BEFORE_BUFFERS];
    for (size_t i = 0; i < PARTS_BEFORE_BUFFERS; i++)
        if (!part_at(frame, i, &parts[i], e))
            return false;
    struct message m = {
        .header = parts[1],
        .parent = parts[2],
        .metadata = parts[3],
        .content = parts[4],
        .buffer_count = count - PARTS_BEFORE_BUFFERS,
    };
    if (!channel_parse(parts[0], &m.channel))
        return fail(e, 400, "frame: channel: must be shell, control, stdin or iopub");
    scoped(framed) struct framed f = {0};
    if (m.buffer_count)
        m.buffers = f.buffers = xcalloc(m.buffer_count, sizeof(*f.buffers));
    for (size_t i = 0; i < m.buffer_count; i++)
        if (!part_at(frame, PARTS_BEFORE_BUFFERS + i, &f.buffers[i], e))
            return false;
    out->message = m;
    out->buffers = take(&f.buffers);
    return true;
}

void framing_v1_encode(const struct message *m, struct buffer *out)
{
    struct message whole = message_completed(m);
    const struct bytes parts[PARTS_BEFORE_BUFFERS] = {bytes_of(channel_name(m->channel)),
                                                      whole.header, whole.parent, whole.metadata,
                                                      whole.content};
    size_t count = countof(parts) + m->buffer_count;
    uint64_t at = 8 * (1 + (uint64_t)count + 1);
    size_t total = at;
    for (size_t i = 0; i < count; i++)
        total += i < countof(parts) ? parts[i].len : m->buffers[i - countof(parts)].len;
    char *place = buffer_reserve(out, total);
    store_u64le(place, count + 1);
    store_u64le(place + 8, at);
    out->len += (size_t)at;
    for (size_t i = 0; i < count; i++) {
        struct bytes part = i < countof(parts) ? parts[i] : m->buffers[i - countof(parts)];
        at += part.len;
        store_u64le(place + 8 * (2 + i), at);
        buffer_add_bytes(out, part);
    }
}
