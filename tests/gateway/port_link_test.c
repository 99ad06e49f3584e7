/* A link of `warmcell port` whose client asks for nothing, by a clock of the test's own. */
#include "tests/unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/cli/port_link.h"
#include "protocol/ids.h"

static int64_t clock_ms = 1000;

int64_t __wrap_monotonic_ms(void);

int64_t __wrap_monotonic_ms(void)
{
    return clock_ms;
}

static const struct port_way way = {8000, "", "5000-id.localhost:8888", "s3"};
static const struct target nowhere; /* asked for by nothing but a whole head */

/* What a turn says of the link after so long; came: its client has sent something. */
static bool turn_after(struct port_link *l, int64_t ms, bool came)
{
    struct err e = {0};
    struct pollfd ready[2] = {{.revents = came ? POLLIN : 0}, {.fd = -1}};
    clock_ms += ms;
    bool goes_on = port_link_turn(l, ready, &e);
    assert_int_equal(e.status, 0);
    return goes_on;
}

static void one_that_sends_no_whole_head(void **state)
{
    (void)state;
    static const char *const sent[] = {"", "GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n"};
    for (size_t i = 0; i < countof(sent); i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        struct port_link *l = port_link_new(pair[0], &way, &nowhere);
        bool came = write(pair[1], sent[i], strlen(sent[i])) > 0;
        assert_true(turn_after(l, 0, came));
        assert_true(port_link_in_head(l)); /* so it is looked at again */
        assert_true(turn_after(l, PORT_LINK_HEAD_MS, false));
        assert_false(turn_after(l, 1, false));
        port_link_free(l);
        close(pair[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_sends_no_whole_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
