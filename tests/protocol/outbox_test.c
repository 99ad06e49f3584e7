/* The outbox: what a host finds in it after the interpreter was killed, and what it does not trust.
 */
#include "tests/unit.h"

#include "protocol/outbox.h"

struct outbox_test {
    void *outbox;
    struct buffer out;
    uint64_t gap, missing;
};

static int set_up(void **state)
{
    struct outbox_test *t = xcalloc(1, sizeof *t);
    t->outbox = xcalloc(1, OUTBOX_BYTES);
    *state = t;
    return 0;
}

static int tear_down(void **state)
{
    struct outbox_test *t = *state;
    free(t->outbox);
    buffer_free(&t->out);
    free(t);
    return 0;
}

static void collect(struct outbox_test *t, uint64_t from)
{
    buffer_clear(&t->out);
    outbox_collect(t->outbox, from, &t->out, &t->gap, &t->missing);
}

/* A slot with bytes of the stream; what they are does not matter here. */
static struct outbox_slot *put(struct outbox_test *t, size_t index, uint64_t at, const char *bytes)
{
    struct outbox_slot *slot = outbox_slot(t->outbox, index);
    memcpy(slot->data, bytes, strlen(bytes));
    slot->at = at;
    slot->fill = outbox_fill(strlen(bytes), 0);
    return slot;
}

static void open_text(struct outbox_slot *slot, uint8_t stream, bool after_pipes, const char *text)
{
    size_t whole = (uint32_t)slot->fill;
    slot->stream = stream;
    slot->after_pipes = after_pipes;
    slot->number = 7;
    slot->pipe_counts[0] = 3;
    slot->pipe_counts[1] = 4;
    memcpy(slot->data + whole + outbox_head_bytes(after_pipes), text, strlen(text));
    slot->fill = outbox_fill(whole, strlen(text));
}

static void assert_out(struct outbox_test *t, const char *text, uint64_t gap, uint64_t missing)
{
    assert_string_equal(buffer_text(&t->out), text);
    assert_int_equal(t->gap, gap);
    assert_int_equal(t->missing, missing);
}

static void empty_one(void **state)
{
    struct outbox_test *t = *state;
    collect(t, 0);
    assert_out(t, "", 0, 0);
    collect(t, UINT64_MAX);
    assert_out(t, "", 0, 0);
}

static void slots_in_the_order_of_the_stream(void **state)
{
    struct outbox_test *t = *state;
    put(t, 3, 0, "abcd");
    put(t, 0, 7, "hij");
    put(t, 9, 4, "efg");
    collect(t, 0);
    assert_out(t, "abcdefghij", 0, 0);
    collect(t, 2);
    assert_out(t, "cdefghij", 0, 0);
    collect(t, 4);
    assert_out(t, "efghij", 0, 0);
    collect(t, 10);
    assert_out(t, "", 0, 0);
}

static void what_is_missing_is_counted(void **state)
{
    struct outbox_test *t = *state;
    put(t, 0, 100, "abc");
    put(t, 1, 113, "def");
    collect(t, 90);
    assert_out(t, "abcdef", 10, 10);
    collect(t, 102);
    assert_out(t, "cdef", 0, 10);
}

/* The head that the host writes is that of the interpreter. */
static void an_open_frame_is_closed(void **state)
{
    struct outbox_test *t = *state;
    for (int after_pipes = 0; after_pipes < 2; after_pipes++) {
        struct outbox_slot *slot = put(t, 0, 50, "");
        open_text(slot, 1, after_pipes, "unfinished");
        collect(t, 50);
        scoped(link_reader) struct link_reader *reader = link_reader_new(LINK_LIMIT_BYTES);
        size_t room;
        char *space = link_reader_space(reader, &room);
        assert_true(room >= t->out.len);
        memcpy(space, t->out.data, t->out.len);
        link_reader_filled(reader, t->out.len);
        struct link_frame frame;
        struct err e;
        assert_int_equal(link_reader_next(reader, &frame, &e), 1);
        assert_int_equal(frame.kind, LINK_STREAM);
        assert_int_equal(frame.number, 7);
        assert_int_equal(frame.flags, after_pipes ? LINK_FLAG_PIPES_FIRST : 0);
        uint64_t counts[2] = {0};
        assert_int_equal(after_pipes, frame.flags && link_take_pipe_counts(&frame, counts, &e));
        assert_int_equal(counts[0], after_pipes ? 3 : 0);
        assert_int_equal(counts[1], after_pipes ? 4 : 0);
        assert_int_equal(frame.part_count, 2);
        assert_memory_equal(frame.parts[0].data, "stderr", 6);
        assert_int_equal(frame.parts[1].len, 10);
        assert_memory_equal(frame.parts[1].data, "unfinished", 10);

        size_t whole = outbox_close_frame(slot, 0, 10);
        assert_int_equal(whole, t->out.len);
        assert_memory_equal(slot->data, t->out.data, whole);
    }
}

static void an_open_frame_comes_behind_whole_ones(void **state)
{
    struct outbox_test *t = *state;
    open_text(put(t, 0, 0, "abc"), 0, false, "x");
    collect(t, 3);
    size_t alone = t->out.len;
    assert_true(alone > 1);
    collect(t, 1);
    assert_int_equal(t->out.len, alone + 2);
    assert_memory_equal(t->out.data, "bc", 2);
    assert_int_equal(t->gap + t->missing, 0);
}

static void numbers_that_cannot_be_are_passed_over(void **state)
{
    struct outbox_test *t = *state;
    const uint64_t fills[] = {UINT64_MAX, outbox_fill(OUTBOX_DATA_BYTES + 1, 0),
                              outbox_fill(0, OUTBOX_DATA_BYTES), outbox_fill(OUTBOX_DATA_BYTES, 1),
                              outbox_fill(1, UINT32_MAX)};
    for (size_t i = 0; i < countof(fills); i++) {
        put(t, 0, 0, "")->fill = fills[i];
        collect(t, 0);
        assert_out(t, "", 0, 0);
    }
    put(t, 0, UINT64_MAX, "abc");
    collect(t, 0);
    assert_out(t, "", 0, 0);
    put(t, 0, 0, "")->fill = outbox_fill(OUTBOX_DATA_BYTES, 0);
    collect(t, 0);
    assert_int_equal(t->out.len, OUTBOX_DATA_BYTES);
    for (size_t n = 0; n < OUTBOX_SLOTS; n++) /* all say the same: told once */
        put(t, n, 5, "same");
    collect(t, 5);
    assert_out(t, "same", 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(empty_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(slots_in_the_order_of_the_stream, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_missing_is_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_open_frame_is_closed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_open_frame_comes_behind_whole_ones, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_that_cannot_be_are_passed_over, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
