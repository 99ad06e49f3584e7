/* From bytes of a socket to events. What is whole in the piece that came is checked where it lies;
 * only what breaks off is kept for the next piece.
 *
 * Invariant: an answer keeps less than one event, or one frame, of what it was given. */
#include "tests/soak/answer.h"

#include <stdio.h>

#define HEAD_LIMIT_BYTES (16 * 1024)
#define ITEM_LIMIT_BYTES (4 * 1024 * 1024)

void answer_free(struct answer *a)
{
    buffer_free(&a->part);
    buffer_free(&a->pieces);
}

/* --- what the body is made of */

static bool take_line(struct printed_place *place, struct bytes item, struct err *e)
{
    return printed_event(place, &item, e) &&
           (!item.len || fail(e, 1, "an event is followed by something on its line"));
}

static bool take_sent_event(struct printed_place *place, struct bytes item, struct err *e)
{
    char head[64];
    snprintf(head, sizeof head, "id: %llu\ndata: ", (unsigned long long)place->events + 1);
    return printed_word(&item, head, e) && take_line(place, item, e);
}

/* Where mark stands; NULL: not in data. */
static const char *find(struct bytes data, const char *mark)
{
    return data.len ? memmem(data.data, data.len, mark, strlen(mark)) : NULL;
}

/* Gives each item that ends in mark, across pieces. */
static bool take_items(struct answer *a, struct printed_place *place, struct bytes data,
                       struct err *e)
{
    static const struct {
        const char *mark;
        bool (*check)(struct printed_place *place, struct bytes item, struct err *e);
    } forms[] = {
        [ANSWER_LINES] = {"\n", take_line},
        [ANSWER_EVENTS] = {"\n\n", take_sent_event},
    };
    const char *mark = forms[a->form].mark, *end;
    bool joined = a->pieces.len != 0;
    if (joined) {
        buffer_add_bytes(&a->pieces, data);
        data = buffer_view(&a->pieces);
    }
    size_t whole = data.len;
    while (!place->ended && (end = find(data, mark))) {
        struct bytes item = {data.data, (size_t)(end - data.data)};
        if (!forms[a->form].check(place, item, e))
            return false;
        data.len -= item.len + strlen(mark);
        data.data = end + strlen(mark);
    }
    if (joined)
        buffer_drop(&a->pieces, whole - data.len);
    else
        buffer_add_bytes(&a->pieces, data);
    return a->pieces.len < ITEM_LIMIT_BYTES || fail(e, 1, "an event does not end");
}

static bool take_body(struct answer *a, struct printed_place *place, struct bytes data,
                      struct err *e)
{
    return a->form == ANSWER_TEXT ? printed_text(place, data, PRINTED_RAW, e)
                                  : take_items(a, place, data, e);
}

/* {"id":"1","execution":"…","events":[…]}; the first one of all says hello. */
static bool take_message(struct answer *a, struct printed_place *place, struct bytes message,
                         struct err *e)
{
    const char *list = "\"events\":[", *found;
    if (!a->greeted) {
        a->greeted = true;
        return printed_word(&message, "{\"type\":\"hello\",", e);
    }
    found = find(message, list);
    if (!found || !printed_word(&message, "{\"id\":\"1\",", e))
        return fail(e, 1, "a frame without events: \"%.*s\"", (int)message.len % 200, message.data);
    message.len -= (size_t)(found - message.data) + strlen(list);
    message.data = found + strlen(list);
    if (message.len && *message.data == ']')
        return printed_word(&message, "]}", e);
    while (printed_event(place, &message, e)) {
        if (place->ended)
            return true;
        if (message.len && *message.data == ']')
            return printed_word(&message, "]}", e);
        if (!printed_word(&message, ",", e))
            return false;
    }
    return false;
}

/* --- how the body comes. Each takes a part of data off, or nothing when more is needed. */

static bool take_head(struct answer *a, struct bytes *head, struct err *e)
{
    const char *end = find(*head, "\r\n\r\n");
    bool stream = a->form == ANSWER_STREAM;
    if (!end)
        return head->len < HEAD_LIMIT_BYTES || fail(e, 1, "the head does not end");
    if (strncmp(head->data, stream ? "HTTP/1.1 101 " : "HTTP/1.1 200 ", 13) != 0)
        return fail(e, 1, "the answer is \"%.*s\"", (int)(head->len < 300 ? head->len : 300),
                    head->data);
    head->len -= (size_t)(end + 4 - head->data);
    head->data = end + 4;
    a->state = stream ? STATE_FRAME : STATE_CHUNK_SIZE;
    return true;
}

static bool take_size(struct answer *a, struct bytes *data, struct err *e)
{
    const char *end = find(*data, "\r\n");
    if (!end)
        return data->len < 20 || fail(e, 1, "a chunk has no size");
    a->left = 0;
    for (; data->data < end; data->data++, data->len--) {
        const char *digits = "0123456789abcdef", *digit = strchr(digits, *data->data);
        if (!digit || !*digit)
            return fail(e, 1, "the size of a chunk is no number");
        a->left = a->left << 4 | (uint64_t)(digit - digits);
    }
    a->state = a->left ? STATE_CHUNK : STATE_LAST;
    return printed_word(data, "\r\n", e);
}

static bool take_chunk(struct answer *a, struct printed_place *place, struct bytes *data,
                       struct err *e)
{
    struct bytes piece = {data->data, a->left < data->len ? (size_t)a->left : data->len};
    data->data += piece.len;
    data->len -= piece.len;
    a->left -= piece.len;
    if (a->left == 0)
        a->state = STATE_CHUNK_END;
    return take_body(a, place, piece, e);
}

static bool take_line_end(struct answer *a, struct bytes *data, enum answer_state next,
                          struct err *e)
{
    if (data->len < 2)
        return true;
    a->state = next;
    return printed_word(data, "\r\n", e);
}

static bool take_frame(struct answer *a, struct printed_place *place, struct bytes *data,
                       struct err *e)
{
    const unsigned char *head = (const unsigned char *)data->data;
    size_t head_bytes = data->len < 2 ? 2 : head[1] == 126 ? 4 : head[1] == 127 ? 10 : 2;
    if (data->len < head_bytes)
        return true;
    uint64_t len = head_bytes == 2 ? head[1] : 0;
    for (size_t i = 2; i < head_bytes; i++)
        len = len << 8 | head[i];
    if (len > ITEM_LIMIT_BYTES)
        return fail(e, 1, "a frame of %llu bytes", (unsigned long long)len);
    if (data->len - head_bytes < len)
        return true;
    struct bytes message = {data->data + head_bytes, (size_t)len};
    data->data += head_bytes + len;
    data->len -= head_bytes + (size_t)len;
    if (head[0] == 0x89) /* a ping, which needs no answer here */
        return true;
    if (head[0] != 0x81)
        return fail(e, 1, "a frame of the kind %02x", head[0]);
    return take_message(a, place, message, e);
}

static bool take_some(struct answer *a, struct printed_place *place, struct bytes *data,
                      struct err *e)
{
    switch (a->state) {
    case STATE_HEAD:
        return take_head(a, data, e);
    case STATE_CHUNK_SIZE:
        return take_size(a, data, e);
    case STATE_CHUNK:
        return take_chunk(a, place, data, e);
    case STATE_CHUNK_END:
        return take_line_end(a, data, STATE_CHUNK_SIZE, e);
    case STATE_LAST:
        return take_line_end(a, data, STATE_OVER, e);
    case STATE_FRAME:
        return take_frame(a, place, data, e);
    case STATE_OVER:
        break;
    }
    return fail(e, 1, "something comes behind the end");
}

bool answer_take(struct answer *a, struct printed_place *place, struct bytes data, struct err *e)
{
    bool joined = a->part.len != 0;
    if (joined) {
        buffer_add_bytes(&a->part, data);
        data = buffer_view(&a->part);
    }
    size_t whole = data.len, before;
    do {
        before = data.len;
        if (data.len && !(a->form != ANSWER_TEXT && place->ended) && !take_some(a, place, &data, e))
            return false;
    } while (data.len != before);
    if (joined)
        buffer_drop(&a->part, whole - data.len);
    else if (data.len)
        buffer_add_bytes(&a->part, data);
    return true;
}
