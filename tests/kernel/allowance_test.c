/* What an execution may put out: how much passes, and that every byte is counted. */
#include "tests/unit.h"

#include "kernel/host/allowance.h"

static void text_passes_by_whole_characters(void **state)
{
    static const struct {
        uint64_t limit, delivered, withheld;
        struct bytes text;
        size_t passed;
    } rows[] = {
        {0, 1000, 0, LITERAL("abc"), 3},    {5, 0, 0, LITERAL("abcde"), 5},
        {5, 0, 0, LITERAL("abcdef"), 5},    {5, 4, 0, LITERAL("abc"), 1},
        {5, 5, 0, LITERAL("abc"), 0},       {5, 6, 0, LITERAL("abc"), 0},
        {5, 0, 1, LITERAL("abc"), 0},       {2, 0, 0, LITERAL("a\xc3\xa9"), 1},
        {3, 0, 0, LITERAL("a\xc3\xa9"), 3}, {4, 0, 0, LITERAL("a\xf0\x9f\x98\x80"), 1},
    };
    (void)state;
    for (size_t i = 0; i < countof(rows); i++) {
        struct allowance a = {.delivered = rows[i].delivered, .withheld = rows[i].withheld};
        size_t passed = allowance_text(&a, rows[i].limit, rows[i].text);
        if (passed != rows[i].passed)
            stop_test("row %zu: %zu bytes passed", i, passed);
        assert_int_equal(a.delivered, rows[i].delivered + passed);
        assert_int_equal(a.withheld, rows[i].withheld + rows[i].text.len - passed);
    }
}

static void messages_pass_whole(void **state)
{
    struct allowance a = {0};
    (void)state;
    assert_true(allowance_message(&a, 100, "execute_input", 1000));
    assert_int_equal(a.delivered, 0);
    assert_true(allowance_message(&a, 100, "display_data", 60));
    assert_false(allowance_message(&a, 100, "display_data", 60));
    assert_false(allowance_message(&a, 100, "display_data", 1)); /* what came later does not pass */
    assert_int_equal(allowance_text(&a, 100, LITERAL("x")), 0);
    assert_false(allowance_message(&a, 100, "execute_input", 10)); /* one is free */
    assert_int_equal(a.delivered, 60);
    assert_int_equal(a.withheld, 60 + 1 + 1 + 10);
}

static void one_error_is_free(void **state)
{
    struct allowance a = {0};
    (void)state;
    assert_false(allowance_message(&a, 10, "error", ALLOWANCE_ERROR_BYTES + 1));
    assert_true(allowance_message(&a, 10, "error", ALLOWANCE_ERROR_BYTES));
    assert_false(allowance_message(&a, 10, "error", 1));
    assert_int_equal(a.delivered, ALLOWANCE_ERROR_BYTES);
    assert_int_equal(a.withheld, ALLOWANCE_ERROR_BYTES + 2);
}

static void tells_each_doubling(void **state)
{
    struct allowance a = {0};
    static const struct {
        uint64_t withheld;
        bool tell;
    } rows[] = {{0, false}, {1, true}, {1, false}, {2, true}, {3, false}, {9, true}, {17, false}};
    (void)state;
    for (size_t i = 0; i < countof(rows); i++) {
        a.withheld = rows[i].withheld;
        if (allowance_must_tell(&a) != rows[i].tell)
            stop_test("row %zu", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_passes_by_whole_characters),
        cmocka_unit_test(messages_pass_whole),
        cmocka_unit_test(one_error_is_free),
        cmocka_unit_test(tells_each_doubling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
