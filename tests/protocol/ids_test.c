/* Identifiers and times. */
#include "tests/unit.h"

#include "protocol/ids.h"

static void uuids_have_version_4(void **state)
{
    (void)state;
    char first[UUID_TEXT], second[UUID_TEXT];
    uuid_make(first);
    for (int i = 0; i < 200; i++) {
        uuid_make(second);
        assert_string_not_equal(first, second);
        assert_int_equal(strlen(second), 36);
        assert_int_equal(strspn(second, "0123456789abcdef-"), 36);
        assert_int_equal(second[14], '4');
        assert_non_null(strchr("89ab", second[19]));
        assert_true(id_valid(second));
    }
}

static void random_hex_has_the_length_asked_for(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 32, 63, 64, 65, 200};
    for (size_t i = 0; i < countof(counts); i++) {
        char text[401], again[401];
        random_hex(text, counts[i]);
        random_hex(again, counts[i]);
        assert_int_equal(strlen(text), 2 * counts[i]);
        assert_int_equal(strspn(text, "0123456789abcdef"), 2 * counts[i]);
        if (counts[i] >= 32)
            assert_string_not_equal(text, again);
    }
}

static void ids_are_five_groups(void **state)
{
    (void)state;
    static const struct {
        const char *id;
        bool valid;
    } cases[] = {
        {"0aa5cafc-8c72-4b7b-9d0d-2bd40ea1a3f5", true},
        {"a-b-c-d-e", true},
        {"A_1-b-c-d-e", true},
        {"", false},
        {"a-b-c-d", false},
        {"a-b-c-d-e-f", false},
        {"a-b-c-d-", false},
        {"-a-b-c-d", false},
        {"a--b-c-d", false},
        {"a-b-c-d-e/..", false},
        {"a-b-c-d-e\n", false},
        {"a-b-c-d-\xC3\xA9", false},
    };
    for (size_t i = 0; i < countof(cases); i++)
        if (id_valid(cases[i].id) != cases[i].valid)
            stop_test("\"%s\" must%s be valid", cases[i].id, cases[i].valid ? "" : " not");
}

static void an_id_may_be_100_long(void **state)
{
    (void)state;
    char id[102];
    memset(id, 'x', sizeof(id));
    memcpy(id, "a-b-c-d-", 8);
    id[100] = '\0';
    assert_true(id_valid(id));
    id[100] = 'x';
    id[101] = '\0';
    assert_false(id_valid(id));
}

static void times_always_have_a_fraction(void **state)
{
    (void)state;
    static const struct {
        struct timespec when;
        const char *text;
    } cases[] = {
        {{0, 0}, "1970-01-01T00:00:00.000000Z"},
        {{1769903999, 123456789}, "2026-01-31T23:59:59.123456Z"},
        {{951782400, 999}, "2000-02-29T00:00:00.000000Z"},
        {{4102444799, 999999999}, "2099-12-31T23:59:59.999999Z"},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        char text[TIME_TEXT];
        time_text(cases[i].when, text);
        assert_text(text, cases[i].text);
    }
    char now[TIME_TEXT];
    time_now_text(now);
    assert_int_equal(strlen(now), TIME_TEXT - 1);
}

static void monotonic_time_does_not_fall(void **state)
{
    (void)state;
    int64_t before = monotonic_us();
    int64_t after = monotonic_us();
    assert_true(after >= before);
    assert_true(monotonic_ms() >= before / 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uuids_have_version_4),
        cmocka_unit_test(random_hex_has_the_length_asked_for),
        cmocka_unit_test(ids_are_five_groups),
        cmocka_unit_test(an_id_may_be_100_long),
        cmocka_unit_test(times_always_have_a_fraction),
        cmocka_unit_test(monotonic_time_does_not_fall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
