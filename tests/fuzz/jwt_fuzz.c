/* A header line and claims behind it, signed with a key of ours; and the same bytes as a token as
 * it is shown. Who is let in has a name that is none of ours, and no more rights than configured.
 */
#include "tests/fuzz/fuzz.h"

#include "tests/jwt_make.h"

#define NOW 1000000

static struct jwt *make(void)
{
    static char *algorithms[] = {"HS256", NULL}, *scopes[] = {"read", NULL};
    static struct settings_jwt settings = {
        .issuer = "us",
        .audience = "cells",
        .algorithms = {algorithms, 1},
        .leeway_s = 30,
        .role = "user",
        .scopes = {scopes, 1},
        .principal_claim = "sub",
        .role_claim = "role",
        .scope_claim = "scope",
    };
    struct err e;
    settings.keys = jwt_test_file(JWT_TEST_KEYS);
    struct jwt *j = jwt_new(&settings, &e);
    REQUIRE(j);
    unlink(settings.keys);
    return j;
}

static bool check(struct jwt *j, struct bytes token)
{
    struct principal who;
    struct err e = {0};
    if (!jwt_check(j, token, NOW, &who, &e))
        return refused(&e);
    REQUIRE(principal_name_good(who.name) && strcmp(who.name, PRINCIPAL_OWNER) != 0);
    REQUIRE(who.role == ROLE_USER && !(who.scopes & ~(unsigned)SCOPE_READ));
    REQUIRE(who.expires_s + 30 > NOW && who.jwt_key && !principal_is_own(&who));
    return true;
}

bool fuzz_one(struct bytes input)
{
    static struct jwt *j;
    if (!j)
        j = make();
    const char *line = input.len ? memchr(input.data, '\n', input.len) : NULL;
    size_t head = line ? (size_t)(line - input.data) : input.len;
    struct bytes claims = {input.data + head + !!line, input.len - head - !!line};
    scoped(buffer) struct buffer token = {0};
    check(j, input);
    if (!head || !claims.len)
        return false;
    jwt_test_sign(&token, (struct bytes){input.data, head}, claims);
    return check(j, buffer_view(&token));
}
