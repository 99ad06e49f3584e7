/* What every unit test needs: cmocka with the headers it wants before it, and checks that say which
 * row of a table they failed on. */
#ifndef WARMCELL_TESTS_UNIT_H
#define WARMCELL_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* cmocka's fail() would hide ours; its fail_msg() goes with it, stop_test() stands in for both. */
#undef fail
#undef fail_msg
#define stop_test(...)                                                                             \
    do {                                                                                           \
        print_error(__VA_ARGS__);                                                                  \
        print_error("\n");                                                                         \
        _fail(__FILE__, __LINE__);                                                                 \
    } while (0)

#include "protocol/bytes.h"
#include "protocol/err.h"

/* A literal with NULs in it as bytes. */
#define LITERAL(text) ((struct bytes){(text), sizeof(text) - 1})

#define assert_bytes(actual, expected)                                                             \
    do {                                                                                           \
        struct bytes actual_ = (actual), expected_ = (expected);                                   \
        if (!bytes_equal(actual_, expected_))                                                      \
            stop_test("got \"%.*s\" (%zu bytes), expected \"%.*s\" (%zu bytes)", (int)actual_.len, \
                      actual_.data ? actual_.data : "", actual_.len, (int)expected_.len,           \
                      expected_.data ? expected_.data : "", expected_.len);                        \
    } while (0)

#define assert_text(actual, expected) assert_bytes(bytes_of(actual), bytes_of(expected))

/* The call failed (its value is given) and said so: the whole text is compared. */
#define assert_fails(value, e, expected_status, expected_text)                                     \
    do {                                                                                           \
        assert_false(value);                                                                       \
        assert_text((e).text, expected_text);                                                      \
        assert_int_equal((e).status, expected_status);                                             \
    } while (0)

#endif
