/* UTF-8, against a decoder that works by the values of code points. */
#include "tests/fuzz/fuzz.h"

/* The code point at the start of text and its length; 0: there is none. */
static size_t decode(struct bytes text, uint32_t *out)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = text.len ? (unsigned char)text.data[0] : 0xFF;
    size_t len = first < 0x80             ? 1
                 : (first & 0xE0) == 0xC0 ? 2
                 : (first & 0xF0) == 0xE0 ? 3
                 : (first & 0xF8) == 0xF0 ? 4
                                          : 0;
    if (len == 0 || len > text.len)
        return 0;
    uint32_t point = len == 1 ? first : first & (0xFFu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if ((byte & 0xC0) != 0x80)
            return 0;
        point = point << 6 | (byte & 0x3F);
    }
    if (point < least[len] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF))
        return 0;
    *out = point;
    return len;
}

static bool valid(struct bytes text)
{
    while (text.len > 0) {
        uint32_t point;
        size_t len = decode(text, &point);
        if (len == 0)
            return false;
        text = (struct bytes){text.data + len, text.len - len};
    }
    return true;
}

/* A valid text, cut anywhere, is valid again without its tail. */
static void require_tails(struct bytes text)
{
    for (size_t len = text.len > 64 ? text.len - 64 : 0; len <= text.len; len++) {
        size_t tail = utf8_tail((struct bytes){text.data, len});
        REQUIRE(tail <= 3 && tail <= len);
        REQUIRE(utf8_valid((struct bytes){text.data, len - tail}));
    }
    REQUIRE(utf8_tail(text) == 0);
}

bool fuzz_one(struct bytes input)
{
    bool accepted = utf8_valid(input);
    REQUIRE(accepted == valid(input));
    uint32_t point = 0;
    size_t len = decode(input, &point);
    REQUIRE(utf8_character(input) == len);
    scoped(buffer) struct buffer character = {0}, clean = {0};
    utf8_add(&character, point);
    REQUIRE(len == 0 || bytes_equal(buffer_view(&character), (struct bytes){input.data, len}));
    utf8_clean(&clean, input);
    REQUIRE(valid(buffer_view(&clean)));
    REQUIRE(bytes_equal(buffer_view(&clean), input) == accepted);
    if (accepted)
        require_tails(input);
    size_t tail = utf8_tail(input);
    REQUIRE(tail <= 3 && tail <= input.len && (tail == 0 || !accepted));
    return accepted;
}
