/* The interpreter's end of the link, without Python: order, flushing, a peer that does not read,
 * forks, kills. Also run with the thread sanitizer. */
#include "tests/unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/python/lane.h"
#include "protocol/outbox.h"
#include "protocol/pipe_page.h"

#define WRITERS 4
#define LINES   2000

struct ends {
    struct lane *lane;
    int host;
    struct link_reader *reader;
    atomic_int shutdowns;
};

static struct ends *ends; /* of the running test: on_shutdown has no argument */

static void on_shutdown(void)
{
    ends->shutdowns++;
}

static int set_up(void **state)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    struct err e;
    ends = xcalloc(1, sizeof *ends);
    ends->host = fds[0];
    ends->reader = link_reader_new(LINK_LIMIT_BYTES);
    ends->lane = lane_open(fds[1], -1, on_shutdown, &e);
    assert_non_null(ends->lane);
    *state = ends;
    return 0;
}

static int tear_down(void **state)
{
    struct ends *t = *state;
    lane_close(t->lane); /* first: the end of the link kills the process */
    close(t->host);
    link_reader_free(t->reader);
    free(t);
    return 0;
}

/* Blocks until the next frame is there; valid until the next call. */
static struct link_frame next_frame(struct ends *t)
{
    struct link_frame frame;
    struct err e;
    int got;
    while ((got = link_reader_next(t->reader, &frame, &e)) == 0) {
        size_t room;
        char *space = link_reader_space(t->reader, &room);
        ssize_t n = read(t->host, space, room);
        assert_true(n > 0);
        link_reader_filled(t->reader, (size_t)n);
    }
    assert_int_equal(got, 1);
    return frame;
}

/* The next frames are of the stream and the request and hold the text together, in one frame or in
 * several: when the timer strikes is not ours to say. */
static void assert_stream(struct ends *t, const char *stream, uint64_t number, const char *text)
{
    for (size_t len = strlen(text), at = 0; at < len;) {
        struct link_frame frame = next_frame(t);
        assert_int_equal(frame.kind, LINK_STREAM);
        assert_true(frame.number == number);
        assert_bytes(frame.parts[0], bytes_of(stream));
        assert_true(frame.parts[1].len > 0 && frame.parts[1].len <= len - at);
        assert_bytes(frame.parts[1], ((struct bytes){text + at, frame.parts[1].len}));
        at += frame.parts[1].len;
    }
}

static void send_text(struct ends *t, uint8_t kind, uint64_t number, struct bytes text)
{
    lane_send(t->lane,
              (struct link_frame){.kind = kind, .number = number, .parts = &text, .part_count = 1},
              NULL, AT_ONCE);
}

static void host_sends(struct ends *t, uint8_t kind, uint64_t number, struct bytes text)
{
    struct buffer out = {0};
    link_encode(&out, &(struct link_frame){
                          .kind = kind, .number = number, .parts = &text, .part_count = 1});
    assert_int_equal(write(t->host, out.data, out.len), out.len);
    buffer_free(&out);
}

static void text_keeps_its_order(void **state)
{
    struct ends *t = *state;
    lane_write(t->lane, LANE_STDOUT, 1, bytes_of("a"));
    lane_write(t->lane, LANE_STDOUT, 1, bytes_of("b"));
    lane_write(t->lane, LANE_STDERR, 1, bytes_of("e"));
    lane_write(t->lane, LANE_STDERR, 2, bytes_of("f"));
    send_text(t, LINK_REPLY, 2, bytes_of("{}"));
    assert_stream(t, "stdout", 1, "ab");
    assert_stream(t, "stderr", 1, "e");
    assert_stream(t, "stderr", 2, "f");
    assert_int_equal(next_frame(t).kind, LINK_REPLY);
}

static void text_without_a_newline_leaves_by_itself(void **state)
{
    struct ends *t = *state;
    for (int i = 0; i < 3; i++) {
        lane_write(t->lane, LANE_STDOUT, 7, bytes_of("dot"));
        assert_stream(t, "stdout", 7, "dot");
    }
}

static void frames_that_may_wait_leave_with_the_next(void **state)
{
    struct ends *t = *state;
    struct bytes part = LITERAL("early");
    struct link_frame frame = {.kind = LINK_PUBLISH, .number = 3, .parts = &part, .part_count = 1};
    lane_send(t->lane, frame, NULL, MAY_WAIT);
    lane_write(t->lane, LANE_STDOUT, 3, bytes_of("text"));
    send_text(t, LINK_DONE, 3, bytes_of("late"));
    assert_bytes(next_frame(t).parts[0], bytes_of("early"));
    assert_stream(t, "stdout", 3, "text");
    assert_bytes(next_frame(t).parts[0], bytes_of("late"));
    lane_send(t->lane, frame, NULL, MAY_WAIT); /* and alone, when nothing follows */
    assert_bytes(next_frame(t).parts[0], bytes_of("early"));
}

static void long_text_is_cut_between_characters(void **state)
{
    struct ends *t = *state;
    struct buffer text = {0}, read = {0};
    buffer_add_text(&text, "x");
    while (text.len < 3 * LANE_TEXT_BYTES)
        buffer_add_text(&text, "\xE2\x82\xAC");
    lane_write(t->lane, LANE_STDOUT, 1, buffer_view(&text));
    while (read.len < text.len) {
        struct link_frame frame = next_frame(t);
        assert_true(frame.parts[1].len <= LANE_TEXT_BYTES);
        assert_true((frame.parts[1].data[0] & 0xC0) != 0x80);
        buffer_add_bytes(&read, frame.parts[1]);
    }
    assert_bytes(buffer_view(&read), buffer_view(&text));
    buffer_free(&text);
    buffer_free(&read);
}

/* What does not fit into the socket waits in the order of sending, whoever sends. */
static void a_host_that_does_not_read_gets_all_later(void **state)
{
    struct ends *t = *state;
    size_t queued = 0;
    uint64_t sent = 0;
    struct buffer big = {0};
    while (queued <= LANE_HIGH_WATER_BYTES) {
        buffer_reserve(&big, 100000);
        memset(big.data, 'b', 100000);
        big.len = 100000;
        struct bytes part = buffer_view(&big);
        struct link_frame frame = {
            .kind = LINK_PUBLISH, .number = ++sent, .parts = &part, .part_count = 1};
        lane_write(t->lane, LANE_STDOUT, sent, bytes_of("line\n"));
        queued = lane_send(t->lane, frame, sent % 2 ? &big : NULL, AT_ONCE);
    }
    assert_true(lane_wait_writable(t->lane, -1, 0) > LANE_LOW_WATER_BYTES);
    for (uint64_t number = 1; number <= sent; number++) {
        assert_stream(t, "stdout", number, "line\n");
        struct link_frame frame = next_frame(t);
        assert_int_equal(frame.kind, LINK_PUBLISH);
        assert_true(frame.number == number);
        assert_int_equal(frame.parts[0].len, 100000);
    }
    lane_drain(t->lane, 1000);
    assert_int_equal(lane_wait_writable(t->lane, -1, 0), 0);
    buffer_free(&big);
}

struct writer {
    struct lane *lane;
    uint64_t number;
};

static void *write_lines(void *argument)
{
    struct writer *w = argument;
    char line[32];
    for (int i = 0; i < LINES; i++) {
        snprintf(line, sizeof line, "%d\n", i);
        lane_write(w->lane, i % 2 ? LANE_STDOUT : LANE_STDERR, w->number, bytes_of(line));
        if (i % 100 == 0)
            lane_flush(w->lane);
    }
    return NULL;
}

static void threads_do_not_mix(void **state)
{
    struct ends *t = *state;
    pthread_t threads[WRITERS];
    struct writer writers[WRITERS];
    struct buffer texts[WRITERS] = {{0}};
    size_t left = 0;
    char line[32];
    for (int i = 0; i < LINES; i++)
        left += (size_t)snprintf(line, sizeof line, "%d\n", i) * WRITERS;
    for (size_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){t->lane, i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &writers[i]), 0);
    }
    while (left > 0) {
        struct link_frame frame = next_frame(t);
        assert_true(frame.number < WRITERS);
        buffer_add_bytes(&texts[frame.number], frame.parts[1]);
        left -= frame.parts[1].len;
    }
    for (size_t i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], NULL);
        const char *at = buffer_text(&texts[i]);
        for (int n = 0; n < LINES; n++) {
            char *end;
            assert_int_equal(strtol(at, &end, 10), n);
            at = end + 1;
        }
        buffer_free(&texts[i]);
    }
}

static struct lane_frame *wait_for(struct lane_frame *(*take_one)(struct lane *), struct lane *l,
                                   int fd)
{
    struct lane_frame *frame;
    while (!(frame = take_one(l))) {
        fd_set set;
        FD_ZERO(&set);
        FD_SET(fd, &set);
        select(fd + 1, &set, NULL, NULL, NULL);
    }
    return frame;
}

static void requests_and_input_have_queues_of_their_own(void **state)
{
    struct ends *t = *state;
    assert_null(lane_take(t->lane));
    host_sends(t, LINK_INPUT, 5, bytes_of("answer"));
    host_sends(t, LINK_REQUEST, 1, bytes_of("first"));
    host_sends(t, LINK_REQUEST, 2, LITERAL(""));
    host_sends(t, LINK_SHUTDOWN, 0, bytes_of("{}"));
    static const struct {
        int kind;
        const char *text;
    } expected[] = {{LINK_REQUEST, "first"}, {LINK_REQUEST, ""}, {LINK_SHUTDOWN, "{}"}};
    for (size_t i = 0; i < countof(expected); i++) {
        struct lane_frame *frame = wait_for(lane_take, t->lane, lane_wake_fd(t->lane));
        assert_int_equal(frame->kind, expected[i].kind);
        assert_bytes(frame->parts[0], bytes_of(expected[i].text));
        free(frame);
    }
    assert_false(lane_pending(t->lane));
    struct lane_frame *input = wait_for(lane_take_input, t->lane, lane_input_fd(t->lane));
    assert_bytes(input->parts[0], bytes_of("answer"));
    free(input);
    host_sends(t, LINK_INPUT, 6, bytes_of("stale"));
    host_sends(t, LINK_REQUEST, 3, bytes_of("last"));
    free(wait_for(lane_take, t->lane, lane_wake_fd(t->lane))); /* so the input is there too */
    lane_forget_inputs(t->lane);
    assert_null(lane_take_input(t->lane));
    assert_int_equal(t->shutdowns, 1);
}

static void a_forked_child_has_pipes_only(void **state)
{
    struct ends *t = *state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    lane_write(t->lane, LANE_STDOUT, 1, bytes_of("parent's"));
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDOUT_FILENO);
        send_text(t, LINK_REPLY, 1, bytes_of("not sent"));
        lane_write(t->lane, LANE_STDOUT, 1, bytes_of("whole\npart"));
        _exit(lane_forked(t->lane) && write(fds[1], "|", 1) == 1 && lane_flush(t->lane) == 0 ? 0
                                                                                             : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(fds[1]);
    char text[64] = "";
    ssize_t n, len = 0;
    while ((n = read(fds[0], text + len, sizeof text - 1 - (size_t)len)) > 0)
        len += n;
    close(fds[0]);
    assert_text(text, "whole\n|part");
    assert_false(lane_forked(t->lane));
    send_text(t, LINK_REPLY, 1, bytes_of("sent"));
    assert_stream(t, "stdout", 1, "parent's");
    assert_bytes(next_frame(t).parts[0], bytes_of("sent"));
}

/* The process group ends with the host, even while the main thread does nothing for it. */
static void the_end_of_the_host_kills(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        close(fds[0]);
        struct err e;
        if (!lane_open(fds[1], -1, on_shutdown, &e))
            _exit(1);
        for (;;)
            pause();
    }
    close(fds[1]);
    close(fds[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

/* Everything in memory that a host shares and in the socket: nobody reads it while it is written.
 */
struct shared {
    _Atomic uint64_t written; /* bytes of text that need not wait */
};

#define PIECE_BYTES 1000

/* Writes until it would have to wait, with a frame of another kind now and then. */
static void write_and_die(int fd, int memory, struct shared *shared, size_t most)
{
    struct err e;
    setsid();
    struct lane *l = lane_open(fd, memory, on_shutdown, &e);
    char piece[PIECE_BYTES];
    while (l && shared->written < most) {
        for (size_t i = 0; i < sizeof piece; i++)
            piece[i] = (char)('a' + (shared->written + i) % 26);
        uint64_t part =
            most - shared->written < sizeof piece ? most - shared->written : sizeof piece;
        if (lane_write(l, LANE_STDOUT, 7, (struct bytes){piece, part}) > LANE_HIGH_WATER_BYTES)
            break;
        shared->written += part;
        struct bytes text = LITERAL("{}");
        struct link_frame frame = {
            .kind = LINK_PUBLISH, .number = 7, .parts = &text, .part_count = 1};
        if (shared->written % 7 == 0 && lane_send(l, frame, NULL, MAY_WAIT) > LANE_HIGH_WATER_BYTES)
            break;
    }
    raise(SIGKILL);
}

static void collect_all(int host, int memory, struct buffer *out)
{
    ssize_t got;
    do {
        char *space = buffer_reserve(out, 65536);
        got = read(host, space, 65536);
        assert_true(got >= 0);
        out->len += (size_t)got;
    } while (got > 0);
    void *outbox = mmap(NULL, OUTBOX_BYTES, PROT_READ, MAP_SHARED, memory, OUTBOX_OFFSET);
    assert_true(outbox != MAP_FAILED);
    uint64_t gap, missing;
    outbox_collect(outbox, out->len, out, &gap, &missing);
    assert_int_equal(gap + missing, 0);
    munmap(outbox, OUTBOX_BYTES);
}

/* Every frame is whole; returns how much of the text there is. */
static uint64_t count_text(struct bytes stream)
{
    scoped(link_reader) struct link_reader *reader = link_reader_new(LINK_LIMIT_BYTES);
    uint64_t total = 0;
    for (;;) {
        struct link_frame frame;
        struct err e;
        int got = link_reader_next(reader, &frame, &e);
        assert_true(got >= 0);
        if (got == 0 && stream.len == 0)
            return total;
        if (got == 0) {
            size_t room;
            char *space = link_reader_space(reader, &room);
            size_t len = room < stream.len ? room : stream.len;
            memcpy(space, stream.data, len);
            link_reader_filled(reader, len);
            stream = (struct bytes){stream.data + len, stream.len - len};
        } else if (frame.kind == LINK_STREAM) {
            assert_true(frame.number == 7);
            for (size_t i = 0; i < frame.parts[1].len; i++)
                assert_int_equal(frame.parts[1].data[i], 'a' + (total + i) % 26);
            total += frame.parts[1].len;
        }
    }
}

static void what_was_written_outlives_a_kill(void **state)
{
    (void)state;
    const size_t sizes[] = {1, 700, 70000, 1000000, SIZE_MAX};
    for (size_t i = 0; i < countof(sizes); i++) {
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        int memory = memfd_create("test", 0);
        assert_int_equal(ftruncate(memory, OUTBOX_OFFSET + OUTBOX_BYTES), 0);
        struct shared *shared =
            mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        pid_t pid = fork();
        if (pid == 0) {
            close(fds[0]);
            write_and_die(fds[1], memory, shared, sizes[i]);
        }
        close(fds[1]);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        struct buffer out = {0};
        collect_all(fds[0], memory, &out);
        assert_true(shared->written > 0);
        assert_true(sizes[i] != SIZE_MAX || shared->written > OUTBOX_BYTES / 2);
        assert_true(count_text(buffer_view(&out)) >= shared->written);
        buffer_free(&out);
        munmap(shared, sizeof *shared);
        close(memory);
        close(fds[0]);
    }
}

/* A host that has to wait for a processor as it reads: nothing of the pipes may come too late. */
static void while_the_host_reads_all_of_the_pipes_comes_first(void **state)
{
    struct ends *t = *state;
    int memory = memfd_create("test", 0);
    assert_int_equal(ftruncate(memory, OUTBOX_OFFSET + OUTBOX_BYTES), 0);
    struct pipe_page *page =
        mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    int fds[2];
    struct err e;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    struct lane *own = take(&t->lane);
    int host = t->host;
    t->lane = lane_open(fds[1], memory, on_shutdown, &e);
    t->host = fds[0];
    atomic_store(&page->turn, 1);
    struct bytes text = LITERAL("{}");
    struct link_frame frame = {.kind = LINK_PUBLISH, .number = 7, .parts = &text, .part_count = 1};
    lane_send(t->lane, frame, NULL, AT_ONCE);
    frame = next_frame(t);
    assert_true(frame.flags & LINK_FLAG_PIPES_FIRST);
    uint64_t counts[2];
    assert_true(link_take_pipe_counts(&frame, counts, &e));
    assert_true(counts[0] == UINT64_MAX && counts[1] == UINT64_MAX);
    munmap(page, sizeof *page);
    close(memory);
    lane_close(own);
    close(host);
}

int main(void)
{
#define IN_A_LANE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        IN_A_LANE(text_keeps_its_order),
        IN_A_LANE(text_without_a_newline_leaves_by_itself),
        IN_A_LANE(frames_that_may_wait_leave_with_the_next),
        IN_A_LANE(long_text_is_cut_between_characters),
        IN_A_LANE(a_host_that_does_not_read_gets_all_later),
        IN_A_LANE(threads_do_not_mix),
        IN_A_LANE(requests_and_input_have_queues_of_their_own),
        IN_A_LANE(a_forked_child_has_pipes_only),
        IN_A_LANE(while_the_host_reads_all_of_the_pipes_comes_first),
        cmocka_unit_test(the_end_of_the_host_kills),
        cmocka_unit_test(what_was_written_outlives_a_kill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
