/* Tokens in every form, right and wrong. */
#include "tests/unit.h"

#include "gateway/net/auth.h"

static void forms_of_a_token(void **state)
{
    (void)state;
    static const struct {
        struct credentials c;
        enum credential expected;
    } cases[] = {
        {{0}, CREDENTIAL_NONE},
        {{.authorization = "token secret"}, CREDENTIAL_HEADER},
        {{.authorization = "tOkEn  \t secret"}, CREDENTIAL_HEADER},
        {{.authorization = "BEARER secret"}, CREDENTIAL_HEADER},
        {{.authorization = "Basic dXNlcjpzZWNyZXQ="}, CREDENTIAL_HEADER}, /* user:secret */
        {{.authorization = "Basic OnNlY3JldA=="}, CREDENTIAL_HEADER},     /* :secret */
        {{.authorization = "Basic c2VjcmV0OnVzZXI="}, CREDENTIAL_NONE},   /* secret:user */
        {{.authorization = "Basic c2VjcmV0"}, CREDENTIAL_NONE},           /* secret */
        {{.authorization = "Basic dXNlcjpzZWNyZXQ"}, CREDENTIAL_NONE},    /* cut */
        {{.authorization = "Basic "}, CREDENTIAL_NONE},
        {{.authorization = "token secret "}, CREDENTIAL_NONE},
        {{.authorization = "token secre"}, CREDENTIAL_NONE},
        {{.authorization = "token"}, CREDENTIAL_NONE},
        {{.authorization = ""}, CREDENTIAL_NONE},
        {{.authorization = "secret"}, CREDENTIAL_NONE},
        {{.query_token = "secret"}, CREDENTIAL_QUERY},
        {{.query_token = ""}, CREDENTIAL_NONE},
        {{.authorization = "token wrong", .query_token = "secret"}, CREDENTIAL_QUERY},
        {{.authorization = "token secret", .query_token = "wrong"}, CREDENTIAL_HEADER},
        {{.same_uid = true}, CREDENTIAL_PEER},
    };
    struct auth *a = auth_new("secret");
    for (size_t i = 0; i < countof(cases); i++)
        if (auth_check(a, &cases[i].c) != cases[i].expected)
            stop_test("case %zu: %d", i, auth_check(a, &cases[i].c));
    assert_true(auth_required(a));
    auth_free(a);
}

static void no_token_lets_everybody_in(void **state)
{
    (void)state;
    struct auth *a = auth_new("");
    assert_false(auth_required(a));
    assert_int_equal(auth_check(a, &(struct credentials){0}), CREDENTIAL_PEER);
    auth_free(a);
}

static void cookie_stands_for_the_token(void **state)
{
    (void)state;
    struct auth *a = auth_new("secret"), *same = auth_new("secret"), *other = auth_new("other");
    scoped(string) char *header = xasprintf("a=b; warmcell-1=bad; warmcell-1=%s", auth_cookie(a));
    struct credentials c = {.cookie = header, .cookie_name = "warmcell-1", .cookie_counts = true};
    assert_int_equal(auth_check(a, &c), CREDENTIAL_COOKIE);
    assert_int_equal(auth_check(same, &c), CREDENTIAL_COOKIE); /* after a restart */
    assert_int_equal(auth_check(other, &c), CREDENTIAL_NONE);
    c.cookie_counts = false;
    assert_int_equal(auth_check(a, &c), CREDENTIAL_NONE);
    c.cookie_counts = true;
    c.cookie_name = "warmcell-2";
    assert_int_equal(auth_check(a, &c), CREDENTIAL_NONE);
    assert_null(strstr(auth_cookie(a), "secret"));
    auth_free(a);
    auth_free(same);
    auth_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_of_a_token),
        cmocka_unit_test(no_token_lets_everybody_in),
        cmocka_unit_test(cookie_stands_for_the_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
