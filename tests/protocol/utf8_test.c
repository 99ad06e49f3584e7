/* UTF-8: what is a character and what is not. */
#include "tests/unit.h"

#include "protocol/utf8.h"

static const struct {
    struct bytes text;
    bool valid;
    const char *clean; /* with '#' for U+FFFD; NULL: as text */
    size_t tail;
} cases[] = {
    {LITERAL(""), true, NULL, 0},
    {LITERAL("plain"), true, NULL, 0},
    {LITERAL("a\0b"), true, NULL, 0},
    {LITERAL("\x7F"), true, NULL, 0},
    {LITERAL("\xC2\x80"), true, NULL, 0},
    {LITERAL("\xDF\xBF"), true, NULL, 0},
    {LITERAL("\xE0\xA0\x80"), true, NULL, 0},
    {LITERAL("\xED\x9F\xBF"), true, NULL, 0},
    {LITERAL("\xEE\x80\x80"), true, NULL, 0},
    {LITERAL("\xEF\xBF\xBF"), true, NULL, 0},
    {LITERAL("\xF0\x90\x80\x80"), true, NULL, 0},
    {LITERAL("\xF4\x8F\xBF\xBF"), true, NULL, 0},
    {LITERAL("twelve ASCII\xC3\xA9 and twelve more"), true, NULL, 0},
    {LITERAL("\x80"), false, "#", 0},
    {LITERAL("\xBF!"), false, "#!", 0},
    {LITERAL("\xC0\x80"), false, "##", 0},           /* overlong */
    {LITERAL("\xC1\xBF"), false, "##", 0},           /* overlong */
    {LITERAL("\xE0\x9F\xBF"), false, "###", 0},      /* overlong */
    {LITERAL("\xF0\x8F\xBF\xBF"), false, "####", 0}, /* overlong */
    {LITERAL("\xED\xA0\x80"), false, "###", 0},      /* surrogate */
    {LITERAL("\xED\xBF\xBF"), false, "###", 0},      /* surrogate */
    {LITERAL("\xF4\x90\x80\x80"), false, "####", 0}, /* above U+10FFFF */
    {LITERAL("\xF5\x80\x80\x80"), false, "####", 0}, /* no such lead */
    {LITERAL("\xFE\xFF"), false, "##", 0},           /* a byte order mark of UTF-16 */
    {LITERAL("\xC3("), false, "#(", 0},              /* cut, then more */
    {LITERAL("\xE2\x82(x"), false, "##(x", 0},       /* cut, then more */
    {LITERAL("12345678\xFF"
             "12345678"),
     false, "12345678#12345678", 0},
    {LITERAL("\xC3"), false, "#", 1},
    {LITERAL("ab\xE2"), false, "ab#", 1},
    {LITERAL("ab\xE2\x82"), false, "ab##", 2},
    {LITERAL("\xF0"), false, "#", 1},
    {LITERAL("\xF0\x9F"), false, "##", 2},
    {LITERAL("\xF0\x9F\x98"), false, "###", 3},
    {LITERAL("\xE0\x9F"), false, "##", 0}, /* can never become a character */
    {LITERAL("\xF4\x90"), false, "##", 0}, /* can never become a character */
    {LITERAL("\xC3\xA9\x80\x80\x80"), false, "\xC3\xA9###", 0},
};

static void texts_are_told_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(cases); i++)
        if (utf8_valid(cases[i].text) != cases[i].valid)
            stop_test("case %zu: utf8_valid is not %d", i, cases[i].valid);
}

static void bad_bytes_are_replaced_one_by_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(cases); i++) {
        scoped(buffer) struct buffer expected = {0}, got = {0};
        const char *clean = cases[i].clean;
        if (!clean)
            buffer_add_bytes(&expected, cases[i].text);
        for (; clean && *clean; clean++)
            buffer_printf(&expected, *clean == '#' ? UTF8_REPLACEMENT : "%c", *clean);
        utf8_clean(&got, cases[i].text);
        assert_bytes(buffer_view(&got), buffer_view(&expected));
    }
}

static void an_unfinished_end_is_measured(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(cases); i++)
        if (utf8_tail(cases[i].text) != cases[i].tail)
            stop_test("case %zu: utf8_tail is not %zu", i, cases[i].tail);
}

static void code_points_are_written(void **state)
{
    (void)state;
    static const struct {
        uint32_t code_point;
        struct bytes text;
    } points[] = {
        {0, LITERAL("\0")},
        {'~', LITERAL("~")},
        {0x7FF, LITERAL("\xDF\xBF")},
        {0x800, LITERAL("\xE0\xA0\x80")},
        {0xFFFF, LITERAL("\xEF\xBF\xBF")},
        {0x1F600, LITERAL("\xF0\x9F\x98\x80")},
        {0x10FFFF, LITERAL("\xF4\x8F\xBF\xBF")},
        {0xD800, LITERAL(UTF8_REPLACEMENT)},
        {0xDFFF, LITERAL(UTF8_REPLACEMENT)},
    };
    for (size_t i = 0; i < countof(points); i++) {
        scoped(buffer) struct buffer out = {0};
        utf8_add(&out, points[i].code_point);
        assert_bytes(buffer_view(&out), points[i].text);
    }
}

static void every_code_point_is_a_character(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        if (c == 0xD800)
            c = 0xE000;
        scoped(buffer) struct buffer out = {0};
        utf8_add(&out, c);
        if (utf8_character(buffer_view(&out)) != out.len)
            stop_test("U+%04X is not one character", c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_told_apart),
        cmocka_unit_test(bad_bytes_are_replaced_one_by_one),
        cmocka_unit_test(an_unfinished_end_is_measured),
        cmocka_unit_test(code_points_are_written),
        cmocka_unit_test(every_code_point_is_a_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
