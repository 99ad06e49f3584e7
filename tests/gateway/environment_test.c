/* The rules by which a kernel gets its environment. */
#include "tests/unit.h"

#include "gateway/launch/environment.h"

static char *server[] = {
    "PATH=/bin",       "HOME=/root",      "SECRETLESS=1",    "WARMCELL_TOKEN=t",
    "KG_AUTH_TOKEN=t", "EG_AUTH_TOKEN=t", "LET_THROUGH=yes", "KERNEL_SERVER=s",
    "JUPYTER_TOKEN=t", "LISTEN_FDS=3",    "NOT_A_VARIABLE",  NULL,
};
static char *process_list[] = {"LET_THROUGH", "KG_AUTH_TOKEN", NULL};
static char *client_list[] = {"ASKED_AND_LISTED", NULL};
static const struct settings_core settings = {
    .env_process_whitelist = {process_list, 2},
    .env_whitelist = {client_list, 1},
};

static void check(const char *asked, const char *name, const char *expected)
{
    json_t *body = asked ? json_loads(asked, 0, NULL) : NULL;
    struct environment env;
    struct err e = {0};
    assert_true(environment_build(&settings, server, body, &env, &e));
    const char *value = environment_get(&env, name);
    if (!value != !expected || (value && strcmp(value, expected) != 0))
        stop_test("env %s: %s is %s, expected %s", asked ? asked : "absent", name,
                  value ? value : "absent", expected ? expected : "absent");
    assert_null(env.vars[env.count]);
    environment_free(&env);
    json_decref(body);
}

static void test_rules(void **state)
{
    (void)state;
    static const struct {
        const char *asked, *name, *expected;
    } rows[] = {
        {NULL, "PATH", "/bin"},
        {NULL, "HOME", "/root"},
        {NULL, "SECRETLESS", "1"},
        {NULL, "WARMCELL_TOKEN", NULL},
        {NULL, "KG_AUTH_TOKEN", NULL},
        {NULL, "EG_AUTH_TOKEN", NULL},
        {NULL, "JUPYTER_TOKEN", NULL},
        {NULL, "LISTEN_FDS", NULL},
        {NULL, "KERNEL_GATEWAY", "1"},
        {"null", "HOME", "/root"},
        {"{}", "PATH", "/bin"},
        {"{}", "HOME", NULL},
        {"{}", "KERNEL_SERVER", NULL},
        {"{}", "LET_THROUGH", "yes"},
        {"{}", "KG_AUTH_TOKEN", NULL},
        {"{}", "KERNEL_GATEWAY", "1"},
        {"{\"KERNEL_X\":\"1\"}", "KERNEL_X", "1"},
        {"{\"KERNEL_X\":\"a=b\"}", "KERNEL_X", "a=b"},
        {"{\"OTHER\":\"1\"}", "OTHER", NULL},
        {"{\"HOME\":\"/x\"}", "HOME", NULL},
        {"{\"PATH\":\"/x\"}", "PATH", "/bin"},
        {"{\"ASKED_AND_LISTED\":\"\"}", "ASKED_AND_LISTED", ""},
        {"{\"KERNEL_GATEWAY\":\"0\"}", "KERNEL_GATEWAY", "1"},
    };
    for (size_t i = 0; i < countof(rows); i++)
        check(rows[i].asked, rows[i].name, rows[i].expected);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *asked, *text;
    } rows[] = {
        {"[]", "env: must be an object of strings"},
        {"5", "env: must be an object of strings"},
        {"{\"KERNEL_X\":5}", "env: KERNEL_X: must be a string"},
        {"{\"\":\"x\"}", "env: a name must not be empty or hold \"=\""},
        {"{\"A=B\":\"x\"}", "env: a name must not be empty or hold \"=\""},
        {"{\"A\":\"x\\u0000y\"}", "env: A: must not hold NUL"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        json_t *body = json_loads(rows[i].asked, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        struct environment env;
        struct err e = {0};
        assert_non_null(body);
        assert_fails(environment_build(&settings, server, body, &env, &e), e, 400, rows[i].text);
        json_decref(body);
    }
}

static void test_a_variable_that_no_program_can_be_given(void **state)
{
    (void)state;
    scoped(buffer) struct buffer value = {0};
    struct environment env;
    struct err e = {0};
    size_t most = 128 * 1024 - strlen("KERNEL_X=") - 1;
    memset(buffer_reserve(&value, most + 1), 'v', most + 1);
    value.len = most;
    json_t *fits = json_pack("{s:s%}", "KERNEL_X", value.data, value.len);
    assert_true(environment_build(&settings, server, fits, &env, &e));
    environment_free(&env);
    json_decref(fits);
    value.len = most + 1;
    json_t *too_long = json_pack("{s:s%}", "KERNEL_X", value.data, value.len);
    assert_fails(environment_build(&settings, server, too_long, &env, &e), e, 400,
                 "env: KERNEL_X: larger than 131072 bytes, which Linux passes to no program");
    json_decref(too_long);
}

static void test_spec_values_name_others(void **state)
{
    (void)state;
    struct environment env;
    environment_init(&env);
    environment_set(&env, "HOME", "/h");
    json_t *spec = json_loads("{\"A\":\"${HOME}/a\",\"B\":\"$HOME/b$\",\"C\":\"${NOT_THERE}$$\","
                              "\"D\":5,\"HOME\":\"/new\"}",
                              0, NULL);
    environment_add_spec(&env, spec);
    assert_string_equal(environment_get(&env, "A"), "/h/a");
    assert_string_equal(environment_get(&env, "B"), "/h/b$");
    assert_string_equal(environment_get(&env, "C"), "${NOT_THERE}$$");
    assert_null(environment_get(&env, "D"));
    assert_string_equal(environment_get(&env, "HOME"), "/new");
    json_decref(spec);
    environment_free(&env);
}

static void test_difference_turns_one_into_the_other(void **state)
{
    (void)state;
    struct environment from, to;
    environment_init(&from);
    environment_init(&to);
    environment_set(&from, "SAME", "1");
    environment_set(&from, "CHANGED", "1");
    environment_set(&from, "GONE", "1");
    environment_set(&to, "SAME", "1");
    environment_set(&to, "CHANGED", "2");
    environment_set(&to, "NEW", "3");
    json_t *changes = environment_difference(&from, &to);
    scoped(string) char *text = json_dumps(changes, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text, "{\"CHANGED\":\"2\",\"GONE\":null,\"NEW\":\"3\"}");
    json_decref(changes);
    environment_free(&from);
    environment_free(&to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_a_variable_that_no_program_can_be_given),
        cmocka_unit_test(test_spec_values_name_others),
        cmocka_unit_test(test_difference_turns_one_into_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
