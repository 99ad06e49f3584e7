/* Datagrams over a socket pair: what goes in comes out, descriptors too, and nothing that is
 * refused leaves a descriptor open. */
#include "tests/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/byte_order.h"
#include "protocol/json.h"
#include "sandbox/wire.h"

static int ours, theirs;

static int open_pair(void **state)
{
    int pair[2];
    (void)state;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return -1;
    ours = pair[0];
    theirs = pair[1];
    return 0;
}

static int close_pair(void **state)
{
    (void)state;
    close(ours);
    if (theirs >= 0)
        close(theirs);
    return 0;
}

static size_t open_fds(void)
{
    size_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static void carries_body_and_descriptors(void **state)
{
    struct err e;
    int ends[2];
    struct wire_message m;
    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    json_t *body = json_pack("{s:s, s:b}", "sandbox", "a", "warm", 1);
    assert_true(wire_send(ours, WIRE_START, 0xfffffffeu, body, ends, 2, &e));
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(wire_receive(theirs, &m, &e), 1);
    assert_int_equal(m.kind, WIRE_START);
    assert_int_equal(m.number, 0xfffffffeu);
    assert_text(json_string_value(json_object_get(m.body, "sandbox")), "a");
    assert_int_equal(m.fd_count, 2);
    assert_true(fcntl(m.fds[0], F_GETFD) & FD_CLOEXEC);
    char byte = 0;
    assert_int_equal(write(m.fds[1], "x", 1), 1);
    assert_int_equal(read(m.fds[0], &byte, 1), 1);
    assert_int_equal(byte, 'x');
    m.fds[0] = dup(m.fds[0]); /* one that was moved out is the mover's */
    int moved = m.fds[0];
    m.fds[0] = -1;
    wire_message_free(&m);
    assert_int_equal(close(moved), 0);
    assert_null(m.body);
    assert_int_equal(m.fd_count, 0);
}

static void says_when_nothing_is_there_and_when_the_peer_has_gone(void **state)
{
    struct err e;
    struct wire_message m;
    (void)state;
    assert_true(wire_send(ours, WIRE_STATUS, 1, NULL, NULL, 0, &e));
    assert_int_equal(wire_receive(theirs, &m, &e), 1);
    assert_int_equal(json_object_size(m.body), 0);
    wire_message_free(&m);
    assert_int_equal(wire_receive(ours, &m, &e), 0);
    close(theirs);
    theirs = -1;
    assert_int_equal(wire_receive(ours, &m, &e), -1);
    assert_int_equal(e.status, 0);
    assert_fails(wire_send(ours, WIRE_STATUS, 1, NULL, NULL, 0, &e), e, 503,
                 "the peer is gone: Broken pipe");
}

/* What it had not read is an error of ours, which says nothing of what it had sent before. */
static void hears_a_peer_out_that_left_without_listening(void **state)
{
    struct err e;
    struct wire_message m;
    (void)state;
    assert_true(wire_send(ours, WIRE_END, 1, NULL, NULL, 0, &e));
    assert_true(wire_send(theirs, WIRE_OK, 2, NULL, NULL, 0, &e));
    close(ours);
    assert_int_equal(wire_receive(theirs, &m, &e), 1);
    assert_int_equal(m.kind, WIRE_END);
    wire_message_free(&m);
    assert_int_equal(wire_receive(theirs, &m, &e), -1);
    assert_int_equal(e.status, 0);
    ours = fcntl(theirs, F_DUPFD_CLOEXEC, 0); /* for close_pair */
}

static void refuses_a_body_that_is_too_long(void **state)
{
    struct err e;
    struct wire_message m;
    (void)state;
    char *text = xmalloc(WIRE_LIMIT_BYTES + 1);
    memset(text, 'x', WIRE_LIMIT_BYTES);
    text[WIRE_LIMIT_BYTES] = '\0';
    json_t *body = json_pack("{s:s}", "s", text);
    free(text);
    assert_fails(wire_send(ours, WIRE_OPEN, 1, body, NULL, 0, &e), e, 413,
                 "datagram: longer than 65536 bytes");
    assert_int_equal(wire_receive(theirs, &m, &e), 0);
}

static void says_when_the_peer_does_not_read(void **state)
{
    struct err e;
    (void)state;
    for (int sent = 0; sent < 100000; sent++) {
        if (!wire_send(ours, WIRE_STATUS, 1, NULL, NULL, 0, &e)) {
            assert_int_equal(e.status, 503);
            assert_text(e.text, "the peer reads too slowly");
            return;
        }
    }
    stop_test("a peer that reads nothing was sent everything");
}

static void send_raw(const char *data, size_t len, size_t fd_count)
{
    int fds[WIRE_FDS_MOST + 1];
    union {
        char space[CMSG_SPACE(sizeof fds)];
        struct cmsghdr align;
    } room = {0};
    struct iovec part = {(char *)data, len};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
    for (size_t n = 0; n < fd_count; n++)
        fds[n] = theirs;
    if (fd_count) {
        head.msg_control = &room;
        head.msg_controllen = CMSG_SPACE(fd_count * sizeof *fds);
        struct cmsghdr *ancillary = CMSG_FIRSTHDR(&head);
        ancillary->cmsg_level = SOL_SOCKET;
        ancillary->cmsg_type = SCM_RIGHTS;
        ancillary->cmsg_len = CMSG_LEN(fd_count * sizeof *fds);
        memcpy(CMSG_DATA(ancillary), fds, fd_count * sizeof *fds);
    }
    assert_int_equal(sendmsg(ours, &head, 0), len);
}

static void refuses_what_is_no_message_and_keeps_nothing_of_it(void **state)
{
    static const struct {
        struct bytes datagram;
        size_t fds;
        uint32_t number;
        const char *text;
    } rows[] = {
        {LITERAL("\2\0\0\0\7\0\0"), 2, 0, "datagram: shorter than its head of 8 bytes"},
        {LITERAL("\2\0\0\0\7\0\0\0[]"), 5, 7, "datagram: must be an object"},
        {LITERAL("\2\0\0\0\7\0\0\0{}"), WIRE_FDS_MOST + 1, 7,
         "datagram: longer than 65536 bytes or with more than 16 descriptors"},
    };
    (void)state;
    for (size_t i = 0; i < countof(rows); i++) {
        struct wire_message m;
        struct err e;
        size_t before = open_fds();
        send_raw(rows[i].datagram.data, rows[i].datagram.len, rows[i].fds);
        assert_int_equal(wire_receive(theirs, &m, &e), -1);
        assert_int_equal(e.status, 400);
        assert_text(e.text, rows[i].text);
        assert_int_equal(m.number, rows[i].number);
        assert_null(m.body);
        assert_int_equal(m.fd_count, 0);
        assert_int_equal(open_fds(), before);
    }
}

static void refuses_a_datagram_that_was_cut(void **state)
{
    struct wire_message m;
    struct err e;
    (void)state;
    char *data = xmalloc(WIRE_LIMIT_BYTES + 1);
    memset(data, ' ', WIRE_LIMIT_BYTES + 1);
    memcpy(data, "\2\0\0\0\7\0\0\0{}", 10);
    send_raw(data, WIRE_LIMIT_BYTES + 1, 1);
    free(data);
    assert_int_equal(wire_receive(theirs, &m, &e), -1);
    assert_int_equal(e.status, 400);
    assert_int_equal(m.number, 7);
    assert_true(wire_send(ours, WIRE_STATUS, 8, NULL, NULL, 0, &e));
    assert_int_equal(wire_receive(theirs, &m, &e), 1); /* the next one is read */
    assert_int_equal(m.number, 8);
    wire_message_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(carries_body_and_descriptors, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(says_when_nothing_is_there_and_when_the_peer_has_gone,
                                        open_pair, close_pair),
        cmocka_unit_test_setup_teardown(hears_a_peer_out_that_left_without_listening, open_pair,
                                        close_pair),
        cmocka_unit_test_setup_teardown(refuses_a_body_that_is_too_long, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(says_when_the_peer_does_not_read, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(refuses_what_is_no_message_and_keeps_nothing_of_it,
                                        open_pair, close_pair),
        cmocka_unit_test_setup_teardown(refuses_a_datagram_that_was_cut, open_pair, close_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
