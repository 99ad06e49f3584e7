/* Allocation, the growing buffer and the error value. */
#include "tests/unit.h"

#include <errno.h>

#include "protocol/memory.h"

static void copies_end_with_nul(void **state)
{
    (void)state;
    scoped(string) char *cut = xstrndup("abcdef", 3);
    scoped(string) char *whole = xstrndup("ab", 30);
    scoped(string) char *none = xstrdup(NULL);
    scoped(string) char *made = xasprintf("%s-%d", "ipc", 5);
    assert_text(cut, "abc");
    assert_text(whole, "ab");
    assert_text(none, "");
    assert_text(made, "ipc-5");
}

static void sizes_of_zero_give_pointers(void **state)
{
    (void)state;
    scoped(string) char *a = xmalloc(0);
    scoped(string) char *b = xcalloc(0, 8);
    scoped(string) char *c = xmemdup(NULL, 0);
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    assert_ptr_not_equal(a, b);
}

static void take_empties_the_variable(void **state)
{
    (void)state;
    char *text = xstrdup("x");
    scoped(string) char *taken = take(&text);
    assert_null(text);
    assert_text(taken, "x");
}

static void buffer_grows_and_drops(void **state)
{
    (void)state;
    scoped(buffer) struct buffer b = {0};
    assert_int_equal(buffer_view(&b).len, 0);
    for (int i = 0; i < 1000; i++)
        buffer_printf(&b, "%d,", i % 10);
    assert_int_equal(b.len, 2000);
    buffer_drop(&b, 1990);
    assert_bytes(buffer_view(&b), bytes_of("5,6,7,8,9,"));
    buffer_drop(&b, 0);
    buffer_add_text(&b, "end");
    assert_text(buffer_text(&b), "5,6,7,8,9,end");
    buffer_clear(&b);
    assert_text(buffer_text(&b), "");
}

static void buffer_printf_takes_texts_of_any_length(void **state)
{
    (void)state;
    char text[600]; /* past several capacities: a text may just fit, or lack room for its NUL */
    for (size_t len = 0; len < sizeof(text); len++) {
        memset(text, 'x', len);
        text[len] = '\0';
        scoped(buffer) struct buffer b = {0};
        buffer_add_text(&b, "<");
        buffer_printf(&b, "%s>", text);
        assert_int_equal(b.len, len + 2);
        assert_int_equal(b.data[b.len - 1], '>');
    }
}

static void buffer_take_gives_it_away(void **state)
{
    (void)state;
    struct buffer b = {0};
    buffer_add(&b, "a\0b", 3);
    size_t len = 0;
    scoped(string) char *data = buffer_take(&b, &len);
    assert_bytes(((struct bytes){data, len}), LITERAL("a\0b"));
    assert_int_equal(data[3], '\0');
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    scoped(string) char *empty = buffer_take(&b, NULL);
    assert_text(empty, "");
}

static void fail_fills_and_returns_false(void **state)
{
    (void)state;
    struct err e = {0};
    assert_false(fail(NULL, 400, "nobody reads this"));
    assert_fails(fail(&e, 404, "kernel %s does not exist", "k"), e, 404, "kernel k does not exist");
    assert_fails(fail(&e, 400, "body: %s", e.text), e, 400, "body: kernel k does not exist");
    assert_fails(fail(&e, 400, "a\nb\tc"), e, 400, "a b c");
    assert_fails(fail(&e, 400, "x\xFF\xC3(%s\xC3", "\xC3\xA9"), e, 400, "x?\?(\xC3\xA9?");
}

static void long_texts_are_cut_at_a_character(void **state)
{
    (void)state;
    struct err e = {0};
    for (int shift = 0; shift < 3; shift++) {
        char text[900] = "";
        memset(text, 'a', (size_t)shift);
        for (int i = 0; i < 200; i++)
            strcat(text, "\xE2\x82\xAC");
        assert_false(fail(&e, 400, "%s", text));
        size_t len = strlen(e.text);
        assert_in_range(len, sizeof(e.text) - 4, sizeof(e.text) - 1);
        assert_text(e.text + len - 6, "\xE2\x82\xAC...");
    }
}

static void the_longest_text_is_not_cut(void **state)
{
    (void)state;
    struct err e = {0};
    char text[sizeof(e.text) + 1];
    memset(text, 'a', sizeof(text));
    text[sizeof(e.text) - 1] = '\0';
    assert_fails(fail(&e, 400, "%s", text), e, 400, text);
    text[sizeof(e.text) - 1] = 'a';
    text[sizeof(e.text)] = '\0';
    fail(&e, 400, "%s", text);
    assert_text(e.text + sizeof(e.text) - 5, "a...");
}

static void errno_is_told_and_kept(void **state)
{
    (void)state;
    struct err e = {0};
    errno = ENOENT;
    assert_fails(fail_errno(&e, 500, "file %s", "x"), e, 500, "file x: No such file or directory");
    assert_int_equal(errno, ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_end_with_nul),
        cmocka_unit_test(sizes_of_zero_give_pointers),
        cmocka_unit_test(take_empties_the_variable),
        cmocka_unit_test(buffer_grows_and_drops),
        cmocka_unit_test(buffer_printf_takes_texts_of_any_length),
        cmocka_unit_test(buffer_take_gives_it_away),
        cmocka_unit_test(fail_fills_and_returns_false),
        cmocka_unit_test(long_texts_are_cut_at_a_character),
        cmocka_unit_test(the_longest_text_is_not_cut),
        cmocka_unit_test(errno_is_told_and_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
