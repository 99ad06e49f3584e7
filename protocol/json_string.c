/* Quoting text as a JSON string, and back. Runs of plain ASCII are found sixteen bytes at a time
 * and copied whole: outputs of tens of megabytes pass through here. */
#include "protocol/json_string.h"

#include "protocol/byte_order.h"
#include "protocol/json.h"
#include "protocol/utf8.h"

#define ESCAPED_AT_ONCE 256

static bool byte_is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* As signed bytes, what is below a space is a control character or beyond ASCII. */
typedef signed char block __attribute__((vector_size(16)));

/* How many bytes of a block are plain before the first that is not. */
static size_t block_plain_run(const char *data)
{
    block b;
    char marks[sizeof(block)];
    memcpy(&b, data, sizeof(b));
    block odd = (b < 0x20) | (b == '"') | (b == '\\');
    memcpy(marks, &odd, sizeof(odd));
    uint64_t low = load_u64le(marks), high = load_u64le(marks + 8);
    return low    ? (size_t)__builtin_ctzll(low) / 8
           : high ? (size_t)__builtin_ctzll(high) / 8 + 8
                  : sizeof(block);
}

size_t json_plain_run(struct bytes text)
{
    size_t at = 0, run = sizeof(block);
    while (run == sizeof(block) && at + sizeof(block) <= text.len)
        at += run = block_plain_run(text.data + at);
    if (run < sizeof(block))
        return at;
    while (at < text.len && byte_is_plain((unsigned char)text.data[at]))
        at++;
    return at;
}

int json_hex4(const char digits[4])
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        char c = digits[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* The character after a backslash and what it stands for, \u apart (RFC 8259, section 7). */
static const struct {
    char letter, means;
} escapes[] = {{'"', '"'},  {'\\', '\\'}, {'/', '/'},  {'b', '\b'},
               {'f', '\f'}, {'n', '\n'},  {'r', '\r'}, {'t', '\t'}};

static size_t escape(char c, char out[6])
{
    static const char digits[] = "0123456789abcdef"; /* printf takes ten times as long */
    static const char letters[0x20] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    unsigned char byte = (unsigned char)c;
    char letter = byte >= 0x20 ? c : letters[byte];
    if (letter) {
        memcpy(out, (char[]){'\\', letter}, 2);
        return 2;
    }
    memcpy(out, (char[]){'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]}, 6);
    return 6;
}

/* Escapes the characters at the start of text that need it, some of them at once, and returns how
 * many: binary data as text is full of them. */
static size_t add_escaped(struct buffer *out, struct bytes text)
{
    char made[6 * ESCAPED_AT_ONCE];
    size_t len = 0, at = 0;
    for (; at < text.len && at < ESCAPED_AT_ONCE; at++) {
        unsigned char c = (unsigned char)text.data[at];
        if (c >= 0x80 || byte_is_plain(c))
            break;
        len += escape((char)c, made + len);
    }
    buffer_add(out, made, len);
    return at;
}

/* Appends what text starts with, up to a whole run of what needs no escape, and returns its length.
 */
static size_t quote_next(struct buffer *out, struct bytes text)
{
    size_t run = json_plain_run(text);
    if (run == 0)
        run = utf8_beyond_ascii(text);
    if (run > 0) {
        buffer_add(out, text.data, run);
        return run;
    }
    if ((unsigned char)*text.data < 0x80)
        return add_escaped(out, text);
    buffer_add_text(out, UTF8_REPLACEMENT);
    return 1;
}

void json_quote(struct buffer *out, struct bytes text)
{
    buffer_reserve(out, text.len + 2);
    buffer_add(out, "\"", 1);
    for (size_t at = 0; at < text.len;)
        at += quote_next(out, (struct bytes){text.data + at, text.len - at});
    buffer_add(out, "\"", 1);
}

/* The code unit of "\uXXXX" at the start of text; -1: it does not start so. */
static int unicode_escape(struct bytes text)
{
    return text.len >= 6 && text.data[0] == '\\' && text.data[1] == 'u' ? json_hex4(text.data + 2)
                                                                        : -1;
}

/* Appends what the escape sequence at the start of text means and returns its length; 0: it is
 * none. Two escapes that form a surrogate pair are taken together. */
static size_t unescape(struct buffer *out, struct bytes text)
{
    for (size_t i = 0; i < countof(escapes) && text.len >= 2; i++)
        if (escapes[i].letter == text.data[1]) {
            buffer_add(out, &escapes[i].means, 1);
            return 2;
        }
    int first = unicode_escape(text);
    if (first < 0)
        return 0;
    if (first >= 0xD800 && first <= 0xDBFF) {
        int second = unicode_escape((struct bytes){text.data + 6, text.len - 6});
        if (second >= 0xDC00 && second <= 0xDFFF) {
            utf8_add(out,
                     0x10000u + ((uint32_t)(first - 0xD800) << 10) + (uint32_t)(second - 0xDC00));
            return 12;
        }
    }
    utf8_add(out, (uint32_t)first);
    return 6;
}

char *json_slice_string(struct bytes raw, size_t *len)
{
    if (raw.len < 2 || raw.data[0] != '"' || raw.data[raw.len - 1] != '"')
        return NULL;
    struct bytes inner = {raw.data + 1, raw.len - 2};
    scoped(buffer) struct buffer out = {0};
    buffer_reserve(&out, inner.len + 1);
    for (size_t at = 0; at < inner.len;) {
        struct bytes rest = {inner.data + at, inner.len - at};
        size_t step = json_plain_run(rest);
        if (step > 0) {
            buffer_add(&out, rest.data, step);
        } else if (*rest.data == '\\') {
            step = unescape(&out, rest);
        } else {
            step = utf8_beyond_ascii(rest);
            buffer_add(&out, rest.data, step);
        }
        if (step == 0)
            return NULL;
        at += step;
    }
    return buffer_take(&out, len);
}

bool json_slice_is_object(struct bytes raw)
{
    return raw.len >= 2 && raw.data[0] == '{';
}

bool json_slice_bool(struct bytes raw, bool fallback)
{
    return bytes_is(raw, "true") || (fallback && !bytes_is(raw, "false"));
}
