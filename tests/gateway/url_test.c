/* Request targets, decoded. */
#include "tests/unit.h"

#include "gateway/net/url.h"

static void decoding(void **state)
{
    (void)state;
    static const struct {
        const char *raw;
        bool plus;
        const char *expected; /* NULL: refused */
    } cases[] = {
        {"", false, ""},        {"abc", false, "abc"},      {"a%20b", false, "a b"},
        {"a+b", false, "a+b"},  {"a+b", true, "a b"},       {"%2B+%2b", true, "+ +"},
        {"%c3%A9", false, "é"}, {"%", false, NULL},         {"%4", false, NULL},
        {"%4g", false, NULL},   {"%00", false, NULL},       {"%ff", false, NULL},
        {"%c3", false, NULL},   {"%ed%a0%80", false, NULL},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        char out[64];
        long len = url_decode(bytes_of(cases[i].raw), cases[i].plus, out);
        if (cases[i].expected)
            assert_text(len < 0 ? "(refused)" : out, cases[i].expected);
        else if (len >= 0)
            stop_test("%s: accepted", cases[i].raw);
    }
}

static void any_bytes(void **state)
{
    (void)state;
    static const char *const names[] = {"", "a/b.txt", "\xff\xfe", "a b%", "\n", "\xc3\xa9~-_"};
    static const char *const encoded[] = {"", "a/b.txt", "%FF%FE", "a%20b%25", "%0A", "%C3%A9~-_"};
    for (size_t i = 0; i < countof(names); i++) {
        scoped(buffer) struct buffer text = {0};
        char back[64];
        url_encode_path(&text, bytes_of(names[i]));
        assert_text(buffer_text(&text), encoded[i]);
        assert_int_equal(url_decode_bytes(buffer_view(&text), false, back), strlen(names[i]));
        assert_text(back, names[i]);
    }
    char out[8];
    assert_true(url_decode_bytes(bytes_of("a%00"), false, out) < 0);
    assert_true(url_decode_bytes(bytes_of("a%f"), false, out) < 0);
}

static void splitting(void **state)
{
    (void)state;
    static const struct {
        const char *target, *path, *query; /* path NULL: refused */
    } cases[] = {
        {"/", "/", ""},
        {"/a/b?x=1", "/a/b", "x=1"},
        {"/a?x?y", "/a", "x?y"},
        {"/a?", "/a", ""},
        {"http://h/a?b", "/a", "b"},
        {"HTTPS://h:1", "/", ""},
        {"http://h?q", "/", "q"},
        {"http:///a", NULL, NULL},
        {"ftp://h/a", NULL, NULL},
        {"a", NULL, NULL},
        {"", NULL, NULL},
        {"?a", NULL, NULL},
        {"/a#b", NULL, NULL},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct bytes path, query;
        struct err e;
        bool ok = url_split(bytes_of(cases[i].target), &path, &query, &e);
        if (ok != (cases[i].path != NULL))
            stop_test("%s: %s", cases[i].target, ok ? "accepted" : "refused");
        if (!ok) {
            assert_int_equal(e.status, 400);
            continue;
        }
        assert_bytes(path, bytes_of(cases[i].path));
        assert_bytes(query, bytes_of(cases[i].query));
    }
}

static void climbing(void **state)
{
    (void)state;
    static const char *const climbs[] = {"..", ".", "/..", "/a/../b", "/a/.", "a/..", "./a"};
    static const char *const stays[] = {"", "/", "/...", "/a..b", "/..a/.b", "//", "/a/b."};
    for (size_t i = 0; i < countof(climbs); i++)
        assert_true(url_climbs(climbs[i]));
    for (size_t i = 0; i < countof(stays); i++)
        assert_false(url_climbs(stays[i]));
}

static void queries(void **state)
{
    (void)state;
    struct bytes query = bytes_of("a=1&&b&=c&d==&e="), name, value;
    static const char *const expected[][2] = {
        {"a", "1"}, {"b", ""}, {"", "c"}, {"d", "="}, {"e", ""}};
    for (size_t i = 0; i < countof(expected); i++) {
        assert_true(url_query_next(&query, &name, &value));
        assert_bytes(name, bytes_of(expected[i][0]));
        assert_bytes(value, bytes_of(expected[i][1]));
    }
    assert_false(url_query_next(&query, &name, &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoding), cmocka_unit_test(any_bytes), cmocka_unit_test(splitting),
        cmocka_unit_test(climbing), cmocka_unit_test(queries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
