/* Requests: copied whole, kept by reference, queued in order, found again by number while they are
 * remembered. */
#include "tests/unit.h"

#include "kernel/host/queue.h"

static struct request *make(const char *msg_type, const char *header)
{
    struct bytes identities[] = {bytes_of("one"), bytes_of("two")};
    struct bytes buffers[] = {LITERAL("a\0b"), {0}};
    struct message m = {.channel = CHANNEL_CONTROL,
                        .identities = identities,
                        .identity_count = 2,
                        .header = bytes_of(header),
                        .metadata = bytes_of("{}"),
                        .content = bytes_of("{\"code\":1}"),
                        .buffers = buffers,
                        .buffer_count = 2};
    return request_new(NULL, &m, msg_type);
}

static void copies_the_message(void **state)
{
    (void)state;
    char header[] = "{\"msg_id\":\"a\"}";
    struct request *request = make("execute_request", header);
    memset(header, 'x', sizeof header);
    assert_text(request->msg_type, "execute_request");
    assert_bytes(request->header, bytes_of("{\"msg_id\":\"a\"}"));
    assert_bytes(request->identities[1], bytes_of("two"));
    assert_bytes(request->content, bytes_of("{\"code\":1}"));
    assert_bytes(request->buffers[0], LITERAL("a\0b"));
    assert_int_equal(request->buffers[1].len, 0);
    assert_int_equal(request->channel, CHANNEL_CONTROL);
    request_drop_payload(request);
    assert_int_equal(request->buffer_count, 0);
    assert_bytes(request->header, bytes_of("{\"msg_id\":\"a\"}"));
    request_release(request);
    request_release(NULL);
}

static void goes_in_order(void **state)
{
    static const char *const types[] = {"a", "execute_request", "b", "execute_request", "c"};
    (void)state;
    struct queue queue = {0}, moved = {0};
    assert_null(queue_next(&queue));
    for (size_t i = 0; i < countof(types); i++)
        queue_add(&queue, make(types[i], types[i]));
    struct request *first = queue.first->next, *second = first->next->next;
    queue_move(&queue, "execute_request", &moved);
    assert_int_equal(queue.count, 3);
    assert_int_equal(moved.count, 2);
    assert_ptr_equal(moved.first, first);
    assert_ptr_equal(moved.last, second);
    for (const char *expected = "abc"; *expected; expected++) {
        struct request *next = queue_next(&queue);
        assert_int_equal(next->msg_type[0], *expected);
        request_release(next);
    }
    assert_null(queue_next(&queue));
    queue_add(&queue, make("again", "{}"));
    queue_clear(&queue);
    queue_clear(&moved);
    assert_int_equal(moved.count, 0);
}

static void add(struct request_table *table, uint64_t number, const char *header)
{
    struct request *request = make("execute_request", header);
    request->number = number;
    request_table_add(table, request);
    request_release(request);
}

static void forgets_what_was_used_longest_ago(void **state)
{
    (void)state;
    struct request_table *table = request_table_new(3);
    assert_null(request_table_find(table, 0));
    for (uint64_t n = 1; n <= 3; n++)
        add(table, n, "{}");
    assert_non_null(request_table_find(table, 1));
    add(table, 4, "{}");
    assert_null(request_table_find(table, 2));
    assert_non_null(request_table_find(table, 1));
    assert_non_null(request_table_find(table, 3));
    add(table, 1025 + 3, "{}"); /* the same bucket as 4 */
    assert_null(request_table_find(table, 4));
    assert_int_equal(request_table_find(table, 1028)->number, 1028);
    request_table_free(table);
    request_table_free(NULL);
}

static void is_bounded_in_bytes(void **state)
{
    (void)state;
    struct request_table *table = request_table_new(1000);
    char *big = xmalloc(1024 * 1024 + 1);
    memset(big, ' ', 1024 * 1024);
    big[1024 * 1024] = '\0';
    for (uint64_t n = 1; n <= 10; n++)
        add(table, n, big);
    assert_null(request_table_find(table, 5));
    assert_non_null(request_table_find(table, 10));
    assert_non_null(request_table_find(table, 8));
    free(big);
    request_table_free(table);
}

static void keeps_a_request_that_somebody_holds(void **state)
{
    (void)state;
    struct request_table *table = request_table_new(1);
    struct request *request = make("execute_request", "{\"held\":1}");
    request->number = 1;
    request_table_add(table, request);
    add(table, 2, "{}");
    assert_null(request_table_find(table, 1));
    assert_bytes(request->header, bytes_of("{\"held\":1}"));
    request_release(request);
    request_table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_the_message),
        cmocka_unit_test(goes_in_order),
        cmocka_unit_test(forgets_what_was_used_longest_ago),
        cmocka_unit_test(is_bounded_in_bytes),
        cmocka_unit_test(keeps_a_request_that_somebody_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
