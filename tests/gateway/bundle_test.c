/* MIME bundles and the base64 in them; and what the scan keeps. */
#include "tests/unit.h"

#include "gateway/core/artifact.h"
#include "gateway/core/bundle.h"

static void test_members(void **state)
{
    (void)state;
    static const struct {
        const char *object, *members; /* name value name value ... joined by blanks */
    } rows[] = {
        {"{}", ""},
        {"{ }", ""},
        {"{\"a\":\"b\"}", "\"a\" \"b\" "},
        {" { \"a\" : 1 , \"b\" : [1, {\"c\": \"]}\"}] } ", "\"a\" 1 \"b\" [1, {\"c\": \"]}\"}] "},
        {"{\"a\":\"q\\\"\\\\\",\"b\":null}", "\"a\" \"q\\\"\\\\\" \"b\" null "},
        {"{\"a\":{\"x\":{}},\"b\":\"\"}", "\"a\" {\"x\":{}} \"b\" \"\" "},
        {"{\"a\":-1.5e3,\"b\":true}", "\"a\" -1.5e3 \"b\" true "},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct bytes rest = bytes_of(rows[i].object), name, value;
        scoped(buffer) struct buffer found = {0};
        while (rest.len && *rest.data == ' ')
            rest = (struct bytes){rest.data + 1, rest.len - 1};
        while (bundle_next(&rest, &name, &value))
            buffer_printf(&found, "%.*s %.*s ", (int)name.len, name.data, (int)value.len,
                          value.data);
        assert_bytes(buffer_view(&found), bytes_of(rows[i].members));
    }
}

static void test_base64(void **state)
{
    (void)state;
    static const struct {
        const char *text, *decoded; /* NULL: refused */
    } rows[] = {
        {"", ""},
        {"YQ==", "a"},
        {"YWI=", "ab"},
        {"YWJj", "abc"},
        {"YWJj\\nYWI=\\n", "abcab"},
        {"Pz8\\/", "???"},
        {"Y Q==", "a"},
        {"YQ", NULL},
        {"YQ=", NULL},
        {"====", NULL},
        {"YQ==YQ==", NULL},
        {"Y*==", NULL},
        {"\\u0059Q\\u003d=", "a"},
        {"YQ=a", NULL},
        {"\\u00e9Q==", NULL},
        {"Y\\bQ==", NULL},
        {"YQ==\\u00", NULL},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct base64 base64 = {0};
        scoped(buffer) struct buffer out = {0};
        bool whole = base64_decode(&base64, bytes_of(rows[i].text), &out) && base64_whole(&base64);
        if (whole != (rows[i].decoded != NULL))
            stop_test("%s was %s", rows[i].text, whole ? "taken" : "refused");
        if (whole)
            assert_bytes(buffer_view(&out), bytes_of(rows[i].decoded));
    }
}

/* The same in pieces of every size. */
static void test_base64_in_pieces(void **state)
{
    (void)state;
    const char *text = "VGhlIHF1aWNrIGJy\\nb3duIGZveCBqdW1wcw\\u003d\\u003D";
    for (size_t piece = 1; piece < strlen(text); piece++) {
        struct base64 base64 = {0};
        scoped(buffer) struct buffer out = {0};
        for (size_t at = 0; at < strlen(text); at += piece) {
            size_t len = strlen(text) - at < piece ? strlen(text) - at : piece;
            assert_true(base64_decode(&base64, (struct bytes){text + at, len}, &out));
        }
        assert_true(base64_whole(&base64));
        assert_bytes(buffer_view(&out), bytes_of("The quick brown fox jumps"));
    }
}

static void test_what_is_kept(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        bool wanted;
    } rows[] = {
        {"image/png", true},
        {"image/svg+xml", true},
        {"text/html", true},
        {"application/pdf", true},
        {"image/x-new.kind", true},
        {"audio/wav", true},
        {"video/mp4", true},
        {"text/markdown", true},
        {"text/latex", true},
        {"application/json", true},
        {"application/geo+json", true},
        {"application/vnd.plotly.v1+json", true},
        {"application/vnd.vegalite.v5+json", true},
        {"application/vnd.dataresource+json", true},
        {"application/vnd.jupyter.widget-view+json", false},
        {"application/vnd.x\r\nY: z+json", false},
        {"application/vnd.+json", false},
        {"application/vnd.x", false},
        {"application/javascript", false},
        {"text/plain", false},
        {"image/", false},
        {"image", false},
        {"image/a\r\nX: y", false},
        {"image/a b", false},
        {"IMAGE/png", false},
    };
    for (size_t i = 0; i < countof(rows); i++)
        assert_int_equal(artifact_mime_wanted(bytes_of(rows[i].type)), rows[i].wanted);
    assert_false(artifact_mime_wanted(LITERAL("image/p\0g")));
    assert_true(artifact_may_hold(bytes_of("display_data")));
    assert_true(artifact_may_hold(bytes_of("execute_result")));
    assert_true(artifact_may_hold(bytes_of("update_display_data")));
    assert_false(artifact_may_hold(bytes_of("stream")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_base64_in_pieces),
        cmocka_unit_test(test_what_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
