/* Headers, read and made. */
#include "tests/unit.h"

#include <unistd.h>

#include "protocol/json.h"
#include "protocol/message.h"

static void headers_of_real_clients_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct header header;
    } cases[] = {
        {"{\"msg_id\": \"a_1\", \"msg_type\": \"execute_request\", \"username\": \"u\", "
         "\"session\": \"s\", \"date\": \"2026-01-31T23:59:59.123456Z\", \"version\": \"5.4\"}",
         {"a_1", "execute_request", "s", "u", "2026-01-31T23:59:59.123456Z", "5.4", NULL}},
        {"{\"msg_id\":\"1\",\"msg_type\":\"t\"}", {"1", "t", "", "", "", "", NULL}},
        {"{\"date\":1795229754.25,\"msg_id\":\"1\",\"msg_type\":\"t\"}",
         {"1", "t", "", "", "1795229754.25", "", NULL}},
        {"{\"date\":\"\",\"msg_id\":\"1\",\"msg_type\":\"t\"}", {"1", "t", "", "", "", "", NULL}},
        {"{\"msg_id\":\"1\",\"msg_type\":\"t\",\"session\":null,\"date\":null,\"subshell_id\":"
         "null}",
         {"1", "t", "", "", "", "", NULL}},
        {"{\"msg_id\":\"1\",\"msg_type\":\"t\",\"subshell_id\":\"x\"}",
         {"1", "t", "", "", "", "", "x"}},
        {"{\"msg_id\":\"1\",\"msg_type\":\"t\",\"unknown\":{\"deep\":[1,0.1]},\"unknown\":2}",
         {"1", "t", "", "", "", "", NULL}},
        {"{\"msg_id\":\"\\ud800\",\"msg_type\":\"\\u00e9\\n\",\"username\":\"\xF0\x9F\x98\x80\"}",
         {"\xEF\xBF\xBD", "\xC3\xA9\n", "", "\xF0\x9F\x98\x80", "", "", NULL}},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct err e = {0};
        const struct header *expected = &cases[i].header;
        scoped(header) struct header h = {0};
        if (!header_parse(bytes_of(cases[i].text), &h, &e))
            stop_test("case %zu: %s", i, e.text);
        assert_text(h.msg_id, expected->msg_id);
        assert_text(h.msg_type, expected->msg_type);
        assert_text(h.session, expected->session);
        assert_text(h.username, expected->username);
        assert_text(h.date, expected->date);
        assert_text(h.version, expected->version);
        assert_int_equal(!h.subshell_id, !expected->subshell_id);
        assert_text(h.subshell_id, expected->subshell_id);
    }
}

static void bad_headers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "header: not valid JSON at byte 0: an object is expected"},
        {"null", "header: not valid JSON at byte 0: an object is expected"},
        {"{\"msg_type\":\"t\"}", "header: msg_id: is required"},
        {"{\"msg_id\":\"1\"}", "header: msg_type: is required"},
        {"{\"msg_id\":null,\"msg_type\":\"t\"}", "header: msg_id: is required"},
        {"{\"msg_id\":1,\"msg_type\":\"t\"}", "header: msg_id: must be a string"},
        {"{\"msg_id\":\"1\",\"msg_type\":[]}", "header: msg_type: must be a string"},
        {"{\"msg_id\":\"1\",\"msg_type\":\"t\",\"session\":7}",
         "header: session: must be a string"},
        {"{\"msg_id\":\"1\",\"msg_type\":\"t\",\"date\":{}}", "header: date: must be a string"},
        {"{\"msg_id\":\"1\",\"msg_type\":\"t\",\"subshell_id\":true}",
         "header: subshell_id: must be a string"},
        {"{\"msg_id\":\"a\\u0000\",\"msg_type\":\"t\"}",
         "header: msg_id: must not contain the NUL character"},
        {"{\"msg_id\":\"1\",\"msg_type\":\"t\",\"msg_id\":\"2\"}",
         "header: msg_id: is there twice (byte 29)"},
        {"{\"msg_id\":\"1\",\"msg_type\":\"t\"",
         "header: not valid JSON at byte 28: ',' or '}' is expected"},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct err e = {0};
        struct header h;
        assert_fails(header_parse(bytes_of(cases[i].text), &h, &e), e, 400, cases[i].message);
        assert_null(h.msg_id);
    }
}

static void headers_have_a_size(void **state)
{
    (void)state;
    scoped(buffer) struct buffer text = {0};
    buffer_add_text(&text, "{\"msg_id\":\"1\",\"msg_type\":\"t\"}");
    while (text.len < HEADER_LIMIT_BYTES)
        buffer_add_text(&text, " ");
    struct err e = {0};
    scoped(header) struct header h = {0};
    assert_true(header_parse(buffer_view(&text), &h, &e));
    buffer_add_text(&text, " ");
    struct header none;
    assert_fails(header_parse(buffer_view(&text), &none, &e), e, 413,
                 "header: larger than 65536 bytes");
}

static void built_headers_can_be_read(void **state)
{
    (void)state;
    scoped(buffer) struct buffer text = {0};
    header_build(&text, "stream", "sess\"ion", "us\ner");
    scoped(header) struct header h = {0};
    assert_true(header_parse(buffer_view(&text), &h, NULL));
    assert_text(h.msg_type, "stream");
    assert_text(h.session, "sess\"ion");
    assert_text(h.username, "us\ner");
    assert_text(h.version, "5.5");
    assert_int_equal(strlen(h.date), TIME_TEXT - 1);
    scoped(string) char *start = xasprintf("sess\"ion_%ld_", (long)getpid());
    assert_int_equal(strncmp(h.msg_id, start, strlen(start)), 0);
    scoped(json) json_t *parsed = json_parse_object(buffer_view(&text), "header", 1000, NULL);
    assert_non_null(parsed);
    assert_int_equal(json_object_size(parsed), 6);
}

static void no_two_headers_are_alike(void **state)
{
    (void)state;
    scoped(string) char *last = xstrdup("");
    for (int i = 0; i < 100; i++) {
        scoped(buffer) struct buffer text = {0};
        header_build(&text, "status", "s", "u");
        scoped(header) struct header h = {0};
        assert_true(header_parse(buffer_view(&text), &h, NULL));
        assert_string_not_equal(h.msg_id, last);
        free(last);
        last = xstrdup(h.msg_id);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_of_real_clients_are_read),
        cmocka_unit_test(bad_headers_are_refused),
        cmocka_unit_test(headers_have_a_size),
        cmocka_unit_test(built_headers_can_be_read),
        cmocka_unit_test(no_two_headers_are_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
