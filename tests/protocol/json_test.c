/* Bodies that are parsed, and their members. */
#include "tests/unit.h"

#include "protocol/json.h"

static void bodies_are_objects(void **state)
{
    (void)state;
    static const struct {
        struct bytes text;
        int status;
        const char *message; /* how it begins: jansson goes on in its own words */
    } cases[] = {
        {LITERAL("{}"), 0, ""},
        {LITERAL(" {\"a\": [1, {\"b\": null}]}\n"), 0, ""},
        {LITERAL("{\"a\": \"\\u0000\"}"), 0, ""},
        {LITERAL("{\"a\": 9223372036854775807}"), 0, ""},
        {{NULL, 0}, 400, "body: not valid JSON (line 1, column "},
        {LITERAL("[]"), 400, "body: must be an object"},
        {LITERAL("3"), 400, "body: must be an object"},
        {LITERAL("\"x\""), 400, "body: must be an object"},
        {LITERAL("{\"a\": 1,\n \"a\": 2}"), 400, "body: not valid JSON (line 2, column 4)"},
        {LITERAL("{\"a\": NaN}"), 400, "body: not valid JSON (line 1, column "},
        {LITERAL("{} {}"), 400, "body: not valid JSON (line 1, column "},
        {LITERAL("{\"a\": \"\xFF\"}"), 400, "body: not valid JSON (line 1, column "},
        {LITERAL("{\"a\": \"\\ud800\"}"), 400, "body: not valid JSON (line 1, column "},
        {LITERAL("{\"a\": 9223372036854775808}"), 400, "body: not valid JSON (line 1, column "},
        {LITERAL("{\"a\": 1\0}"), 400, "body: not valid JSON (byte 7 is NUL)"},
        {LITERAL("{\"abcdefghijklmnopqrstuvwxyz\": 1}"), 413, "body: larger than 32 bytes"},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct err e = {0};
        scoped(json) json_t *body = json_parse_object(cases[i].text, "body", 32, &e);
        if (!cases[i].status != !!body)
            stop_test("case %zu: %s", i, e.text);
        assert_int_equal(e.status, cases[i].status);
        e.text[strlen(cases[i].message)] = '\0';
        assert_text(e.text, cases[i].message);
    }
}

static void nesting_has_an_end(void **state)
{
    (void)state;
    scoped(buffer) struct buffer text = {0};
    buffer_add_text(&text, "{\"a\":");
    for (int i = 0; i < 100000; i++)
        buffer_add_text(&text, "[");
    struct err e = {0};
    assert_null(json_parse_object(buffer_view(&text), "body", text.len, &e));
    assert_int_equal(e.status, 400);
}

static json_t *body_of(const char *text)
{
    json_t *body = json_parse_object(bytes_of(text), "body", 1000, NULL);
    assert_non_null(body);
    return body;
}

#define BODY                                                                                       \
    "{\"s\": \"text\", \"empty\": \"\", \"nul\": \"a\\u0000b\", \"i\": 7, \"r\": 7.0, \"t\": "     \
    "true,"                                                                                        \
    " \"f\": false, \"o\": {\"x\": 1}, \"a\": [], \"null\": null}"

/* One member read as one type: the value as text, or the error. NULL for value: left as it was. */
static const struct {
    char type;
    const char *name;
    enum presence presence;
    const char *value, *error;
} members[] = {
    {'s', "s", REQUIRED, "text", NULL},
    {'s', "empty", REQUIRED, "", NULL},
    {'s', "none", OPTIONAL, NULL, NULL},
    {'s', "null", OPTIONAL, NULL, NULL},
    {'s', "none", REQUIRED, NULL, "none: is required"},
    {'s', "null", REQUIRED, NULL, "null: is required"},
    {'s', "i", REQUIRED, NULL, "i: must be a string"},
    {'s', "o", OPTIONAL, NULL, "o: must be a string"},
    {'s', "nul", REQUIRED, NULL, "nul: must not contain the NUL character"},
    {'i', "i", REQUIRED, "7", NULL},
    {'i', "none", OPTIONAL, NULL, NULL},
    {'i', "none", REQUIRED, NULL, "none: is required"},
    {'i', "r", REQUIRED, NULL, "r: must be an integer"},
    {'i', "s", OPTIONAL, NULL, "s: must be an integer"},
    {'i', "t", OPTIONAL, NULL, "t: must be an integer"},
    {'b', "t", REQUIRED, "1", NULL},
    {'b', "f", REQUIRED, "0", NULL},
    {'b', "null", OPTIONAL, NULL, NULL},
    {'b', "none", REQUIRED, NULL, "none: is required"},
    {'b', "i", REQUIRED, NULL, "i: must be true or false"},
    {'o', "o", REQUIRED, "{\"x\":1}", NULL},
    {'o', "none", OPTIONAL, NULL, NULL},
    {'o', "null", REQUIRED, NULL, "null: is required"},
    {'o', "a", REQUIRED, NULL, "a: must be an object"},
};

static bool read_member(json_t *body, size_t row, char **value, struct err *e)
{
    const char *name = members[row].name;
    enum presence presence = members[row].presence;
    const char *text = NULL;
    int64_t number = -1;
    bool truth = true;
    json_t *object = NULL;
    bool good = false;
    switch (members[row].type) {
    case 's':
        good = field_str(body, name, presence, &text, e);
        *value = text ? xstrdup(text) : NULL;
        break;
    case 'i':
        good = field_int(body, name, presence, 0, 100, &number, e);
        *value = number == -1 ? NULL : xasprintf("%d", (int)number);
        break;
    case 'b':
        truth = members[row].value && *members[row].value == '0';
        good = field_bool(body, name, presence, &truth, e);
        *value = members[row].value ? xasprintf("%d", truth) : NULL;
        break;
    case 'o':
        good = field_object(body, name, presence, &object, e);
        *value = object ? json_dumps(object, JSON_COMPACT) : NULL;
        break;
    }
    return good;
}

static void members_are_read_by_type(void **state)
{
    (void)state;
    scoped(json) json_t *body = body_of(BODY);
    for (size_t i = 0; i < countof(members); i++) {
        struct err e = {0};
        scoped(string) char *value = NULL;
        bool good = read_member(body, i, &value, &e);
        if (good != !members[i].error)
            stop_test("row %zu: %s", i, e.text);
        if (members[i].error)
            assert_fails(good, e, 400, members[i].error);
        if (!value != !members[i].value)
            stop_test("row %zu: value %s", i, value ? value : "(left)");
        if (value)
            assert_text(value, members[i].value);
    }
}

static void integers_have_a_range(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t low, high;
        const char *error;
    } cases[] = {
        {"{\"n\": 0}", 0, 65535, NULL},
        {"{\"n\": 65535}", 0, 65535, NULL},
        {"{\"n\": 65536}", 0, 65535, "n: out of range (0 to 65535)"},
        {"{\"n\": -1}", 0, 65535, "n: out of range (0 to 65535)"},
        {"{\"n\": -9223372036854775808}", INT64_MIN, INT64_MAX, NULL},
        {"{\"n\": 9223372036854775807}", INT64_MIN, INT64_MAX, NULL},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct err e = {0};
        scoped(json) json_t *body = body_of(cases[i].text);
        int64_t n = 42;
        bool good = field_int(body, "n", REQUIRED, cases[i].low, cases[i].high, &n, &e);
        assert_int_equal(good, !cases[i].error);
        assert_text(e.text, cases[i].error ? cases[i].error : "");
        assert_true(good ? n == json_integer_value(json_object_get(body, "n")) : n == 42);
    }
}

static void values_are_written_as_jansson_reads_them(void **state)
{
    (void)state;
    static const struct bytes cases[] = {
        LITERAL("{}"),
        LITERAL("[]"),
        LITERAL("[{},[],null,true,false,0,-9223372036854775808,0.5]"),
        LITERAL("{\"b\":[1,{\"a\":\"\"}],\"a\":{\"\":null}}"),
        LITERAL("[\"\\u0000\\u001f\\b\\f\\n\\r\\t\\\"\\\\/\x7f\xc3\xa4\xf0\x9f\x98\x80\"]"),
        LITERAL("{\"\\n\\\"\xc3\xa4\":1}"),
        LITERAL("\"a text alone\""),
    };
    for (size_t i = 0; i < countof(cases); i++) {
        scoped(json) json_t *value =
            json_loadb(cases[i].data, cases[i].len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        scoped(buffer) struct buffer text = {0};
        assert_non_null(value);
        json_write(&text, value);
        scoped(json) json_t *again =
            json_loadb(text.data, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_true(json_equal(value, again));
        if (i < 4)
            assert_string_equal(buffer_text(&text), cases[i].data);
    }
    scoped(buffer) struct buffer nothing = {0};
    json_write(&nothing, NULL);
    assert_int_equal(nothing.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_are_objects),
        cmocka_unit_test(nesting_has_an_end),
        cmocka_unit_test(members_are_read_by_type),
        cmocka_unit_test(integers_have_a_range),
        cmocka_unit_test(values_are_written_as_jansson_reads_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
