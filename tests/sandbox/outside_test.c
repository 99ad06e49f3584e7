/* What of this machine's network is read as text: name servers and prefixes. */
#include "tests/unit.h"

#include <string.h>

#include "sandbox/outside.h"

static void test_resolvers(void **state)
{
    (void)state;
    static const struct {
        const char *text, *v4, *v6;
    } rows[] = {
        {"", "", ""},
        {"nameserver 192.0.2.1\n", "192.0.2.1", ""},
        {"nameserver 192.0.2.1", "192.0.2.1", ""},
        {"# a comment\nsearch x\nnameserver\t127.0.0.53\nnameserver 192.0.2.2\n", "127.0.0.53", ""},
        {"nameserver 2001:db8::1\nnameserver 192.0.2.1 # why\n", "192.0.2.1", "2001:db8::1"},
        {"nameserver fe80::1%eth0\nnameserver ::1\r\n", "", "::1"},
        {"nameservers 192.0.2.1\nnameserver192.0.2.1\n #nameserver 192.0.2.1\n", "", ""},
        {"nameserver 192.0.2\nnameserver 192.0.2.1/24\nnameserver x\n", "", ""},
        {"nameserver 192.0.2.1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20\n", "", ""},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct outside found = {.resolver4 = "old", .resolver6 = "old"};
        outside_read_resolvers(rows[i].text, &found);
        assert_string_equal(found.resolver4, rows[i].v4);
        assert_string_equal(found.resolver6, rows[i].v6);
    }
}

static void test_prefixes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        uint8_t family, len, first;
    } rows[] = {
        {"192.0.2.0/24", true, AF_INET, 24, 192},
        {"10.0.0.1", true, AF_INET, 32, 10},
        {"0.0.0.0/0", true, AF_INET, 0, 0},
        {"fe80::/10", true, AF_INET6, 10, 0xfe},
        {"::1", true, AF_INET6, 128, 0},
        {"192.0.2.0/33", false, 0, 0, 0},
        {"fe80::/129", false, 0, 0, 0},
        {"192.0.2.0/-1", false, 0, 0, 0},
        {"192.0.2.0/x", false, 0, 0, 0},
        {"192.0.2.0/", false, 0, 0, 0},
        {"", false, 0, 0, 0},
        {"example", false, 0, 0, 0},
        {"192.0.2.0/24x", false, 0, 0, 0},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct prefix found;
        assert_int_equal(prefix_read(rows[i].text, &found), rows[i].good);
        if (!rows[i].good)
            continue;
        assert_int_equal(found.family, rows[i].family);
        assert_int_equal(found.len, rows[i].len);
        assert_int_equal(found.bytes[0], rows[i].first);
    }
}

/* The addresses of this very machine, whatever they are: loopback is among them. */
static void test_this_machine(void **state)
{
    (void)state;
    struct outside found = {0}, other = {0}, none = {0};
    struct err e;
    if (!outside_read(&found, &e) || !outside_read(&other, &e))
        stop_test("%s", e.text);
    struct prefix loopback;
    assert_true(prefix_read("127.0.0.1", &loopback));
    bool seen = false;
    for (size_t i = 0; i < found.own_count; i++)
        seen |= memcmp(&found.own[i], &loopback, sizeof loopback) == 0;
    assert_true(seen);
    assert_true(outside_same_way(&found, &other));
    assert_true(outside_has_own(&found, &other));
    assert_false(outside_has_own(&none, &found));
    outside_free(&found);
    outside_free(&other);
    assert_int_equal(found.own_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolvers),
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_this_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
