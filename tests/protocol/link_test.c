/* The codec of the link. */
#include "tests/unit.h"

#include "protocol/byte_order.h"
#include "protocol/link.h"

/* Gives the reader all of text, at most `step` bytes at a time. */
static void feed(struct link_reader *r, struct bytes text, size_t step)
{
    while (text.len > 0) {
        size_t room = 0;
        char *space = link_reader_space(r, &room);
        assert_true(room >= 1);
        size_t len = room < step ? room : step;
        len = len < text.len ? len : text.len;
        memcpy(space, text.data, len);
        link_reader_filled(r, len);
        text.data += len;
        text.len -= len;
    }
}

static const struct bytes stream_parts[] = {LITERAL("stdout"), LITERAL("a\nb\0c")};
static const struct bytes request_parts[] = {LITERAL("execute_request"), LITERAL("{}"),
                                             LITERAL("{}"), LITERAL("{\"code\":\"1\"}"),
                                             LITERAL("")};

static const struct link_frame frames[] = {
    {LINK_REQUEST, 0, 1, request_parts, countof(request_parts)},
    {LINK_STREAM, LINK_FLAG_PIPES_FIRST, 1, stream_parts, countof(stream_parts)},
    {LINK_DONE, 255, UINT64_MAX, NULL, 0},
    {LINK_STREAM, 0, UINT64_C(0x0102030405060708), stream_parts, countof(stream_parts)},
};

static void assert_frame(const struct link_frame *actual, const struct link_frame *expected)
{
    assert_int_equal(actual->kind, expected->kind);
    assert_int_equal(actual->flags, expected->flags);
    assert_true(actual->number == expected->number);
    assert_int_equal(actual->part_count, expected->part_count);
    for (size_t i = 0; i < expected->part_count; i++)
        assert_bytes(actual->parts[i], expected->parts[i]);
}

static void the_bytes_are_as_specified(void **state)
{
    (void)state;
    scoped(buffer) struct buffer out = {0};
    link_encode(&out, &frames[3]);
    assert_bytes(buffer_view(&out), LITERAL("\x13\0\0\0"
                                            "\x11\0\2\0"
                                            "\x08\7\6\5\4\3\2\1"
                                            "\6\0\0\0\5\0\0\0"
                                            "stdouta\nb\0c"));
    scoped(buffer) struct buffer head = {0};
    link_encode_head(&head, &frames[3]);
    assert_bytes(buffer_view(&head), ((struct bytes){out.data, 24}));
}

static void frames_survive_every_cut(void **state)
{
    (void)state;
    scoped(buffer) struct buffer text = {0};
    for (size_t i = 0; i < countof(frames); i++)
        link_encode(&text, &frames[i]);
    for (size_t cut = 0; cut <= text.len; cut++) {
        scoped(link_reader) struct link_reader *r = link_reader_new(LINK_LIMIT_BYTES);
        struct link_frame got;
        size_t seen = 0;
        feed(r, (struct bytes){text.data, cut}, SIZE_MAX);
        for (; link_reader_next(r, &got, NULL) == 1; seen++)
            assert_frame(&got, &frames[seen]);
        feed(r, (struct bytes){text.data + cut, text.len - cut}, SIZE_MAX);
        for (; link_reader_next(r, &got, NULL) == 1; seen++)
            assert_frame(&got, &frames[seen]);
        assert_int_equal(seen, countof(frames));
    }
}

static void bytes_may_come_one_by_one(void **state)
{
    (void)state;
    scoped(link_reader) struct link_reader *r = link_reader_new(LINK_LIMIT_BYTES);
    for (int round = 0; round < 3000; round++) {
        const struct link_frame *frame = &frames[round % (int)countof(frames)];
        scoped(buffer) struct buffer text = {0};
        link_encode(&text, frame);
        struct link_frame got;
        for (size_t i = 0; i < text.len; i++) {
            assert_int_equal(link_reader_next(r, &got, NULL), 0);
            feed(r, (struct bytes){text.data + i, 1}, 1);
        }
        assert_int_equal(link_reader_next(r, &got, NULL), 1);
        assert_frame(&got, frame);
    }
}

static void many_frames_may_come_at_once(void **state)
{
    (void)state;
    scoped(buffer) struct buffer text = {0};
    enum { COUNT = 20000 };
    for (size_t i = 0; i < COUNT; i++)
        link_encode(&text, &frames[i % countof(frames)]);
    scoped(link_reader) struct link_reader *r = link_reader_new(LINK_LIMIT_BYTES);
    size_t seen = 0;
    for (size_t at = 0; at < text.len;) {
        size_t room = 0;
        char *space = link_reader_space(r, &room);
        size_t len = room < text.len - at ? room : text.len - at;
        memcpy(space, text.data + at, len);
        link_reader_filled(r, len);
        at += len;
        struct link_frame got;
        for (; link_reader_next(r, &got, NULL) == 1; seen++)
            assert_frame(&got, &frames[seen % countof(frames)]);
    }
    assert_int_equal(seen, COUNT);
}

static void frames_may_wait_in_the_reader(void **state)
{
    (void)state;
    scoped(buffer) struct buffer text = {0};
    for (size_t i = 0; i < 10000; i++)
        link_encode(&text, &frames[i % countof(frames)]);
    scoped(link_reader) struct link_reader *r = link_reader_new(LINK_LIMIT_BYTES);
    feed(r, buffer_view(&text), SIZE_MAX);
    size_t seen = 0;
    struct link_frame got;
    for (; link_reader_next(r, &got, NULL) == 1; seen++)
        assert_frame(&got, &frames[seen % countof(frames)]);
    assert_int_equal(seen, 10000);
}

static void a_big_frame_is_received_in_place(void **state)
{
    (void)state;
    enum { BIG = 5000000 };
    scoped(string) char *content = xmalloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        content[i] = (char)(i * 7);
    struct bytes part = {content, BIG};
    struct link_frame frame = {LINK_PUBLISH, 0, 3, &part, 1};
    scoped(buffer) struct buffer head = {0};
    link_encode_head(&head, &frame);
    scoped(link_reader) struct link_reader *r = link_reader_new(BIG);
    feed(r, buffer_view(&head), SIZE_MAX);
    size_t room = 0;
    char *space = link_reader_space(r, &room);
    assert_true(room >= BIG);
    memcpy(space, content, BIG);
    link_reader_filled(r, BIG);
    struct link_frame got;
    assert_int_equal(link_reader_next(r, &got, NULL), 1);
    assert_ptr_equal(got.parts[0].data, space);
    assert_true(bytes_equal(got.parts[0], part));
    link_reader_space(r, &room);
    assert_true(room < BIG); /* its memory is given back */
    scoped(buffer) struct buffer small = {0};
    link_encode(&small, &frames[0]);
    feed(r, buffer_view(&small), SIZE_MAX);
    assert_int_equal(link_reader_next(r, &got, NULL), 1);
    assert_frame(&got, &frames[0]);
}

static void the_largest_count_of_parts_is_accepted(void **state)
{
    (void)state;
    struct bytes parts[LINK_PARTS_LIMIT];
    for (size_t i = 0; i < countof(parts); i++)
        parts[i] = (struct bytes){"0123456789", i % 11};
    struct link_frame frame = {LINK_REPLY, 0, 9, parts, countof(parts)};
    scoped(buffer) struct buffer text = {0};
    link_encode(&text, &frame);
    scoped(link_reader) struct link_reader *r = link_reader_new(LINK_LIMIT_BYTES);
    feed(r, buffer_view(&text), 1000);
    struct link_frame got;
    assert_int_equal(link_reader_next(r, &got, NULL), 1);
    assert_frame(&got, &frame);
}

/* A frame of kind 17 that says to be `length` long with `parts` parts of the lengths given. */
static void broken_frames_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t length;
        uint16_t parts;
        uint32_t lengths[2];
        int status;
        const char *message;
    } cases[] = {
        {1001, 0, {0}, 413, "link: a frame of 1001 bytes, at most 1000 are accepted"},
        {1005, 1, {0}, 413, "link: a frame of 1005 bytes, at most 1000 are accepted"},
        {UINT32_MAX, 0, {0}, 413, "link: a frame of 4294967295 bytes, at most 1000 are accepted"},
        {5000, 1101, {0}, 400, "link: 1101 parts, at most 1100 are accepted"},
        {0, UINT16_MAX, {0}, 400, "link: 65535 parts, at most 1100 are accepted"},
        {7, 2, {0}, 400, "link: 7 bytes cannot hold the table of 2 parts"},
        {0, 1, {0}, 400, "link: 0 bytes cannot hold the table of 1 parts"},
        {12, 2, {2, 3}, 400, "link: part 1 of 3 bytes leaves its frame"},
        {12, 2, {5, 0}, 400, "link: part 0 of 5 bytes leaves its frame"},
        {12, 2, {2, UINT32_MAX}, 400, "link: part 1 of 4294967295 bytes leaves its frame"},
        {12, 2, {2, 1}, 400, "link: 1 bytes of a frame belong to no part"},
        {4, 0, {0}, 400, "link: 4 bytes of a frame belong to no part"},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        char text[28] = {0};
        store_u32le(text, cases[i].length);
        text[4] = LINK_STREAM;
        store_u16le(text + 6, cases[i].parts);
        store_u32le(text + 16, cases[i].lengths[0]);
        store_u32le(text + 20, cases[i].lengths[1]);
        scoped(link_reader) struct link_reader *r = link_reader_new(1000);
        feed(r, (struct bytes){text, sizeof(text)}, SIZE_MAX);
        for (int again = 0; again < 2; again++) {
            struct err e = {0};
            struct link_frame got;
            size_t room = 0;
            assert_int_equal(link_reader_next(r, &got, &e), -1);
            assert_fails(false, e, cases[i].status, cases[i].message);
            link_reader_space(r, &room);
            assert_in_range(room, 1, 1 << 20); /* a length that is refused is not allocated */
        }
    }
}

static void a_frame_at_the_limit_is_accepted(void **state)
{
    (void)state;
    char content[1000] = {0};
    struct bytes parts[] = {{content, 600}, {content, 400}};
    struct link_frame frame = {LINK_STREAM, 0, 1, parts, 2};
    scoped(buffer) struct buffer text = {0};
    link_encode(&text, &frame);
    scoped(link_reader) struct link_reader *r = link_reader_new(1000);
    feed(r, buffer_view(&text), 7);
    struct link_frame got;
    assert_int_equal(link_reader_next(r, &got, NULL), 1);
    assert_frame(&got, &frame);
}

static void takes_the_counts_off_a_frame(void **state)
{
    (void)state;
    const uint64_t given[2] = {7, 1ull << 40};
    char part[LINK_PIPE_COUNTS_BYTES];
    link_pipe_counts(given, part);
    const struct bytes parts[] = {bytes_of("text"), {part, sizeof part}};
    struct link_frame frame = {.kind = LINK_STREAM, .parts = parts, .part_count = 2};
    uint64_t counts[2];
    struct err e = {0};
    assert_true(link_take_pipe_counts(&frame, counts, &e));
    assert_int_equal(frame.part_count, 1);
    assert_int_equal(counts[0], given[0]);
    assert_int_equal(counts[1], given[1]);
    const char *text = "link: a frame after the pipes does not say after which bytes";
    assert_fails(link_take_pipe_counts(&frame, counts, &e), e, 400, text);
    frame.part_count = 0;
    assert_fails(link_take_pipe_counts(&frame, counts, &e), e, 400, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_counts_off_a_frame),
        cmocka_unit_test(the_bytes_are_as_specified),
        cmocka_unit_test(frames_survive_every_cut),
        cmocka_unit_test(bytes_may_come_one_by_one),
        cmocka_unit_test(many_frames_may_come_at_once),
        cmocka_unit_test(frames_may_wait_in_the_reader),
        cmocka_unit_test(a_big_frame_is_received_in_place),
        cmocka_unit_test(the_largest_count_of_parts_is_accepted),
        cmocka_unit_test(broken_frames_are_refused),
        cmocka_unit_test(a_frame_at_the_limit_is_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
