/* Heads of HTTP as `warmcell port` passes them on. */
#include "tests/unit.h"

#include "gateway/cli/port_head.h"

static const struct port_way origin = {8000, "", "5000-id.localhost:8888", "s3"};
static const struct port_way usual = {80, "", "5000-id.localhost:8888", "s3"};
static const struct port_way path = {8000, "/base/ports/5000", "gw:1", ""};

static void lengths(void **state)
{
    (void)state;
    assert_int_equal(port_head_length(bytes_of("")), 0);
    assert_int_equal(port_head_length(bytes_of("GET / HTTP/1.1\r\n\r")), 0);
    assert_int_equal(port_head_length(bytes_of("GET / HTTP/1.1\r\n\r\nbody\r\n\r\n")), 18);
}

static void requests(void **state)
{
    (void)state;
#define OURS "Host: 5000-id.localhost:8888\r\nAuthorization: token s3\r\n"
    static const struct {
        const struct port_way *way;
        const char *head, *expected; /* expected: NULL: refused with status */
        int status;
    } cases[] = {
        {&origin, "GET /a?b HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nX-Own:  1\r\n\r\n",
         "GET /a?b HTTP/1.1\r\n" OURS "X-Own: 1\r\nConnection: close\r\n\r\n", 0},
        {&origin,
         "GET / HTTP/1.1\r\nhost: LOCALHOST:8000\r\norigin: http://localhost:8000\r\n"
         "Referer: http://[::1]:8000/x\r\nconnection: keep-alive, Upgrade\r\nKeep-Alive: 5\r\n\r\n",
         "GET / HTTP/1.1\r\n" OURS "Origin: http://5000-id.localhost:8888\r\n"
         "Referer: http://5000-id.localhost:8888/x\r\nConnection: Upgrade, close\r\n\r\n",
         0},
        {&path,
         "PUT /a HTTP/1.1\r\nHost: localhost:8000\r\nReferer: http://localhost:8000/\r\n"
         "Sec-Fetch-Mode: navigate\r\nExpect: 100-continue\r\n\r\n",
         "PUT /base/ports/5000/a HTTP/1.1\r\nHost: gw:1\r\nConnection: close\r\n\r\n", 0},
        {&origin, "GET / HTTP/1.1\r\nHost: localhost:8000\r\nReferer: http://evil/x\r\n\r\n",
         "GET / HTTP/1.1\r\n" OURS "Connection: close\r\n\r\n", 0},
        {&origin,
         "GET / HTTP/1.1\r\nHost: localhost:8000\r\nCookie: a=b;warmcell-8888=x; "
         "warmcell-9 =y;  warmcell-a=c; warmcell-7x=d; Warmcell-1\r\nCookie: "
         "warmcell-8888=x;\r\n\r\n",
         "GET / HTTP/1.1\r\n" OURS "Cookie: a=b; warmcell-a=c; warmcell-7x=d\r\n"
         "Connection: close\r\n\r\n",
         0},
        {&origin,
         "GET / HTTP/1.1\r\nHost: localhost:8000\r\nSec-Fetch-Site: cross-site\r\n"
         "Sec-Fetch-Mode: navigate\r\n\r\n",
         "GET / HTTP/1.1\r\n" OURS "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n"
         "Connection: close\r\n\r\n",
         0},
        {&path,
         "GET / HTTP/1.1\r\nHost: localhost:8000\r\nSec-Fetch-Site: same-origin\r\n"
         "Sec-Fetch-Mode: no-cors\r\n\r\n",
         "GET /base/ports/5000/ HTTP/1.1\r\nHost: gw:1\r\nConnection: close\r\n\r\n", 0},
        {&origin,
         "GET / HTTP/1.1\r\nHost: localhost:8000\r\nSec-Fetch-Mode: no-cors\r\n"
         "Sec-Fetch-Site: cross-site\r\n\r\n",
         NULL, 403},
        {&path,
         "GET / HTTP/1.1\r\nHost: localhost:8000\r\nSec-Fetch-Site: same-site\r\n"
         "Sec-Fetch-Mode: no-cors\r\n\r\n",
         NULL, 403},
        {&usual, "GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://127.0.0.1\r\n\r\n",
         "GET / HTTP/1.1\r\n" OURS "Origin: http://5000-id.localhost:8888\r\n"
         "Connection: close\r\n\r\n",
         0},
        {&usual, "GET / HTTP/1.1\r\nHost: localhost.evil\r\n\r\n", NULL, 403},
        {&usual, "GET / HTTP/1.1\r\nHost: localhost:8000\r\n\r\n", NULL, 403},
        {&origin, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", NULL, 403},
        {&origin, "GET / HTTP/1.1\r\nHost: localhost:80001\r\n\r\n", NULL, 403},
        {&origin, "GET / HTTP/1.1\r\nHost: localhost:8000/\r\n\r\n", NULL, 403},
        {&origin,
         "GET / HTTP/1.1\r\nHost: localhost:8000\r\nOrigin: https://localhost:8000\r\n\r\n", NULL,
         403},
        {&origin, "GET / HTTP/1.1\r\nHost: localhost:8000\r\nOrigin: http://\r\n\r\n", NULL, 403},
        {&origin, "GET / HTTP/1.1\r\nHost: localhost:8000\r\nHost: localhost:8000\r\n\r\n", NULL,
         400},
        {&origin, "GET / HTTP/1.1\r\n\r\n", NULL, 400},
        {&origin, "\r\n\r\n", NULL, 400},
        {&origin, "GET\r\n\r\n", NULL, 400},
        {&origin, "GET  / HTTP/1.1\r\nHost: localhost:8000\r\n\r\n", NULL, 400},
        {&origin, "GET / HTTP/1.1\r\nHost: localhost:8000\r\nno header\r\n\r\n", NULL, 400},
        {&origin, "GET / HTTP/1.1\r\nHost: localhost:8000\r\n: x\r\n\r\n", NULL, 400},
        {&origin, "GET / HTTP/1.1\r\nHost: localhost:8000\r\nA: b\n\rC: d\r\n\r\n", NULL, 400},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct err e = {0};
        scoped(buffer) struct buffer out = {0};
        bool good = port_request_head(cases[i].way, bytes_of(cases[i].head), &out, &e);
        assert_int_equal(e.status, cases[i].status);
        assert_int_equal(good, cases[i].expected != NULL);
        if (good)
            assert_text(buffer_text(&out), cases[i].expected);
    }
}

static void replies(void **state)
{
    (void)state;
    static const struct {
        const char *head, *expected;
        int status;
    } cases[] = {
        {"HTTP/1.1 302 Found\r\nLocation: /base/ports/5000/x\r\nA: b\r\n\r\n",
         "HTTP/1.1 302 Found\r\nLocation: /x\r\nA: b\r\n\r\n", 302},
        {"HTTP/1.1 201 Made\r\nlocation: http://else/where\r\n\r\n",
         "HTTP/1.1 201 Made\r\nlocation: http://else/where\r\n\r\n", 201},
        {"HTTP/1.1 2\r\n\r\n", NULL, 0},
        {"HTTP/2 200\r\n\r\n", NULL, 0},
        {"noise\r\n\r\n", NULL, 0},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        scoped(buffer) struct buffer out = {0};
        assert_int_equal(port_reply_head(&path, bytes_of(cases[i].head), &out), cases[i].status);
        if (cases[i].status)
            assert_text(buffer_text(&out), cases[i].expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths),
        cmocka_unit_test(requests),
        cmocka_unit_test(replies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
