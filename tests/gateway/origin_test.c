/* Host names and origins that are believed. */
#include "tests/unit.h"

#include "gateway/net/origin.h"

static char *names[] = {"hub.example", NULL};

static void hosts(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        bool loopback,
            beyond; /* allowed when listening at 127.0.0.1, or beyond with allowed hosts */
    } cases[] = {
        {"localhost", true, true},
        {"Localhost:8888", true, true},
        {"127.0.0.1:1", true, true},
        {"[::1]", true, true},
        {"x.localhost", true, true},
        {".localhost", false, false},
        {"hub.example", true, true},
        {"HUB.EXAMPLE:443", true, true},
        {"evil.example", false, false},
        {"localhost.evil", false, false},
        {"", false, false},
        {":1", false, false},
        {"localhost:1x", false, false},
        {"[::1", false, false},
        {"[::1]x", false, false},
        {"127.0.0.1.evil", false, false},
        {"128.0.0.1", false, false},
        {"localhost@evil", false, false},
    };
    struct settings_net n = {.ip = "127.0.0.1", .allowed_hosts = {names, 1}};
    struct origin_policy *near = origin_policy_new(&n, true, NULL);
    struct origin_policy *far = origin_policy_new(&n, false, NULL);
    for (size_t i = 0; i < countof(cases); i++)
        if (origin_host_allowed(near, cases[i].host) != cases[i].loopback ||
            origin_host_allowed(far, cases[i].host) != cases[i].beyond)
            stop_test("%s", cases[i].host);
    origin_policy_free(near);
    origin_policy_free(far);
    n.allowed_hosts.count = 0;
    far = origin_policy_new(&n, false, NULL);
    assert_true(origin_host_allowed(far, "anything.example"));
    assert_false(origin_host_allowed(far, "no port:x"));
    origin_policy_free(far);
}

static void origins(void **state)
{
    (void)state;
    static const struct {
        const char *allow, *pattern, *origin;
        bool expected;
    } cases[] = {
        {"", "", "http://here:1", true},
        {"", "", "HTTPS://HERE:1", true},
        {"", "", "http://here", false},
        {"", "", "http://here:1.evil", false},
        {"", "", "null", false},
        {"", "", "", false},
        {"*", "", "null", true},
        {"http://page", "", "http://page", true},
        {"http://page", "", "http://page2", false},
        {"", "http://p[0-9]$", "http://p7", true},
        {"", "http://p[0-9]$", "http://p77", false},
        {"", "p[0-9]", "http://p7", false},
        {"", "null", "null", false},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct settings_net n = {.ip = "127.0.0.1",
                                 .allow_origin = (char *)cases[i].allow,
                                 .allow_origin_pat = (char *)cases[i].pattern};
        struct origin_policy *p = origin_policy_new(&n, true, NULL);
        if (origin_allowed(p, cases[i].origin, "here:1") != cases[i].expected)
            stop_test("case %zu: %s", i, cases[i].origin);
        origin_policy_free(p);
    }
}

static void bad_settings(void **state)
{
    (void)state;
    struct err e;
    struct settings_net n = {.ip = "::1", .allow_origin_pat = "("};
    assert_null(origin_policy_new(&n, true, &e));
    assert_int_equal(e.status, 400);
    n = (struct settings_net){.ip = "::1", .max_age = "1\r\nX: y"};
    assert_null(origin_policy_new(&n, true, &e));
    assert_text(e.text, "max_age: must not hold a line break");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts),
        cmocka_unit_test(origins),
        cmocka_unit_test(bad_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
