/* The allow-list: what is an entry, which host and port each lets through, and which addresses are
 * forbidden whatever name leads to them. */
#include "tests/unit.h"

#include <arpa/inet.h>

#include "protocol/json.h"
#include "sandbox/allow.h"

static bool read_text(const char *text, struct allow *out, struct err *e)
{
    scoped(json) json_t *list = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    assert_non_null(list);
    return allow_read(list, out, e);
}

static void test_hosts(void **state)
{
    (void)state;
    static const char list[] =
        "[\"PyPI.org\", \"*.example.com:8443\", \"*.wild.net\", "
        "\"192.0.2.7:5432\", \"[2001:db8::1]\", \"2001:db8::2\", \"dot.end.\"]";
    static const struct {
        const char *host;
        uint16_t port;
        bool allowed;
    } rows[] = {
        {"pypi.org", 443, true},
        {"pypi.org", 80, true},
        {"pypi.org", 8080, false},
        {"pypi.org.evil.net", 443, false},
        {"notpypi.org", 443, false},
        {"files.pypi.org", 443, false},
        {"a.example.com", 8443, true},
        {"a.b.example.com", 8443, true},
        {"a.example.com", 443, false},
        {"example.com", 8443, false},
        {"aexample.com", 8443, false},
        {".example.com", 8443, false}, /* is no name, and normalizing refuses it */
        {"x.wild.net", 80, true},
        {"192.0.2.7", 5432, true},
        {"192.0.2.7", 80, false},
        {"192.0.2.8", 5432, false},
        {"2001:db8::1", 443, true},
        {"2001:db8:0:0::1", 443, true},
        {"2001:db8::2", 80, true},
        {"dot.end", 80, true},
        {"3232235777", 80, false},
    };
    struct allow a;
    struct err e = {0};
    if (!read_text(list, &a, &e))
        stop_test("%s", e.text);
    for (size_t i = 0; i < countof(rows); i++) {
        char host[ALLOW_HOST_MOST + 1];
        bool allowed = allow_normalize(rows[i].host, host) && allow_host(&a, host, rows[i].port);
        if (allowed != rows[i].allowed)
            stop_test("%s:%d was %s", rows[i].host, rows[i].port, allowed ? "allowed" : "refused");
    }
    allow_free(&a);
}

static void test_what_is_no_entry(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "[\"\"]",
        "[\"a b\"]",
        "[\"http://pypi.org\"]",
        "[\"pypi.org:0\"]",
        "[\"pypi.org:\"]",
        "[\"pypi.org:99999\"]",
        "[\"pypi.org:+80\"]",
        "[\"*\"]",
        "[\"*.\"]",
        "[\"*.127.0.0.1\"]",
        "[\"a..b\"]",
        "[\".a\"]",
        "[\"a*b\"]",
        "[7]",
        "[\"a\\u0000b\"]",
        "[\"[::1\"]",
        "[\"a:b:c\"]",
        "[\"*.*.a\"]",
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct allow a;
        struct err e = {0};
        if (read_text(rows[i], &a, &e))
            stop_test("%s was taken", rows[i]);
        assert_int_equal(e.status, 400);
        assert_non_null(strstr(e.text, "is not a host"));
    }
    struct allow a;
    struct err e = {0};
    assert_fails(read_text("\"pypi.org\"", &a, &e), e, 400, "allow: must be a list of hosts");
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *given, *normal; /* NULL: refused */
    } rows[] = {
        {"PyPI.ORG", "pypi.org"},
        {"pypi.org.", "pypi.org"},
        {"[::1]", "::1"},
        {"a_b-c", "a_b-c"},
        {"", NULL},
        {".", NULL},
        {"a b", NULL},
        {"a\tb", NULL},
        {"a/b", NULL},
        {"a@b", NULL},
        {"a%b", NULL},
        {"a\xc3\xa4", NULL},
        {"[]", NULL},
        {"a..", NULL},
        {"[a.]", NULL},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        char out[ALLOW_HOST_MOST + 1];
        bool right = allow_normalize(rows[i].given, out);
        assert_int_equal(right, rows[i].normal != NULL);
        if (right)
            assert_text(out, rows[i].normal);
    }
    char lengthy[ALLOW_HOST_MOST + 2], out[ALLOW_HOST_MOST + 1];
    memset(lengthy, 'a', sizeof lengthy - 1);
    lengthy[sizeof lengthy - 1] = '\0';
    assert_false(allow_normalize(lengthy, out));
    assert_true(allow_normalize(lengthy + 1, out));
}

static struct sockaddr_storage address_of(const char *text, uint16_t port)
{
    struct sockaddr_storage out = {0};
    struct sockaddr_in *four = (struct sockaddr_in *)&out;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&out;
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &six->sin6_addr), 1);
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
    }
    return out;
}

static void test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *address, *kind; /* NULL: of the public Internet */
    } rows[] = {
        {"93.184.216.34", NULL},
        {"2606:2800:220:1::1", NULL},
        {"127.0.0.1", "loopback"},
        {"127.9.9.9", "loopback"},
        {"0.0.0.0", "unspecified"},
        {"10.1.2.3", "private"},
        {"172.15.0.1", NULL},
        {"172.16.0.1", "private"},
        {"172.31.255.255", "private"},
        {"172.32.0.1", NULL},
        {"192.168.1.1", "private"},
        {"100.100.100.200", "shared"},
        {"169.254.169.254", "link-local"},
        {"198.19.0.1", "reserved"},
        {"224.0.0.1", "multicast"},
        {"255.255.255.255", "reserved"},
        {"::1", "loopback"},
        {"::", "unspecified"},
        {"::7f00:1", "reserved"},
        {"::ffff:127.0.0.1", "loopback"},
        {"::ffff:169.254.169.254", "link-local"},
        {"64:ff9b::a9fe:a9fe", "link-local"},
        {"64:ff9b::5db8:d822", NULL},
        {"2002:7f00:1::1", "loopback"},
        {"fe80::1", "link-local"},
        {"fd00:ec2::254", "private"},
        {"fec0::1", "private"},
        {"ff02::1", "multicast"},
    };
    struct allow a = {0};
    for (size_t i = 0; i < countof(rows); i++) {
        const char *kind;
        struct sockaddr_storage address = address_of(rows[i].address, 443);
        bool allowed = allow_address(&a, (struct sockaddr *)&address, &kind);
        if (allowed != (rows[i].kind == NULL) || (kind && strcmp(kind, rows[i].kind) != 0))
            stop_test("%s is %s", rows[i].address, kind ? kind : "public");
    }
}

static void test_listed_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        uint16_t port;
        bool allowed;
    } rows[] = {
        {"127.0.0.1", 5000, true},        {"127.0.0.1", 5001, false}, {"127.0.0.2", 5000, false},
        {"::ffff:127.0.0.1", 5000, true}, {"::1", 443, true},         {"::1", 22, false},
    };
    struct allow a;
    struct err e = {0};
    assert_true(read_text("[\"127.0.0.1:5000\", \"[::1]\", \"localhost:5001\"]", &a, &e));
    for (size_t i = 0; i < countof(rows); i++) {
        const char *kind;
        struct sockaddr_storage address = address_of(rows[i].address, rows[i].port);
        assert_int_equal(allow_address(&a, (struct sockaddr *)&address, &kind), rows[i].allowed);
    }
    allow_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_what_is_no_entry),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_listed_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
