/* Buckets of requests, by a clock of the test's own. */
#include "tests/unit.h"

#include "gateway/net/rate.h"

static int taken(struct rate *r, const char *name, int64_t rate, int64_t now_ms, int most)
{
    int count = 0;
    while (count < most && rate_take(r, name, rate, now_ms))
        count++;
    return count;
}

static void a_bucket_fills_steadily(void **state)
{
    (void)state;
    struct rate *r = rate_new();
    assert_int_equal(taken(r, "ada", 10, 1000, 100), 10);
    assert_int_equal(taken(r, "ada", 10, 1050, 100), 0);
    assert_int_equal(taken(r, "ada", 10, 1100, 100), 1);
    assert_int_equal(taken(r, "ada", 10, 1500, 100), 4);
    assert_int_equal(taken(r, "ada", 10, 60000, 100), 10); /* and no more */
    rate_free(r);
}

static void each_has_their_own(void **state)
{
    (void)state;
    struct rate *r = rate_new();
    for (int i = 0; i < 2000; i++) {
        scoped(string) char *name = xasprintf("p%d", i);
        assert_int_equal(taken(r, name, 3, 1000, 100), 3);
    }
    assert_int_equal(taken(r, "p7", 3, 1000, 100), 0);
    assert_int_equal(taken(r, "ada", 5, 5000, 100), 5);
    assert_int_equal(taken(r, "p7", 3, 5000, 100), 3);
    rate_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_fills_steadily),
        cmocka_unit_test(each_has_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
