/* The binary WebSocket framing. */
#include "tests/unit.h"

#include "protocol/byte_order.h"
#include "protocol/framing.h"

static struct message example(const struct bytes *buffers, size_t count)
{
    return (struct message){
        .channel = CHANNEL_IOPUB,
        .header = bytes_of("{\"msg_id\":\"1\"}"),
        .parent = bytes_of("{\"p\":1}"),
        .metadata = bytes_of("{}"),
        .content = bytes_of("{\"x\":0.1}"),
        .buffers = buffers,
        .buffer_count = count,
    };
}

static void the_bytes_are_as_specified(void **state)
{
    (void)state;
    struct bytes buffer = LITERAL("\0\xFF");
    struct message m = example(&buffer, 1);
    scoped(buffer) struct buffer out = {0};
    framing_v1_encode(&m, &out);
    assert_bytes(buffer_view(&out), LITERAL("\7\0\0\0\0\0\0\0"
                                            "\x40\0\0\0\0\0\0\0"
                                            "\x45\0\0\0\0\0\0\0"
                                            "\x53\0\0\0\0\0\0\0"
                                            "\x5a\0\0\0\0\0\0\0"
                                            "\x5c\0\0\0\0\0\0\0"
                                            "\x65\0\0\0\0\0\0\0"
                                            "\x67\0\0\0\0\0\0\0"
                                            "iopub{\"msg_id\":\"1\"}{\"p\":1}{}{\"x\":0.1}\0\xFF"));
}

static void messages_survive(void **state)
{
    (void)state;
    struct bytes buffers[FRAMING_BUFFERS_LIMIT] = {LITERAL("one"), LITERAL(""), LITERAL("a\0b")};
    static const size_t counts[] = {0, 1, 2, 3, FRAMING_BUFFERS_LIMIT};
    for (size_t i = 0; i < countof(counts); i++) {
        struct message m = example(buffers, counts[i]);
        scoped(buffer) struct buffer out = {0};
        buffer_add_text(&out, "before"); /* it is appended */
        framing_v1_encode(&m, &out);
        buffer_drop(&out, strlen("before"));
        scoped(framed) struct framed f = {0};
        assert_true(framing_v1_decode(buffer_view(&out), &f, NULL));
        assert_int_equal(f.message.channel, CHANNEL_IOPUB);
        assert_bytes(f.message.header, m.header);
        assert_bytes(f.message.parent, m.parent);
        assert_bytes(f.message.metadata, m.metadata);
        assert_bytes(f.message.content, m.content);
        assert_int_equal(f.message.buffer_count, counts[i]);
        for (size_t b = 0; b < counts[i]; b++)
            assert_bytes(f.message.buffers[b], buffers[b]);
    }
}

static void empty_parts_are_objects(void **state)
{
    (void)state;
    struct message m = {.header = bytes_of("{\"h\":1}")};
    scoped(buffer) struct buffer out = {0};
    framing_v1_encode(&m, &out);
    scoped(framed) struct framed f = {0};
    assert_true(framing_v1_decode(buffer_view(&out), &f, NULL));
    assert_int_equal(f.message.channel, CHANNEL_SHELL);
    assert_bytes(f.message.parent, bytes_of("{}"));
    assert_bytes(f.message.metadata, bytes_of("{}"));
    assert_bytes(f.message.content, bytes_of("{}"));
}

/* The example, 103 bytes long, with one number of the table changed. */
static void numbers_must_agree(void **state)
{
    (void)state;
    static const struct {
        size_t place;
        uint64_t value;
        const char *message;
    } cases[] = {
        {0, 0, "frame: 0 offsets, at least 6 are expected"},
        {0, 5, "frame: 5 offsets, at least 6 are expected"},
        {0, 6, "frame: the first offset must be 56, the end of the table"},
        {0, 8, "frame: the first offset must be 72, the end of the table"},
        {0, 13, "frame: shorter than its table of offsets"},
        {0, 1030, "frame: shorter than its table of offsets"},
        {0, 1031, "frame: 1031 offsets, more than 1024 buffers are not accepted"},
        {0, UINT64_MAX,
         "frame: 18446744073709551615 offsets, more than 1024 buffers are not accepted"},
        {0, UINT64_MAX / 8,
         "frame: 2305843009213693951 offsets, more than 1024 buffers are not accepted"},
        {1, 0, "frame: the first offset must be 64, the end of the table"},
        {1, 63, "frame: the first offset must be 64, the end of the table"},
        {1, 65, "frame: the first offset must be 64, the end of the table"},
        {2, 63, "frame: part 0 goes from byte 64 to 63 of 103"},
        {2, 104, "frame: part 0 goes from byte 64 to 104 of 103"},
        {2, UINT64_MAX, "frame: part 0 goes from byte 64 to 18446744073709551615 of 103"},
        {2, 68, "frame: channel: must be shell, control, stdin or iopub"},
        {2, 64, "frame: channel: must be shell, control, stdin or iopub"},
        {3, 0x44, "frame: part 1 goes from byte 69 to 68 of 103"},
        {4, 0x52, "frame: part 2 goes from byte 83 to 82 of 103"},
        {5, 0x59, "frame: part 3 goes from byte 90 to 89 of 103"},
        {6, 0x5b, "frame: part 4 goes from byte 92 to 91 of 103"},
        {6, 104, "frame: part 4 goes from byte 92 to 104 of 103"},
        {7, 102, "frame: the last offset must be 103, the length of the frame"},
        {7, 104, "frame: the last offset must be 103, the length of the frame"},
        {7, 0, "frame: the last offset must be 103, the length of the frame"},
    };
    struct bytes buffer = LITERAL("\0\xFF");
    struct message m = example(&buffer, 1);
    for (size_t i = 0; i < countof(cases); i++) {
        scoped(buffer) struct buffer out = {0};
        framing_v1_encode(&m, &out);
        assert_int_equal(out.len, 103);
        store_u64le(out.data + 8 * cases[i].place, cases[i].value);
        struct err e = {0};
        struct framed f;
        assert_fails(framing_v1_decode(buffer_view(&out), &f, &e), e, 400, cases[i].message);
        assert_null(f.buffers);
    }
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    struct bytes buffer = LITERAL("\0\xFF");
    struct message m = example(&buffer, 1);
    scoped(buffer) struct buffer out = {0};
    framing_v1_encode(&m, &out);
    for (size_t len = 0; len < out.len; len++) {
        scoped(string) char *cut = xmemdup(out.data, len);
        struct err e = {0};
        struct framed f;
        assert_false(framing_v1_decode((struct bytes){cut, len}, &f, &e));
        assert_int_equal(e.status, 400);
    }
    buffer_add_text(&out, "more");
    struct framed f;
    assert_false(framing_v1_decode(buffer_view(&out), &f, NULL));
    assert_false(framing_v1_decode((struct bytes){NULL, 0}, &f, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_are_as_specified), cmocka_unit_test(messages_survive),
        cmocka_unit_test(empty_parts_are_objects),    cmocka_unit_test(numbers_must_agree),
        cmocka_unit_test(every_cut_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
