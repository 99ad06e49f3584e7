/* See outbox.h. */
#include "protocol/outbox.h"

#include <string.h>

const char *const outbox_names[2] = {"stdout", "stderr"};

/* The open frame of a slot; what it points to lies in itself, in the slot and behind text. */
struct open_frame {
    char counts[LINK_PIPE_COUNTS_BYTES];
    struct bytes parts[3];
    struct link_frame frame;
};

static void describe(const struct outbox_slot *slot, struct bytes text, struct open_frame *out)
{
    bool after_pipes = slot->after_pipes;
    link_pipe_counts(slot->pipe_counts, out->counts);
    out->parts[0] = (struct bytes){outbox_names[slot->stream & 1], OUTBOX_NAME_BYTES};
    out->parts[1] = text;
    out->parts[2] = (struct bytes){out->counts, sizeof out->counts};
    out->frame = (struct link_frame){.kind = LINK_STREAM,
                                     .flags = after_pipes ? LINK_FLAG_PIPES_FIRST : 0,
                                     .number = slot->number,
                                     .parts = out->parts,
                                     .part_count = after_pipes ? 3 : 2};
}

size_t outbox_close_frame(struct outbox_slot *slot, size_t whole, size_t text)
{
    struct open_frame open;
    describe(slot, (struct bytes){NULL, text}, &open);
    char place[LINK_HEAD_BYTES + 3 * 4];
    struct buffer head = {place, 0, sizeof place};
    link_encode_head(&head, &open.frame);
    memcpy(slot->data + whole, place, head.len);
    memcpy(slot->data + whole + head.len, open.parts[0].data, OUTBOX_NAME_BYTES);
    whole += head.len + OUTBOX_NAME_BYTES + text;
    if (open.frame.part_count == 2)
        return whole;
    memcpy(slot->data + whole, open.counts, sizeof open.counts);
    return whole + sizeof open.counts;
}

/* What a slot says of itself, read once: it is another's memory. */
struct found {
    const struct outbox_slot *slot;
    uint64_t at;
    size_t whole, text;
};

static bool look(const struct outbox_slot *slot, struct found *out)
{
    uint64_t fill = atomic_load(&slot->fill);
    *out = (struct found){slot, slot->at, (uint32_t)fill, (size_t)(fill >> 32)};
    size_t used = out->whole + (out->text ? outbox_head_bytes(true) + out->text : 0);
    return fill != 0 && used <= OUTBOX_DATA_BYTES && out->at <= UINT64_MAX - OUTBOX_SLOT_BYTES;
}

/* By what stands first in the stream. */
static size_t look_at_all(void *outbox, struct found *out)
{
    size_t count = 0;
    for (size_t n = 0; n < OUTBOX_SLOTS; n++) {
        struct found found;
        if (!look(outbox_slot(outbox, n), &found))
            continue;
        size_t place = count++;
        for (; place > 0 && out[place - 1].at > found.at; place--)
            out[place] = out[place - 1];
        out[place] = found;
    }
    return count;
}

static void add_open_frame(struct buffer *out, const struct found *f)
{
    const char *text = f->slot->data + f->whole + outbox_head_bytes(f->slot->after_pipes);
    struct open_frame open;
    describe(f->slot, (struct bytes){text, f->text}, &open);
    link_encode(out, &open.frame);
}

void outbox_collect(void *outbox, uint64_t from, struct buffer *out, uint64_t *gap,
                    uint64_t *missing)
{
    struct found found[OUTBOX_SLOTS];
    size_t count = look_at_all(outbox, found);
    size_t before = out->len;
    *gap = *missing = 0;
    for (size_t n = 0; n < count; n++) {
        const struct found *f = &found[n];
        uint64_t end = f->at + f->whole;
        if (end < from || (end == from && f->text == 0))
            continue;
        if (f->at > from) {
            *(out->len == before ? gap : missing) += f->at - from;
            from = f->at;
        }
        size_t skip = (size_t)(from - f->at);
        buffer_add(out, f->slot->data + skip, f->whole - skip);
        if (f->text)
            add_open_frame(out, f);
        from = end;
    }
}
