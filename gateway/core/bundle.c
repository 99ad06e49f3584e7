/* Walks over the members of a MIME bundle without parsing their values. Used by the scan. */
#include "gateway/core/bundle.h"

#include "protocol/json_string.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static void pass(struct bytes *rest, size_t count)
{
    rest->data += count;
    rest->len -= count;
}

static void pass_space_and(struct bytes *rest, char separator)
{
    while (rest->len && (is_space(*rest->data) || *rest->data == separator))
        pass(rest, 1);
}

/* The length of the string at the start of text, with its quotes; 0: it does not end. */
static size_t string_len(struct bytes text)
{
    size_t at = 1;
    while (at < text.len) {
        const char *found = memchr(text.data + at, '"', text.len - at);
        if (!found)
            return 0;
        size_t quote = (size_t)(found - text.data), slashes = 0;
        while (quote - slashes > 1 && text.data[quote - slashes - 1] == '\\')
            slashes++;
        if (slashes % 2 == 0)
            return quote + 1;
        at = quote + 1;
    }
    return 0;
}

/* The length of the value at the start of text; 0: it does not end. */
static size_t value_len(struct bytes text)
{
    size_t at = 0, depth = 0;
    while (at < text.len) {
        char c = text.data[at];
        if (c == '"') {
            size_t len = string_len((struct bytes){text.data + at, text.len - at});
            if (len == 0)
                return 0;
            at += len;
        } else if (c == '{' || c == '[') {
            depth++;
            at++;
        } else if (depth == 0 && (c == ',' || c == '}' || c == ']' || is_space(c))) {
            return at;
        } else {
            depth -= c == '}' || c == ']';
            at++;
        }
        if (depth == 0 && (c == '"' || c == '}' || c == ']'))
            return at;
    }
    return depth == 0 ? at : 0;
}

bool bundle_next(struct bytes *rest, struct bytes *name, struct bytes *value)
{
    pass_space_and(rest, rest->len && *rest->data == '{' ? '{' : ',');
    if (rest->len == 0 || *rest->data != '"')
        return false;
    name->data = rest->data;
    name->len = string_len(*rest);
    if (name->len == 0)
        return false;
    pass(rest, name->len);
    pass_space_and(rest, ':');
    value->data = rest->data;
    value->len = value_len(*rest);
    if (value->len == 0)
        return false;
    pass(rest, value->len);
    return true;
}

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

static void take_character(struct base64 *state, char c, struct buffer *out)
{
    int value = digit(c);
    if (c == '=') {
        state->padding++;
        value = 0;
    } else if (value < 0 || state->padding) {
        state->broken = true;
        return;
    }
    state->bits = state->bits << 6 | (uint32_t)value;
    if (++state->have < 4)
        return;
    const char bytes[] = {(char)(state->bits >> 16), (char)(state->bits >> 8), (char)state->bits};
    if (state->padding > 2)
        state->broken = true;
    else
        buffer_add(out, bytes, 3 - (size_t)state->padding);
    state->have = 0;
    state->bits = 0;
}

static void take_plain(struct base64 *state, char c, struct buffer *out)
{
    if (!is_space(c))
        take_character(state, c, out);
}

/* One character of an escape. */
static void take_escaped(struct base64 *state, char c, struct buffer *out)
{
    if (state->escape > 1) {
        const char digits[4] = {'0', '0', '0', c};
        state->code = state->code << 4 | (uint32_t)json_hex4(digits);
        if (--state->escape > 1)
            return;
        state->escape = 0;
        take_plain(state, state->code < 0x80 ? (char)state->code : '*', out);
        return;
    }
    state->escape = 0;
    if (c == 'u') {
        state->escape = 5;
        state->code = 0;
    } else if (c != 'n' && c != 'r' && c != 't') {
        take_plain(state, c == 'b' || c == 'f' ? '*' : c, out);
    }
}

bool base64_decode(struct base64 *state, struct bytes text, struct buffer *out)
{
    buffer_reserve(out, text.len / 4 * 3 + 3);
    for (size_t i = 0; i < text.len && !state->broken; i++) {
        char c = text.data[i];
        if (state->escape)
            take_escaped(state, c, out);
        else if (c == '\\')
            state->escape = 1;
        else
            take_plain(state, c, out);
    }
    return !state->broken;
}

bool base64_whole(const struct base64 *state)
{
    return !state->broken && state->have == 0 && state->escape == 0;
}
