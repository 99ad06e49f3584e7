/* The sum of RFC 3720, B.4, at once and in pieces. */
#include "tests/unit.h"

#include "protocol/crc32c.h"

static void known_sums(void **state)
{
    (void)state;
    char zeros[32] = {0}, ones[32], rising[32];
    memset(ones, 0xff, sizeof ones);
    for (size_t i = 0; i < sizeof rising; i++)
        rising[i] = (char)i;
    assert_int_equal(crc32c(0, (struct bytes){zeros, 32}), 0x8a9136aa);
    assert_int_equal(crc32c(0, (struct bytes){ones, 32}), 0x62a8ab43);
    assert_int_equal(crc32c(0, (struct bytes){rising, 32}), 0x46dd794e);
    assert_int_equal(crc32c(0, bytes_of("123456789")), 0xe3069283);
    assert_int_equal(crc32c(0, (struct bytes){0}), 0);
}

static void pieces_come_to_the_same(void **state)
{
    (void)state;
    struct bytes whole = bytes_of("a text that is longer than a word of the processor");
    for (size_t cut = 0; cut <= whole.len; cut++) {
        uint32_t first = crc32c(0, (struct bytes){whole.data, cut});
        assert_int_equal(crc32c(first, (struct bytes){whole.data + cut, whole.len - cut}),
                         crc32c(0, whole));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_sums),
        cmocka_unit_test(pieces_come_to_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
