/* UTF-8 checking. ASCII, the usual case, is passed over eight bytes at a time. */
#include "protocol/utf8.h"

#include <assert.h>

#define HIGH_BITS 0x8080808080808080u

/* How many bytes at the start of text are ASCII. */
static size_t ascii_run(struct bytes text)
{
    size_t at = 0;
    for (uint64_t word; at + sizeof(word) <= text.len; at += sizeof(word)) {
        memcpy(&word, text.data + at, sizeof(word));
        if (word & HIGH_BITS)
            break;
    }
    while (at < text.len && (unsigned char)text.data[at] < 0x80)
        at++;
    return at;
}

/* By its first byte: how long a character is beyond ASCII, 0 where none starts so, and which second
 * bytes it may have (RFC 3629, section 4). Further bytes are always 0x80..0xBF. */
static const struct lead {
    unsigned char length;
    unsigned char second_low, second_high;
} leads[256] = {
    [0xC2 ... 0xDF] = {2, 0x80, 0xBF}, [0xE0] = {3, 0xA0, 0xBF},
    [0xE1 ... 0xEC] = {3, 0x80, 0xBF}, [0xED] = {3, 0x80, 0x9F},
    [0xEE ... 0xEF] = {3, 0x80, 0xBF}, [0xF0] = {4, 0x90, 0xBF},
    [0xF1 ... 0xF3] = {4, 0x80, 0xBF}, [0xF4] = {4, 0x80, 0x8F},
};

static const struct lead *lead_of(char first)
{
    return &leads[(unsigned char)first];
}

/* How many bytes of text belong to the character that lead begins, as far as text goes; 0: a byte
 * that is there does not fit. */
static size_t matched(const struct lead *lead, struct bytes text)
{
    size_t there = text.len < lead->length ? text.len : lead->length;
    for (size_t i = 1; i < there; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        unsigned char low = i == 1 ? lead->second_low : 0x80;
        unsigned char high = i == 1 ? lead->second_high : 0xBF;
        if (byte < low || byte > high)
            return 0;
    }
    return there;
}

size_t utf8_character(struct bytes text)
{
    if (text.len == 0)
        return 0;
    if ((unsigned char)*text.data < 0x80)
        return 1;
    const struct lead *lead = lead_of(*text.data);
    return lead->length && matched(lead, text) == lead->length ? lead->length : 0;
}

size_t utf8_beyond_ascii(struct bytes text)
{
    size_t at = 0;
    while (at < text.len && (unsigned char)text.data[at] >= 0x80) {
        size_t whole = utf8_character((struct bytes){text.data + at, text.len - at});
        if (whole == 0)
            break;
        at += whole;
    }
    return at;
}

/* How many bytes at the start of text are whole, valid characters. */
static size_t valid_run(struct bytes text)
{
    size_t at = 0;
    while (at < text.len) {
        struct bytes rest = {text.data + at, text.len - at};
        size_t step = (unsigned char)*rest.data < 0x80 ? ascii_run(rest) : utf8_beyond_ascii(rest);
        if (step == 0)
            break;
        at += step;
    }
    return at;
}

bool utf8_valid(struct bytes text)
{
    return valid_run(text) == text.len;
}

size_t utf8_tail(struct bytes text)
{
    for (size_t back = 1; back <= 3 && back <= text.len; back++) {
        struct bytes end = {text.data + text.len - back, back};
        const struct lead *lead = lead_of(*end.data);
        if (lead->length)
            return lead->length > back && matched(lead, end) == back ? back : 0;
        if (((unsigned char)*end.data & 0xC0) != 0x80)
            return 0;
    }
    return 0;
}

void utf8_clean(struct buffer *out, struct bytes text)
{
    buffer_reserve(out, text.len);
    for (size_t at = 0; at < text.len;) {
        struct bytes rest = {text.data + at, text.len - at};
        size_t good = valid_run(rest);
        buffer_add(out, rest.data, good);
        at += good;
        if (at < text.len) {
            buffer_add_text(out, UTF8_REPLACEMENT);
            at++;
        }
    }
}

void utf8_add(struct buffer *out, uint32_t code_point)
{
    assert(code_point <= 0x10FFFF);
    if (code_point >= 0xD800 && code_point <= 0xDFFF) {
        buffer_add_text(out, UTF8_REPLACEMENT);
        return;
    }
    size_t length = code_point < 0x80 ? 1 : code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    static const unsigned char marks[] = {0, 0x00, 0xC0, 0xE0, 0xF0};
    char text[4];
    for (size_t i = length - 1; i > 0; i--) {
        text[i] = (char)(0x80 | (code_point & 0x3F));
        code_point >>= 6;
    }
    text[0] = (char)(marks[length] | code_point);
    buffer_add(out, text, length);
}
