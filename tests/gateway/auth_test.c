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
    struct principal who;
    for (size_t i = 0; i < countof(cases); i++)
        if (auth_check(a, &cases[i].c, &who) != cases[i].expected)
            stop_test("case %zu: %d", i, auth_check(a, &cases[i].c, &who));
    assert_true(auth_required(a));
    auth_free(a);
}

static void no_token_lets_everybody_in(void **state)
{
    (void)state;
    struct auth *a = auth_new("");
    struct principal who;
    assert_false(auth_required(a));
    assert_int_equal(auth_check(a, &(struct credentials){0}, &who), CREDENTIAL_PEER);
    auth_free(a);
}

static void cookie_stands_for_the_token(void **state)
{
    (void)state;
    struct auth *a = auth_new("secret"), *same = auth_new("secret"), *other = auth_new("other");
    struct principal who;
    scoped(string) char *header = xasprintf("a=b; warmcell-1=bad; warmcell-1=%s", auth_cookie(a));
    struct credentials c = {.cookie = header, .cookie_name = "warmcell-1", .cookie_counts = true};
    assert_int_equal(auth_check(a, &c, &who), CREDENTIAL_COOKIE);
    assert_int_equal(auth_check(same, &c, &who), CREDENTIAL_COOKIE); /* after a restart */
    assert_int_equal(auth_check(other, &c, &who), CREDENTIAL_NONE);
    c.cookie_counts = false;
    assert_int_equal(auth_check(a, &c, &who), CREDENTIAL_NONE);
    c.cookie_counts = true;
    c.cookie_name = "warmcell-2";
    assert_int_equal(auth_check(a, &c, &who), CREDENTIAL_NONE);
    assert_null(strstr(auth_cookie(a), "secret"));
    auth_free(a);
    auth_free(same);
    auth_free(other);
}

static bool knows_one(void *user, const unsigned char sha256[32], struct principal *out)
{
    /* SHA-256 of "wc_known" */
    static const unsigned char known[] = {0x6a, 0x46, 0x25, 0x9e, 0xc1, 0x2e, 0x65, 0x27,
                                          0x78, 0x91, 0x35, 0x22, 0x96, 0x45, 0x10, 0xb1,
                                          0x34, 0x65, 0xbf, 0x5e, 0xca, 0xbb, 0x44, 0x5d,
                                          0x7e, 0xdc, 0x6d, 0xc8, 0x53, 0xc2, 0xda, 0x6b};
    (void)user;
    if (memcmp(sha256, known, sizeof(known)) != 0)
        return false;
    *out = (struct principal){.name = "ada", .token = "1", .scopes = SCOPE_READ};
    return true;
}

static void further_tokens(void **state)
{
    (void)state;
    struct auth *a = auth_new("secret");
    struct principal who = {0};
    struct credentials c = {.authorization = "Bearer wc_known"};
    assert_int_equal(auth_check(a, &c, &who), CREDENTIAL_NONE);
    auth_trust(a, &(struct trust){knows_one, NULL, NULL, NULL});
    assert_int_equal(auth_check(a, &c, &who), CREDENTIAL_HEADER);
    assert_string_equal(who.name, "ada");
    c = (struct credentials){.query_token = "wc_known", .same_uid = true};
    assert_int_equal(auth_check(a, &c, &who), CREDENTIAL_QUERY); /* what is shown counts first */
    assert_string_equal(who.name, "ada");
    c = (struct credentials){.authorization = "token secret"};
    assert_int_equal(auth_check(a, &c, &who), CREDENTIAL_HEADER);
    assert_string_equal(who.name, PRINCIPAL_OWNER);
    c = (struct credentials){.authorization = "token wc_know"};
    assert_int_equal(auth_check(a, &c, &who), CREDENTIAL_NONE);
    auth_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_of_a_token),
        cmocka_unit_test(no_token_lets_everybody_in),
        cmocka_unit_test(cookie_stands_for_the_token),
        cmocka_unit_test(further_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
