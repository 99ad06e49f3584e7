/* Open requests: what a client sent and nobody has answered yet. */
#include "tests/unit.h"

#include "gateway/core/request.h"

static bool add(struct requests *r, const char *header, struct err *e)
{
    const struct message m = {.channel = CHANNEL_SHELL, .header = bytes_of(header)};
    return requests_add(r, "me", &m, e);
}

static void test_answered_in_any_order(void **state)
{
    (void)state;
    struct requests r = {0};
    assert_true(add(&r, "{\"msg_id\":\"1\",\"msg_type\":\"execute_request\"}", NULL));
    assert_true(add(&r, "{\"msg_id\":\"2\",\"msg_type\":\"complete_request\"}", NULL));
    assert_true(add(&r, "{\"msg_id\":\"3\",\"msg_type\":\"comm_msg\"}", NULL)); /* owes nothing */
    assert_true(add(&r, "{\"msg_id\":\"4\",\"msg_type\":\"execute_request\"}", NULL));
    assert_int_equal(r.count, 3);
    requests_answered(&r, bytes_of("{\"msg_id\":\"4\"}"));
    requests_answered(&r, bytes_of("{\"msg_id\":\"1\",\"x\":[1]}"));
    requests_answered(&r, bytes_of("{\"msg_id\":\"unknown\"}"));
    requests_answered(&r, bytes_of("not JSON"));
    assert_int_equal(r.count, 1);
    assert_true(add(&r, "{\"msg_id\":\"5\",\"msg_type\":\"execute_request\"}", NULL));
    assert_true(requests_awaited(&r, "execute_request"));
    assert_false(requests_awaited(&r, "no_request"));
    struct request *first = requests_take(&r), *second = requests_take(&r);
    assert_string_equal(first->msg_id, "2");
    assert_string_equal(second->msg_id, "5");
    assert_string_equal(second->identity, "me");
    assert_null(requests_take(&r));
    assert_false(requests_awaited(&r, "execute_request"));
    assert_int_equal(r.bytes, 0);
    request_free(first);
    request_free(second);
}

static void test_refusals(void **state)
{
    (void)state;
    static const char *const headers[] = {"",
                                          "{",
                                          "[]",
                                          "{}",
                                          "{\"msg_id\":\"1\"}",
                                          "{\"msg_id\":1,\"msg_type\":\"execute_request\"}",
                                          "{\"msg_id\":\"1\",\"msg_type\":null}"};
    struct requests r = {0};
    for (size_t i = 0; i < countof(headers); i++) {
        struct err e = {0};
        if (add(&r, headers[i], &e) || e.status != 400)
            stop_test("%s was taken", headers[i]);
    }
    assert_int_equal(r.count, 0);
}

static void test_is_bounded(void **state)
{
    (void)state;
    struct requests r = {0};
    for (int i = 0; i < REQUESTS_LIMIT + 10; i++) {
        scoped(string) char *header =
            xasprintf("{\"msg_id\":\"%d\",\"msg_type\":\"execute_request\"}", i);
        assert_true(add(&r, header, NULL));
    }
    assert_int_equal(r.count, REQUESTS_LIMIT);
    struct request *oldest = requests_take(&r);
    assert_string_equal(oldest->msg_id, "10");
    request_free(oldest);
    requests_clear(&r);
    assert_int_equal(r.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answered_in_any_order),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
