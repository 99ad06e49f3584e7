/* The error of an execution as JSON. It is raw JSON of the kernel's, never printed again; what a
 * record keeps of it is bounded, since user code says how long it is. */
#include <string.h>

#include "gateway/core/execution.h"
#include "gateway/core/execution_state.h"
#include "protocol/json.h"

#define NAME_LIMIT_BYTES      1024
#define VALUE_LIMIT_BYTES     (64 * 1024)
#define TRACEBACK_LIMIT_BYTES (256 * 1024)

/* The bytes of one character, or of one escape, which are not to be parted. */
static size_t unit_bytes(const char *at, size_t left)
{
    unsigned char first = (unsigned char)*at;
    size_t len = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first == '\\') {
        bool code = left > 1 && at[1] == 'u';
        bool high = code && left >= 12 && strchr("dD", at[2]) && strchr("89abAB", at[3]);
        len = !code ? 2 : high && at[6] == '\\' && at[7] == 'u' ? 12 : 6;
    }
    return len < left ? len : left;
}

/* The length of the text of a raw string (at its first character) up to its quote or the limit. */
static size_t text_bytes(const char *at, size_t left, size_t limit)
{
    size_t len = 0;
    while (len < left && at[len] != '"') {
        size_t unit = unit_bytes(at + len, left - len);
        if (len + unit > limit)
            break;
        len += unit;
    }
    return len;
}

/* A raw value, of which a string is cut at the limit and anything else that long is null. */
static void add_string(struct buffer *out, struct bytes raw, size_t limit, bool *cut)
{
    bool whole = raw.len <= limit;
    *cut |= raw.len && !whole;
    if (raw.len && whole) {
        buffer_add_bytes(out, raw);
    } else if (raw.len && raw.data[0] == '"') {
        buffer_add(out, raw.data, 1 + text_bytes(raw.data + 1, raw.len - 1, limit - 2));
        buffer_add_text(out, "\"");
    } else {
        buffer_add_text(out, "null");
    }
}

/* A raw array, of which the strings that it begins with are left up to the limit. */
static void add_lines(struct buffer *out, struct bytes raw, size_t limit, bool *cut)
{
    if (raw.len <= limit) {
        buffer_add_bytes(out, raw);
        return;
    }
    size_t end = 1, at = 1; /* of what is taken; of what is looked at */
    *cut = true;
    limit -= 2; /* a quote and a bracket */
    buffer_add_text(out, "[");
    while (at < limit) {
        at += strspn(raw.data + at, " \t\r\n,");
        if (at >= limit || raw.data[at] != '"')
            break;
        at++;
        at += text_bytes(raw.data + at, raw.len - at, limit - at);
        buffer_add(out, raw.data + end, at - end);
        buffer_add_text(out, "\"");
        end = at = at + 1;
        if (raw.data[at - 1] != '"')
            break;
    }
    buffer_add_text(out, "]");
}

void execution_error_write(struct bytes content, bool bounded, struct buffer *out)
{
    struct slice error[] = {{.name = "ename"}, {.name = "evalue"}, {.name = "traceback"}};
    scoped(buffer) struct buffer plain = {0};
    bool cut = false;
    json_slices(content, error, countof(error), NULL);
    bool lines = error[2].value.len && error[2].value.data[0] == '[';
    struct bytes coloured = lines ? error[2].value : bytes_of("[]");
    execution_strip_ansi(coloured, &plain);
    buffer_add_text(out, "\"name\":");
    add_string(out, error[0].value, bounded ? NAME_LIMIT_BYTES : SIZE_MAX, &cut);
    buffer_add_text(out, ",\"value\":");
    add_string(out, error[1].value, bounded ? VALUE_LIMIT_BYTES : SIZE_MAX, &cut);
    buffer_add_text(out, ",\"traceback\":");
    add_lines(out, buffer_view(&plain), bounded ? TRACEBACK_LIMIT_BYTES : SIZE_MAX, &cut);
    buffer_add_text(out, ",\"traceback_ansi\":");
    add_lines(out, coloured, bounded ? TRACEBACK_LIMIT_BYTES : SIZE_MAX, &cut);
    if (cut)
        buffer_add_text(out, ",\"truncated\":true");
}
