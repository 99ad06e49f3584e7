/* Raw slices of a JSON text, and JSON strings. */
#include "tests/unit.h"

#include "protocol/json.h"

static void slices_are_the_raw_text(void **state)
{
    (void)state;
    static const struct {
        const char *text, *a, *b;
    } cases[] = {
        {"{}", NULL, NULL},
        {" \t\r\n{ } \n", NULL, NULL},
        {"{\"a\":0.1}", "0.1", NULL},
        {"{\"a\" : 1e400 , \"b\" : -0.0E+5 }", "1e400", "-0.0E+5"},
        {"{\"b\":[1, {\"a\":2}],\"a\":{\"x\" : [ ]}}", "{\"x\" : [ ]}", "[1, {\"a\":2}]"},
        {"{\"c\":{\"a\":1},\"d\":[\"b\"]}", NULL, NULL},
        {"{\"c\":1,\"c\":2,\"a\":true}", "true", NULL},
        {"{\"\\u0061\":null,\"\\u0062\":false}", "null", "false"},
        {"{\"a\":\"\\ud800 \\\" \\\\\",\"b\":\"\\u0000\"}", "\"\\ud800 \\\" \\\\\"", "\"\\u0000\""},
        {"{\"a\":\"\xF0\x9F\x98\x80\"}", "\"\xF0\x9F\x98\x80\"", NULL},
        {"{\"a\":[[],{},[{}],\"]}\"]}", "[[],{},[{}],\"]}\"]", NULL},
        {"{\"a\\u0000\":1,\"A\":2,\"\":3}", NULL, NULL},
        {"{\"a\":12345678901234567890123}", "12345678901234567890123", NULL},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct err e = {0};
        struct slice slices[] = {{.name = "a"}, {.name = "b"}};
        if (!json_slices(bytes_of(cases[i].text), slices, 2, &e))
            stop_test("case %zu: %s", i, e.text);
        assert_bytes(slices[0].value, bytes_of(cases[i].a));
        assert_bytes(slices[1].value, bytes_of(cases[i].b));
    }
}

static void broken_texts_say_where(void **state)
{
    (void)state;
    static const struct {
        struct bytes text;
        const char *message;
    } cases[] = {
        {{NULL, 0}, "not valid JSON at byte 0: an object is expected"},
        {LITERAL("[]"), "not valid JSON at byte 0: an object is expected"},
        {LITERAL("  null"), "not valid JSON at byte 2: an object is expected"},
        {LITERAL("{"), "not valid JSON at byte 1: a string is expected"},
        {LITERAL("{a:1}"), "not valid JSON at byte 1: a string is expected"},
        {LITERAL("{\"a\"}"), "not valid JSON at byte 4: ':' is expected"},
        {LITERAL("{\"a\":}"), "not valid JSON at byte 5: a value is expected"},
        {LITERAL("{\"a\":"), "not valid JSON at byte 5: a value is expected"},
        {LITERAL("{\"a\":1"), "not valid JSON at byte 6: ',' or '}' is expected"},
        {LITERAL("{\"a\":1,}"), "not valid JSON at byte 7: a string is expected"},
        {LITERAL("{\"a\":1 \"b\":2}"), "not valid JSON at byte 7: ',' or '}' is expected"},
        {LITERAL("{\"a\":[1,]}"), "not valid JSON at byte 8: a value is expected"},
        {LITERAL("{\"a\":[1 2]}"), "not valid JSON at byte 8: ',' or ']' is expected"},
        {LITERAL("{\"a\":[1}}"), "not valid JSON at byte 7: ',' or ']' is expected"},
        {LITERAL("{\"a\":{\"b\":1]}"), "not valid JSON at byte 11: ',' or '}' is expected"},
        {LITERAL("{\"a\":{1:2}}"), "not valid JSON at byte 6: a string is expected"},
        {LITERAL("{}x"), "not valid JSON at byte 2: something follows the object"},
        {LITERAL("{}\0"), "not valid JSON at byte 2: something follows the object"},
        {LITERAL("{\"a\":01}"), "not valid JSON at byte 6: ',' or '}' is expected"},
        {LITERAL("{\"a\":-}"), "not valid JSON at byte 6: a digit is expected"},
        {LITERAL("{\"a\":1.}"), "not valid JSON at byte 7: a digit is expected"},
        {LITERAL("{\"a\":.5}"), "not valid JSON at byte 5: a value is expected"},
        {LITERAL("{\"a\":1e}"), "not valid JSON at byte 7: a digit is expected"},
        {LITERAL("{\"a\":+1}"), "not valid JSON at byte 5: a value is expected"},
        {LITERAL("{\"a\":NaN}"), "not valid JSON at byte 5: a value is expected"},
        {LITERAL("{\"a\":tru}"), "not valid JSON at byte 5: a value is expected"},
        {LITERAL("{\"a\":nullx}"), "not valid JSON at byte 9: ',' or '}' is expected"},
        {LITERAL("{\"a\":'x'}"), "not valid JSON at byte 5: a value is expected"},
        {LITERAL("{\"a\":\"x}"), "not valid JSON at byte 8: a string does not end"},
        {LITERAL("{\"a\":\"\n\"}"), "not valid JSON at byte 6: control character in a string"},
        {LITERAL("{\"a\":\"\0\"}"), "not valid JSON at byte 6: control character in a string"},
        {LITERAL("{\"a\":\"\\x\"}"), "not valid JSON at byte 6: bad escape in a string"},
        {LITERAL("{\"a\":\"\\\0\"}"), "not valid JSON at byte 6: bad escape in a string"},
        {LITERAL("{\"a\":\"\\u12g4\"}"), "not valid JSON at byte 6: bad escape in a string"},
        {LITERAL("{\"a\":\"\\u123"), "not valid JSON at byte 6: bad escape in a string"},
        {LITERAL("{\"a\":\"\\"), "not valid JSON at byte 6: bad escape in a string"},
        {LITERAL("{\"a\":\"\xC3\"}"), "not valid JSON at byte 6: not UTF-8"},
        {LITERAL("{\"a\":\"\xED\xA0\x80\"}"), "not valid JSON at byte 6: not UTF-8"},
        {LITERAL("\xEF\xBB\xBF{}"), "not valid JSON at byte 0: an object is expected"},
        {LITERAL("{\"a\":1,\"a\":1}"), "a: is there twice (byte 7)"},
        {LITERAL("{\"a\":1, \"\\u0061\":1}"), "a: is there twice (byte 8)"},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct err e = {0};
        struct slice slices[] = {{.name = "a"}, {.name = "b"}};
        assert_fails(json_slices(cases[i].text, slices, 2, &e), e, 400, cases[i].message);
    }
}

/* {"a":[[...]]}, nested `depth` deep in all. */
static void add_nested(struct buffer *out, size_t depth, const char *open, const char *close)
{
    buffer_add_text(out, "{\"a\":");
    for (size_t i = 1; i < depth; i++)
        buffer_add_text(out, open);
    buffer_add_text(out, "1");
    for (size_t i = 1; i < depth; i++)
        buffer_add_text(out, close);
    buffer_add_text(out, "}");
}

static void nesting_ends_at_200(void **state)
{
    (void)state;
    static const struct {
        size_t depth;
        bool good;
    } cases[] = {{2, true}, {199, true}, {200, true}, {201, false}, {100000, false}};
    static const char *const brackets[][2] = {{"[", "]"}, {"{\"b\":", "}"}};
    for (size_t i = 0; i < countof(cases); i++)
        for (size_t k = 0; k < countof(brackets); k++) {
            scoped(buffer) struct buffer text = {0};
            add_nested(&text, cases[i].depth, brackets[k][0], brackets[k][1]);
            struct err e = {0};
            struct slice slice = {.name = "a"};
            bool good = json_slices(buffer_view(&text), &slice, 1, &e);
            assert_int_equal(good, cases[i].good);
            if (!good)
                assert_non_null(strstr(e.text, "nested too deeply"));
        }
}

static void every_cut_of_a_text_is_broken(void **state)
{
    (void)state;
    const char *text = "{\"a\": [1.5e-3, \"\\u00e9\\n\xC3\xA9\", {\"b\": null}], \"c\": true}";
    for (size_t len = 0; len < strlen(text); len++) {
        scoped(string) char *cut = xmemdup(text, len);
        struct err e = {0};
        struct slice slice = {.name = "a"};
        assert_false(json_slices((struct bytes){cut, len}, &slice, 1, &e));
        assert_int_equal(e.status, 400);
    }
}

static void strings_are_decoded(void **state)
{
    (void)state;
    static const struct {
        struct bytes raw;
        struct bytes text; /* data NULL: it is no string */
    } cases[] = {
        {LITERAL("\"\""), LITERAL("")},
        {LITERAL("\"plain text that is longer\""), LITERAL("plain text that is longer")},
        {LITERAL("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), LITERAL("\"\\/\b\f\n\r\t")},
        {LITERAL("\"\\u0041\\u00e9\\u20AC\""), LITERAL("A\xC3\xA9\xE2\x82\xAC")},
        {LITERAL("\"a\\u0000b\""), LITERAL("a\0b")},
        {LITERAL("\"\\ud83d\\ude00\""), LITERAL("\xF0\x9F\x98\x80")},
        {LITERAL("\"\\ud83d\""), LITERAL("\xEF\xBF\xBD")},
        {LITERAL("\"\\ude00\\ud83d!\""), LITERAL("\xEF\xBF\xBD\xEF\xBF\xBD!")},
        {LITERAL("\"\\ud83d\\ud83d\\ude00\""), LITERAL("\xEF\xBF\xBD\xF0\x9F\x98\x80")},
        {LITERAL("\"\\ud83d\\ue000\""), LITERAL("\xEF\xBF\xBD\xEE\x80\x80")},
        {LITERAL("\"\\ud83d\\u0041\""), LITERAL("\xEF\xBF\xBD"
                                                "A")},
        {LITERAL("\"\xF0\x9F\x98\x80\x7F\""), LITERAL("\xF0\x9F\x98\x80\x7F")},
        {{NULL, 0}, {NULL, 0}},
        {LITERAL("\""), {NULL, 0}},
        {LITERAL("1"), {NULL, 0}},
        {LITERAL("null"), {NULL, 0}},
        {LITERAL("\"a\"b\""), {NULL, 0}},
        {LITERAL("\"\\\""), {NULL, 0}},
        {LITERAL("\"\\q\""), {NULL, 0}},
        {LITERAL("\"\\u00e\""), {NULL, 0}},
        {LITERAL("\"\t\""), {NULL, 0}},
        {LITERAL("\"\xFF\""), {NULL, 0}},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        size_t len = 0;
        scoped(string) char *text = json_slice_string(cases[i].raw, &len);
        if (!text != !cases[i].text.data)
            stop_test("case %zu: %s", i, text ? text : "(no string)");
        if (!text)
            continue;
        assert_bytes(((struct bytes){text, len}), cases[i].text);
        assert_int_equal(text[len], '\0');
    }
}

static void strings_are_quoted(void **state)
{
    (void)state;
    static const struct {
        struct bytes text, quoted;
    } cases[] = {
        {{NULL, 0}, LITERAL("\"\"")},
        {LITERAL("plain text that is longer"), LITERAL("\"plain text that is longer\"")},
        {LITERAL("12345678\"12345678\\"), LITERAL("\"12345678\\\"12345678\\\\\"")},
        {LITERAL("\b\f\n\r\t/"), LITERAL("\"\\b\\f\\n\\r\\t/\"")},
        {LITERAL("a\0b\x01\x1F\x7F"), LITERAL("\"a\\u0000b\\u0001\\u001f\x7F\"")},
        {LITERAL("\xC3\xA9\xF0\x9F\x98\x80"), LITERAL("\"\xC3\xA9\xF0\x9F\x98\x80\"")},
        {LITERAL("a\xFF\xC3"), LITERAL("\"a\xEF\xBF\xBD\xEF\xBF\xBD\"")},
        {LITERAL("\xED\xA0\x80"), LITERAL("\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"")},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        scoped(buffer) struct buffer out = {0};
        json_quote(&out, cases[i].text);
        assert_bytes(buffer_view(&out), cases[i].quoted);
    }
}

/* Each byte at each place of a word must be looked at. */
static void every_byte_comes_back_from_every_place(void **state)
{
    (void)state;
    for (int byte = 0; byte < 0x80; byte++)
        for (size_t at = 0; at < 20; at++) {
            char text[20];
            memset(text, 'x', sizeof(text));
            text[at] = (char)byte;
            scoped(buffer) struct buffer out = {0};
            json_quote(&out, (struct bytes){text, sizeof(text)});
            size_t len = 0;
            scoped(string) char *back = json_slice_string(buffer_view(&out), &len);
            assert_bytes(((struct bytes){back, len}), ((struct bytes){text, sizeof(text)}));
            scoped(json) json_t *parsed =
                json_loadb(out.data, out.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
            assert_bytes(((struct bytes){json_string_value(parsed), json_string_length(parsed)}),
                         ((struct bytes){text, sizeof(text)}));
        }
}

static void kinds_of_slices(void **state)
{
    (void)state;
    assert_true(json_slice_is_object(bytes_of("{}")));
    assert_false(json_slice_is_object(bytes_of("[]")));
    assert_false(json_slice_is_object((struct bytes){0}));
    assert_true(json_slice_bool(bytes_of("true"), false));
    assert_false(json_slice_bool(bytes_of("false"), true));
    assert_true(json_slice_bool(bytes_of("1"), true));
    assert_false(json_slice_bool(bytes_of("\"true\""), false));
    assert_true(json_slice_bool((struct bytes){0}, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_are_the_raw_text),
        cmocka_unit_test(broken_texts_say_where),
        cmocka_unit_test(nesting_ends_at_200),
        cmocka_unit_test(every_cut_of_a_text_is_broken),
        cmocka_unit_test(strings_are_decoded),
        cmocka_unit_test(strings_are_quoted),
        cmocka_unit_test(every_byte_comes_back_from_every_place),
        cmocka_unit_test(kinds_of_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
