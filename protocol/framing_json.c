/* The JSON WebSocket framing, which clients get that ask for no subprotocol. The raw texts of a
 * message's parts are put together and cut out again, so that what a kernel wrote (0.1) is what its
 * client reads. */
#include "protocol/framing.h"

#include "protocol/byte_order.h"
#include "protocol/json.h"

/* An object member of a decoded message: absent and null mean {}. */
static bool object_of(const struct slice *slice, struct bytes *out, struct err *e)
{
    if (!slice->value.data || bytes_is(slice->value, "null")) {
        *out = bytes_of("{}");
        return true;
    }
    if (!json_slice_is_object(slice->value))
        return fail(e, 400, "%s: must be an object", slice->name);
    *out = slice->value;
    return true;
}

static bool channel_of(const struct slice *slice, enum channel *out, struct err *e)
{
    *out = CHANNEL_SHELL;
    if (!slice->value.data || bytes_is(slice->value, "null"))
        return true;
    size_t len = 0;
    scoped(string) char *name = json_slice_string(slice->value, &len);
    if (!name || !channel_parse((struct bytes){name, len}, out))
        return fail(e, 400, "channel: must be shell, control, stdin or iopub");
    return true;
}

static bool read_text(struct bytes text, struct message *m, struct err *e)
{
    enum { HEADER, PARENT, METADATA, CONTENT, CHANNEL };
    struct slice slices[] = {
        [HEADER] = {.name = "header"},     [PARENT] = {.name = "parent_header"},
        [METADATA] = {.name = "metadata"}, [CONTENT] = {.name = "content"},
        [CHANNEL] = {.name = "channel"},
    };
    if (!json_slices(text, slices, countof(slices), e))
        return false;
    if (!slices[HEADER].value.data || bytes_is(slices[HEADER].value, "null"))
        return fail(e, 400, "header: is required");
    return object_of(&slices[HEADER], &m->header, e) && object_of(&slices[PARENT], &m->parent, e) &&
           object_of(&slices[METADATA], &m->metadata, e) &&
           object_of(&slices[CONTENT], &m->content, e) &&
           channel_of(&slices[CHANNEL], &m->channel, e);
}

/* Checks what the table of offsets says of itself; *parts is how many parts it tells of. */
static bool check_table(struct bytes frame, size_t *parts, struct err *e)
{
    if (frame.len < 4)
        return fail(e, 400, "frame: shorter than its count of offsets");
    size_t count = load_u32be(frame.data);
    if (count == 0)
        return fail(e, 400, "frame: at least one offset is expected");
    if (count > 1 + FRAMING_BUFFERS_LIMIT)
        return fail(e, 400, "frame: %zu offsets, more than %d buffers are not accepted", count,
                    FRAMING_BUFFERS_LIMIT);
    size_t table = 4 * (1 + count);
    if (frame.len < table)
        return fail(e, 400, "frame: shorter than its table of offsets");
    if (load_u32be(frame.data + 4) != table)
        return fail(e, 400, "frame: the first offset must be %zu, the end of the table", table);
    *parts = count;
    return true;
}

/* Part i of `count`; the last one ends with the frame. */
static bool part_at(struct bytes frame, size_t i, size_t count, struct bytes *out, struct err *e)
{
    size_t start = load_u32be(frame.data + 4 * (1 + i));
    size_t end = i + 1 < count ? load_u32be(frame.data + 4 * (2 + i)) : frame.len;
    if (start > end || end > frame.len)
        return fail(e, 400, "frame: part %zu goes from byte %zu to %zu of %zu", i, start, end,
                    frame.len);
    *out = (struct bytes){frame.data + start, end - start};
    return true;
}

bool framing_json_decode(struct bytes frame, bool binary, struct framed *out, struct err *e)
{
    *out = (struct framed){0};
    struct message m = {0};
    struct bytes text = frame;
    size_t count = 1;
    if (binary && (!check_table(frame, &count, e) || !part_at(frame, 0, count, &text, e)))
        return false;
    if (!read_text(text, &m, e))
        return false;
    scoped(framed) struct framed f = {0};
    m.buffer_count = count - 1;
    if (m.buffer_count)
        m.buffers = f.buffers = xcalloc(m.buffer_count, sizeof(*f.buffers));
    for (size_t i = 0; i < m.buffer_count; i++)
        if (!part_at(frame, 1 + i, count, &f.buffers[i], e))
            return false;
    out->message = m;
    out->buffers = take(&f.buffers);
    return true;
}

static void add_member(struct buffer *out, const char *name, struct bytes raw)
{
    buffer_add_text(out, name);
    buffer_add_bytes(out, raw);
}

/* What a kernel calls an object: one that is none could make up the members beside it. */
static struct bytes sound(struct bytes object)
{
    return json_slices(object, NULL, 0, NULL) ? object : bytes_of("{}");
}

static bool is_string(struct bytes raw)
{
    return raw.len > 0 && raw.data[0] == '"';
}

/* Appends the JSON part. "buffers" stands in it only where none follow, as in jupyter_server. */
static bool add_text(const struct message *m, struct buffer *out, struct err *e)
{
    enum { ID, TYPE };
    struct slice slices[] = {[ID] = {.name = "msg_id"}, [TYPE] = {.name = "msg_type"}};
    struct err why;
    if (!json_slices(m->header, slices, countof(slices), &why))
        return fail(e, why.status, "header: %s", why.text);
    for (size_t i = 0; i < countof(slices); i++)
        if (!is_string(slices[i].value))
            return fail(e, 400, "header: %s: must be a string", slices[i].name);
    struct message whole = message_completed(m);
    whole.parent = sound(whole.parent);
    whole.metadata = sound(whole.metadata);
    whole.content = sound(whole.content);
    buffer_reserve(out, whole.header.len + whole.parent.len + whole.metadata.len +
                            whole.content.len + slices[ID].value.len + slices[TYPE].value.len +
                            128);
    add_member(out, "{\"header\":", whole.header);
    add_member(out, ",\"msg_id\":", slices[ID].value);
    add_member(out, ",\"msg_type\":", slices[TYPE].value);
    add_member(out, ",\"parent_header\":", whole.parent);
    add_member(out, ",\"metadata\":", whole.metadata);
    add_member(out, ",\"content\":", whole.content);
    if (m->buffer_count == 0)
        buffer_add_text(out, ",\"buffers\":[]");
    add_member(out, ",\"channel\":\"", bytes_of(channel_name(m->channel)));
    buffer_add_text(out, "\"}");
    return true;
}

/* True when the frame that starts at out->data + start can be addressed with 32 bits. */
static bool fits(const struct message *m, size_t len, struct err *e)
{
    for (size_t i = 0; i < m->buffer_count && len <= UINT32_MAX; i++)
        len += m->buffers[i].len;
    return len <= UINT32_MAX || fail(e, 413, "message: larger than the 4 GiB of the JSON framing");
}

bool framing_json_encode(const struct message *m, struct buffer *out, bool *binary, struct err *e)
{
    size_t start = out->len;
    size_t count = 1 + m->buffer_count;
    size_t table = m->buffer_count ? 4 * (1 + count) : 0;
    buffer_reserve(out, table);
    out->len += table;
    if (!add_text(m, out, e) || (table && !fits(m, out->len - start, e))) {
        out->len = start;
        return false;
    }
    *binary = table > 0;
    if (!table)
        return true;
    store_u32be(out->data + start, (uint32_t)count);
    store_u32be(out->data + start + 4, (uint32_t)table);
    for (size_t i = 0; i < m->buffer_count; i++) {
        store_u32be(out->data + start + 4 * (2 + i), (uint32_t)(out->len - start));
        buffer_add_bytes(out, m->buffers[i]);
    }
    return true;
}
