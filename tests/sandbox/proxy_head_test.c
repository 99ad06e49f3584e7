/* The head of a request to the proxy: what is read, what the server gets, what is refused. */
#include "tests/unit.h"

#include "sandbox/proxy_head.h"

static void test_length(void **state)
{
    (void)state;
    assert_int_equal(proxy_head_length(bytes_of("GET / HTTP/1.1\r\n\r\nrest")), 18);
    assert_int_equal(proxy_head_length(bytes_of("GET / HTTP/1.1\r\n\r")), 0);
    assert_int_equal(proxy_head_length((struct bytes){0}), 0);
}

static void test_reads(void **state)
{
    (void)state;
    static const struct {
        const char *head, *method, *host;
        uint16_t port;
        const char *forward; /* NULL: a tunnel */
    } rows[] = {
        {"CONNECT PyPI.org:443 HTTP/1.1\r\nHost: x\r\n\r\n", "CONNECT", "pypi.org", 443, NULL},
        {"CONNECT [2001:db8::1]:8443 HTTP/1.0\r\n\r\n", "CONNECT", "2001:db8::1", 8443, NULL},
        {"GET http://a.b/c?d=e HTTP/1.1\r\nHost: other\r\nAccept: */*\r\n\r\n", "GET", "a.b", 80,
         "GET /c?d=e HTTP/1.1\r\nHost: a.b\r\nAccept: */*\r\nConnection: close\r\n\r\n"},
        {"GET HTTP://A.b:8080 HTTP/1.1\r\n\r\n", "GET", "a.b", 8080,
         "GET / HTTP/1.1\r\nHost: A.b:8080\r\nConnection: close\r\n\r\n"},
        {"GET http://a.b?q HTTP/1.1\r\n\r\n", "GET", "a.b", 80,
         "GET /?q HTTP/1.1\r\nHost: a.b\r\nConnection: close\r\n\r\n"},
        {"POST http://[::1]:9/ HTTP/1.1\r\nproxy-CONNECTION: keep-alive\r\nConnection: x\r\n"
         "Proxy-Authorization: Basic eA==\r\nContent-Length: 1\r\n\r\n",
         "POST", "::1", 9,
         "POST / HTTP/1.1\r\nHost: [::1]:9\r\nContent-Length: 1\r\nConnection: close\r\n\r\n"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct proxy_head head;
        struct err e = {0};
        if (!proxy_head_read(bytes_of(rows[i].head), &head, &e))
            stop_test("%s: %s", rows[i].head, e.text);
        assert_text(head.method, rows[i].method);
        assert_text(head.host, rows[i].host);
        assert_int_equal(head.port, rows[i].port);
        assert_int_equal(head.tunnel, rows[i].forward == NULL);
        if (rows[i].forward)
            assert_bytes(buffer_view(&head.forward), bytes_of(rows[i].forward));
        proxy_head_free(&head);
    }
}

static void test_refuses(void **state)
{
    (void)state;
#define LINE   "the request line is not \"METHOD target HTTP/1.1\""
#define TARGET "the target is not a host and a port"
#define FIELD  "a field of the request is not \"name: value\""
#define PROXY  "this is a proxy: CONNECT host:port, or a request of http://host/..."
    static const struct {
        const char *head;
        int status;
        const char *text;
    } rows[] = {
        {"\r\n\r\n", 400, LINE},
        {"GET\r\n\r\n", 400, LINE},
        {"GET http://a/\r\n\r\n", 400, LINE},
        {"GET http://a/ b HTTP/1.1\r\n\r\n", 400, LINE},
        {"GET http://a/ HTTP/2\r\n\r\n", 400, LINE},
        {"G(T http://a/ HTTP/1.1\r\n\r\n", 400, LINE},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZ http://a/ HTTP/1.1\r\n\r\n", 400, LINE},
        {"GET http://a/\tb HTTP/1.1\r\n\r\n", 400, LINE},
        {"GET / HTTP/1.1\r\n\r\n", 400, PROXY},
        {"GET ftp://a/ HTTP/1.1\r\n\r\n", 501, PROXY},
        {"GET https://a/ HTTP/1.1\r\n\r\n", 501, PROXY},
        {"CONNECT pypi.org HTTP/1.1\r\n\r\n", 400, "the target has no port"},
        {"CONNECT pypi.org:99999 HTTP/1.1\r\n\r\n", 400,
         "the target's port is not a number from 1 to 65535"},
        {"CONNECT pypi.org:44x HTTP/1.1\r\n\r\n", 400,
         "the target's port is not a number from 1 to 65535"},
        {"CONNECT user@pypi.org:443 HTTP/1.1\r\n\r\n", 400, TARGET},
        {"CONNECT http://pypi.org:443 HTTP/1.1\r\n\r\n", 400, TARGET},
        {"CONNECT ::1:443 HTTP/1.1\r\n\r\n", 400, TARGET},
        {"CONNECT :443 HTTP/1.1\r\n\r\n", 400, TARGET},
        {"GET http:///x HTTP/1.1\r\n\r\n", 400, TARGET},
        {"GET http://good@evil/ HTTP/1.1\r\n\r\n", 400, TARGET},
        {"GET http://a/ HTTP/1.1\r\nno colon\r\n\r\n", 400, FIELD},
        {"GET http://a/ HTTP/1.1\r\nHost : a\r\n\r\n", 400, FIELD},
        {"GET http://a/ HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400, FIELD},
        {"GET http://a/ HTTP/1.1\r\nA: b\nC: d\r\n\r\n", 400, FIELD},
        {"GET http://a/ HTTP/1.1\r\nA: b\rC: d\r\n\r\n", 400, FIELD},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct proxy_head head;
        struct err e = {0};
        bool read = proxy_head_read(bytes_of(rows[i].head), &head, &e);
        proxy_head_free(&head);
        if (read)
            stop_test("%s was taken", rows[i].head);
        assert_fails(read, e, rows[i].status, rows[i].text);
    }
    struct proxy_head head;
    struct err e = {0};
    assert_false(proxy_head_read(LITERAL("GET http://a/ HTTP/1.1\r\nA: b\0c\r\n\r\n"), &head, &e));
    proxy_head_free(&head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
