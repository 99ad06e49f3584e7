/* Marks: the same for the same bytes, however they come, and as OpenSSL's own tool makes them. */
#include "gateway/store/mark.h"

#include "tests/unit.h"

#define KEY "00000000000000000000000000000000"
/* openssl mac -cipher AES-256-GCM -macopt key:KEY -macopt hexiv:000000000000000000000000 GMAC */
#define MARK_OF_ABC KEY ":09d80aa8469ed8609f8c160b8f8f4814"

/* In pieces of step bytes. */
static void mark_of(const char *key, struct bytes data, size_t step, char text[MARK_TEXT])
{
    struct mark *mark = mark_new(key);
    for (size_t from = 0; from < data.len; from += step)
        mark_add(mark,
                 (struct bytes){data.data + from, data.len - from < step ? data.len - from : step});
    mark_end(mark, text);
    mark_free(mark);
}

static void test_a_mark_is_gmac(void **state)
{
    char text[MARK_TEXT];
    (void)state;
    mark_of(KEY, bytes_of("abc"), 3, text);
    assert_string_equal(text, MARK_OF_ABC);
}

static void test_pieces_do_not_matter_and_bytes_do(void **state)
{
    static const size_t steps[] = {1, 15, 16, 17, 4096, 99999};
    static char data[100000];
    char whole[MARK_TEXT], other[MARK_TEXT], key[MARK_KEY_TEXT];
    struct bytes bytes = {data, sizeof(data)};
    (void)state;
    mark_key_make(key);
    mark_of(key, bytes, sizeof(data), whole);
    for (size_t i = 0; i < countof(steps); i++) {
        mark_of(key, bytes, steps[i], other);
        assert_string_equal(other, whole);
    }
    data[sizeof(data) - 1] = 1;
    mark_of(key, bytes, sizeof(data), other);
    assert_string_not_equal(other, whole);
    mark_of(key, (struct bytes){data, sizeof(data) - 1}, sizeof(data), other);
    assert_string_not_equal(other, whole);
}

static void test_the_key_of_a_mark(void **state)
{
    static const char *const none[] = {
        "", KEY, KEY ":", KEY ":0", MARK_OF_ABC "0", KEY "009d80aa8469ed8609f8c160b8f8f4814"};
    char key[MARK_KEY_TEXT] = "";
    (void)state;
    assert_true(mark_key_of(MARK_OF_ABC, key));
    assert_string_equal(key, KEY);
    assert_false(mark_key_of(NULL, key));
    for (size_t i = 0; i < countof(none); i++)
        assert_false(mark_key_of(none[i], key));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_mark_is_gmac),
        cmocka_unit_test(test_pieces_do_not_matter_and_bytes_do),
        cmocka_unit_test(test_the_key_of_a_mark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
