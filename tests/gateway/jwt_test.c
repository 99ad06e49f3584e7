/* Which tokens are good, at a time that the test says, and which keys are taken. */
#include "tests/unit.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include "protocol/json.h"
#include "tests/jwt_make.h"

#define NOW  1000000
#define HEAD "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"a\"}"
#define FULL "{\"sub\":\"ada\",\"iss\":\"us\",\"aud\":\"cells\",\"exp\":1000060}"

SCOPED(jwt, struct jwt *, jwt_free)

static char *algorithms[] = {"HS256", "RS256", "ES256", NULL};
static char *scopes[] = {"read", "write", "metrics", NULL};

static struct settings_jwt settings_with(char *keys)
{
    return (struct settings_jwt){
        .keys = keys,
        .issuer = "us",
        .audience = "cells",
        .algorithms = {algorithms, 3},
        .leeway_s = 30,
        .role = "admin",
        .scopes = {scopes, 3},
        .principal_claim = "sub",
        .role_claim = "role",
        .scope_claim = "scope",
    };
}

struct at {
    char *keys;
    struct settings_jwt settings;
    struct jwt *jwt;
};

static int set_up(void **state)
{
    struct at *at = xcalloc(1, sizeof(*at));
    struct err e;
    at->keys = jwt_test_file(JWT_TEST_KEYS);
    at->settings = settings_with(at->keys);
    at->jwt = jwt_new(&at->settings, &e);
    *state = at;
    return at->jwt ? 0 : -1;
}

static int tear_down(void **state)
{
    struct at *at = *state;
    jwt_free(at->jwt);
    unlink(at->keys);
    free(at->keys);
    free(at);
    return 0;
}

static bool check(struct at *at, const char *header, const char *claims, struct principal *who,
                  struct err *e)
{
    scoped(buffer) struct buffer token = {0};
    jwt_test_sign(&token, bytes_of(header), bytes_of(claims));
    return jwt_check(at->jwt, buffer_view(&token), NOW, who, e);
}

#define CLAIMS(more) "{\"iss\":\"us\",\"aud\":\"cells\"," more "}"
#define ADA(more)    CLAIMS("\"sub\":\"ada\",\"exp\":1000060" more)

static const struct {
    const char *header, *claims;
    const char *why; /* NULL: it is good */
} cases[] = {
    {HEAD, FULL, NULL},
    {"{\"alg\":\"HS256\"}", FULL, NULL},
    {"{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}", FULL, NULL},
    {"{\"alg\":\"HS256\",\"typ\":\"dpop+jwt\"}", FULL, "its typ is not JWT"},
    {"{\"alg\":\"HS256\",\"typ\":1}", FULL, "its typ is not JWT"},
    {"{\"alg\":\"HS256\",\"kid\":\"b\"}", FULL, "no key of ours signed it"},
    {"{\"alg\":\"HS256\",\"kid\":1}", FULL, "its kid is no text"},
    {"{\"alg\":\"none\"}", FULL, "its algorithm is not allowed"},
    {"{\"alg\":\"None\"}", FULL, "its algorithm is not allowed"},
    {"{\"alg\":\"HS512\"}", FULL, "its algorithm is not allowed"},
    {"{\"alg\":\"hs256\"}", FULL, "its algorithm is not allowed"},
    {"{\"alg\":\"RS256\"}", FULL, "no key of ours signed it"},
    {"{\"alg\":\"ES256\"}", FULL, "no key of ours signed it"},
    {"{\"alg\":[\"HS256\"]}", FULL, "its header has no alg"},
    {"{\"typ\":\"JWT\"}", FULL, "its header has no alg"},
    {"{\"alg\":\"HS256\",\"alg\":\"HS256\"}", FULL, "its header is no JSON object"},
    {"[]", FULL, "its header is no JSON object"},
    {"{\"alg\":\"HS256\",\"jwk\":{}}", FULL, "its header has jwk"},
    {"{\"alg\":\"HS256\",\"jku\":\"https://x\"}", FULL, "its header has jku"},
    {"{\"alg\":\"HS256\",\"x5u\":\"https://x\"}", FULL, "its header has x5u"},
    {"{\"alg\":\"HS256\",\"x5c\":[]}", FULL, "its header has x5c"},
    {"{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", FULL, "its header has crit"},
    {"{\"alg\":\"HS256\",\"b64\":false}", FULL, "its header has b64"},
    {HEAD, "[]", "its claims are no JSON object"},
    {HEAD, "text", "its claims are no JSON object"},
    {HEAD, ADA(",\"sub\":\"bob\""), "its claims are no JSON object"},
    {HEAD, "{\"sub\":\"ada\",\"aud\":\"cells\",\"exp\":1000060}", "its iss is another"},
    {HEAD, "{\"sub\":\"ada\",\"iss\":[\"us\"],\"aud\":\"cells\",\"exp\":1000060}",
     "its iss is another"},
    {HEAD, "{\"sub\":\"ada\",\"iss\":\"us\",\"exp\":1000060}", "its aud is another"},
    {HEAD, "{\"sub\":\"ada\",\"iss\":\"us\",\"aud\":[\"x\",\"cells\"],\"exp\":1000060}", NULL},
    {HEAD, "{\"sub\":\"ada\",\"iss\":\"us\",\"aud\":[\"x\"],\"exp\":1000060}",
     "its aud is another"},
    {HEAD, "{\"sub\":\"ada\",\"iss\":\"us\",\"aud\":{\"cells\":1},\"exp\":1000060}",
     "its aud is another"},
    {HEAD, CLAIMS("\"sub\":\"ada\""), "it has no exp"},
    {HEAD, CLAIMS("\"sub\":\"ada\",\"exp\":\"1000060\""), "its exp is no time"},
    {HEAD, CLAIMS("\"sub\":\"ada\",\"exp\":-1"), "its exp is no time"},
    {HEAD, CLAIMS("\"sub\":\"ada\",\"exp\":1e300"), "its exp is no time"},
    {HEAD, CLAIMS("\"sub\":\"ada\",\"exp\":1000000.5"), NULL},
    {HEAD, CLAIMS("\"sub\":\"ada\",\"exp\":999971"), NULL}, /* 29 s ago */
    {HEAD, CLAIMS("\"sub\":\"ada\",\"exp\":999970"), "it has expired"},
    {HEAD, CLAIMS("\"sub\":\"ada\",\"exp\":0"), "it has expired"},
    {HEAD, ADA(",\"nbf\":1000030"), NULL},
    {HEAD, ADA(",\"nbf\":1000031"), "it is not good yet"},
    {HEAD, ADA(",\"iat\":1000031"), "it is not good yet"},
    {HEAD, ADA(",\"nbf\":null"), "its nbf is no time"},
    {HEAD, CLAIMS("\"exp\":1000060"), "its sub names no principal"},
    {HEAD, CLAIMS("\"exp\":1000060,\"sub\":7"), "its sub names no principal"},
    {HEAD, CLAIMS("\"exp\":1000060,\"sub\":\"\""), "its sub names no principal"},
    {HEAD, CLAIMS("\"exp\":1000060,\"sub\":\"a b\""), "its sub names no principal"},
    {HEAD, CLAIMS("\"exp\":1000060,\"sub\":\"ada\\u0000x\""), "its sub names no principal"},
    {HEAD, CLAIMS("\"exp\":1000060,\"sub\":\"owner\""), "its sub names no principal"},
    {HEAD, CLAIMS("\"exp\":1000060,\"sub\":\"open.ada\""),
     "its sub begins with open., as nobody's does but theirs who have an open token"},
};

static void headers_and_claims(void **state)
{
    for (size_t i = 0; i < countof(cases); i++) {
        struct principal who = {0};
        struct err e = {0};
        bool good = check(*state, cases[i].header, cases[i].claims, &who, &e);
        if (good != !cases[i].why || (!good && strcmp(e.text, cases[i].why) != 0))
            stop_test("case %zu: %d, %s", i, good, e.text);
        assert_text(who.name, good ? "ada" : "");
        assert_int_equal(e.status, good ? 0 : 401);
    }
}

static void rights_are_bounded(void **state)
{
    static const struct {
        const char *claims;
        char *role;
        enum role expected;
        unsigned scopes;
    } rows[] = {
        {ADA(), "admin", ROLE_USER, SCOPE_READ | SCOPE_WRITE},
        {ADA(",\"role\":\"user\""), "admin", ROLE_USER, SCOPE_READ | SCOPE_WRITE},
        {ADA(",\"role\":\"admin\""), "admin", ROLE_ADMIN, SCOPE_READ | SCOPE_WRITE},
        {ADA(",\"role\":\"admin\""), "user", ROLE_USER, SCOPE_READ | SCOPE_WRITE},
        {ADA(",\"role\":\"root\""), "admin", ROLE_USER, SCOPE_READ | SCOPE_WRITE},
        {ADA(",\"role\":[\"admin\"]"), "admin", ROLE_USER, SCOPE_READ | SCOPE_WRITE},
        {ADA(",\"scope\":\"read\""), "user", ROLE_USER, SCOPE_READ},
        {ADA(",\"scope\":\"openid read  metrics\""), "user", ROLE_USER, SCOPE_READ | SCOPE_METRICS},
        {ADA(",\"scope\":[\"write\",7]"), "user", ROLE_USER, SCOPE_WRITE},
        {ADA(",\"scope\":\"tokens\""), "user", ROLE_USER, 0}, /* beyond the most */
        {ADA(",\"scope\":null"), "user", ROLE_USER, 0},
    };
    struct at *at = *state;
    for (size_t i = 0; i < countof(rows); i++) {
        struct settings_jwt settings = at->settings;
        struct principal who = {0};
        struct err e = {0};
        settings.role = rows[i].role;
        struct at here = {.jwt = jwt_new(&settings, &e)};
        if (!check(&here, HEAD, rows[i].claims, &who, &e) || who.role != rows[i].expected ||
            who.scopes != rows[i].scopes)
            stop_test("row %zu: %s, role %d, scopes %u", i, e.text, (int)who.role, who.scopes);
        assert_int_equal(who.expires_s, NOW + 60);
        assert_false(principal_is_own(&who));
        jwt_free(here.jwt);
    }
}

static void what_is_shown_again_expires_too(void **state)
{
    struct at *at = *state;
    scoped(buffer) struct buffer token = {0};
    struct principal who, again;
    struct err e;
    jwt_test_sign(&token, bytes_of(HEAD), bytes_of(FULL));
    for (int64_t now = NOW; now < NOW + 3; now++)
        assert_true(jwt_check(at->jwt, buffer_view(&token), now, &who, &e));
    assert_true(jwt_still(at->jwt, &who, NOW + 89));
    assert_false(jwt_still(at->jwt, &who, NOW + 90));
    assert_fails(jwt_check(at->jwt, buffer_view(&token), NOW + 90, &again, &e), e, 401,
                 "it has expired");
    token.data[token.len - 2] ^= 1;
    assert_fails(jwt_check(at->jwt, buffer_view(&token), NOW, &again, &e), e, 401,
                 "no key of ours signed it");
}

/* Of one of our own, with claims more after exp. Given; its token is good at NOW. */
static char *own_token(const struct jwt *own, const char *more)
{
    struct err e = {0};
    scoped(string) char *text =
        xasprintf("{\"iss\":\"us\",\"sub\":\"ada\",\"exp\":1000060%s}", more);
    scoped(json) json_t *claims = json_loads(text, 0, NULL);
    char *token = jwt_sign(own, claims, &e);
    assert_non_null(token);
    return token;
}

static bool own_good(struct jwt *own, const char *token, int64_t now, struct principal *who)
{
    struct err e = {0};
    *who = (struct principal){0};
    return jwt_check(own, bytes_of(token), now, who, &e) || e.status != 401;
}

static void our_own(void **state)
{
    struct at *at = *state;
    struct err e = {0};
    struct principal who;
    scoped(json) json_t *first = json_pack("[s]", JWT_TEST_SECRET "first");
    scoped(json) json_t *both =
        json_pack("[s, s]", JWT_TEST_SECRET "second", JWT_TEST_SECRET "first");
    scoped(json) json_t *short_one = json_pack("[s]", "short");
    scoped(jwt) struct jwt *before = jwt_new_own("us", first, &e),
                           *after = jwt_new_own("us", both, &e);
    scoped(jwt) struct jwt *others = jwt_new_own("them", both, &e);
    assert_null(jwt_new_own("us", short_one, &e));
    scoped(string) char *token = own_token(before, ",\"role\":\"admin\",\"scope\":\"read tokens\"");
    assert_true(own_good(before, token, NOW, &who));
    assert_text(who.name, "ada");
    assert_int_equal(who.role, ROLE_ADMIN);
    assert_int_equal(who.scopes, SCOPE_READ | SCOPE_TOKENS);
    assert_text(who.token, "");
    assert_true(own_good(after, token, NOW, &who)); /* the key before is good still */
    assert_false(own_good(after, token, NOW + 100, &who));
    assert_false(own_good(others, token, NOW, &who));
    assert_false(own_good(at->jwt, token, NOW, &who));
    scoped(string) char *newer = own_token(after, "");
    assert_false(own_good(before, newer, NOW, &who));
    scoped(string) char *asked =
        own_token(after, ",\"by\":\"01234567-89ab-4cde-8f01-23456789abcd\"");
    assert_true(own_good(after, asked, NOW, &who));
    assert_text(who.token, "01234567-89ab-4cde-8f01-23456789abcd");
    scoped(string) char *bad = own_token(after, ",\"by\":\"x\"");
    assert_false(own_good(after, bad, NOW, &who));
}

static void shapes(void **state)
{
    static const char *const bad[] = {
        "",     ".",    "..",     "...",     "a.b",         "a.b.c.d",  "a..c",
        "a.b.", ".b.c", "a.b.c=", "a b.c.d", "e30.e30.e30", "\xff.b.c", "a.b\n.c"};
    struct at *at = *state;
    struct principal who;
    for (size_t i = 0; i < countof(bad); i++) {
        struct err e = {0};
        if (jwt_check(at->jwt, bytes_of(bad[i]), NOW, &who, &e) || e.status != 401)
            stop_test("case %zu is good", i);
    }
    scoped(buffer) struct buffer claims = {0}, token = {0};
    struct err e;
    buffer_printf(&claims,
                  "{\"sub\":\"ada\",\"iss\":\"us\",\"aud\":\"cells\",\"exp\":1000060,"
                  "\"x\":\"%06200d\"}",
                  1);
    jwt_test_sign(&token, bytes_of(HEAD), buffer_view(&claims));
    assert_true(token.len > JWT_LIMIT_BYTES);
    assert_fails(jwt_check(at->jwt, buffer_view(&token), NOW, &who, &e), e, 401,
                 "it is not three parts of base64url, or too long");
}

static void put(const char *path, const char *text)
{
    scoped(string) char *fresh = jwt_test_file(text);
    assert_int_equal(rename(fresh, path), 0);
}

static void keys_change(void **state)
{
    struct at *at = *state;
    struct principal who, other;
    struct err e;
    assert_true(check(at, HEAD, FULL, &who, &e));
    put(at->keys, "no keys");
    jwt_refresh(at->jwt); /* the old ones stay */
    assert_true(check(at, HEAD, FULL, &who, &e));
    put(at->keys, "{\"keys\": [{\"kty\": \"oct\", "
                  "\"k\": \"YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE\"}]}");
    jwt_refresh(at->jwt);
    assert_fails(check(at, HEAD, FULL, &other, &e), e, 401, "no key of ours signed it");
    assert_false(jwt_still(at->jwt, &who, NOW));
    put(at->keys, JWT_TEST_KEYS);
    jwt_reload(at->jwt);
    assert_true(check(at, HEAD, FULL, &other, &e));
    assert_true(jwt_still(at->jwt, &who, NOW));
}

#define OCT "{\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\""

static const struct {
    const char *text;
    size_t count;
    const char *why; /* NULL: good */
} files[] = {
    {OCT "}", 1, NULL},
    {"{\"keys\":[" OCT "}," OCT ",\"kid\":\"b\"}]}", 2, NULL},
    {"{\"keys\":[" OCT "},{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}]}", 1, NULL},
    {"{\"keys\":[" OCT "}," OCT ",\"use\":\"enc\"}," OCT ",\"alg\":\"HS512\"}]}", 1, NULL},
    {"{\"keys\":[" OCT "},{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"AA\",\"y\":\"AA\"}]}", 1, NULL},
    {"", 0, "it is neither valid JSON nor PEM"},
    {"{\"keys\":", 0, "it is neither valid JSON nor PEM"},
    {"{}", 0, "there is no key in it for HS256, RS256 or ES256"},
    {"{\"keys\":[]}", 0, "there is no key in it for HS256, RS256 or ES256"},
    {"{\"keys\":{}}", 0, "keys: must be an array"},
    {"{\"keys\":[7]}", 0, "keys: must hold objects"},
    {"{\"kty\":\"oct\",\"k\":\"c2hvcnQ\"}", 0,
     "a key of the type oct has 40 bits; it must have 256 or more"},
    {"{\"kty\":\"oct\"}", 0, "a key of the type oct is not valid"},
    {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}", 0,
     "a key of the type EC is not valid"},
    {"{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\",\"d\":\"AQAB\"}", 0,
     "there is a private key in it; only public ones are needed"},
    {"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", 0,
     "there is no key in it for HS256, RS256 or ES256"},
};

static void what_is_a_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(files); i++) {
        struct jwt_keys keys;
        struct err e = {0};
        bool secret;
        bool good = jwt_keys_parse(bytes_of(files[i].text), &keys, &secret, &e);
        if (good != !files[i].why || keys.count != files[i].count ||
            (!good && strcmp(e.text, files[i].why) != 0))
            stop_test("case %zu: %d, %zu keys, %s", i, good, keys.count, e.text);
        assert_true(!good || secret);
        jwt_keys_clear(&keys);
    }
}

static int write_pkcs8(BIO *out, const EVP_PKEY *key)
{
    return PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL);
}

static int write_traditional(BIO *out, const EVP_PKEY *key)
{
    return PEM_write_bio_PrivateKey_traditional(out, key, NULL, NULL, 0, NULL, NULL);
}

/* Made here, in both forms that a file of PEM may have it; the public one of it is taken. */
static void no_private_key_is_taken(void **state)
{
    (void)state;
    static const struct {
        int (*write)(BIO *out, const EVP_PKEY *key);
        bool good;
    } forms[] = {{write_pkcs8, false}, {write_traditional, false}, {PEM_write_bio_PUBKEY, true}};
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(key);
    for (size_t i = 0; i < countof(forms); i++) {
        struct jwt_keys keys;
        struct err e = {0};
        bool secret;
        char *text;
        BIO *out = BIO_new(BIO_s_mem());
        assert_int_equal(forms[i].write(out, key), 1);
        long len = BIO_get_mem_data(out, &text);
        bool good = jwt_keys_parse((struct bytes){text, (size_t)len}, &keys, &secret, &e);
        assert_int_equal(good, forms[i].good);
        if (good)
            assert_int_equal(keys.count, 1);
        else
            assert_string_equal(e.text,
                                "there is a private key in it; only public ones are needed");
        jwt_keys_clear(&keys);
        BIO_free(out);
    }
    EVP_PKEY_free(key);
}

static void who_may_read_the_file(void **state)
{
    struct at *at = *state;
    static const struct {
        mode_t mode;
        const char *why;
    } modes[] = {
        {0400, NULL},
        {0600, NULL},
        {0640, "there is a secret in it, and others may read it; chmod 600"},
        {0604, "there is a secret in it, and others may read it; chmod 600"},
        {0620, "others may write to it; chmod go-w"},
    };
    for (size_t i = 0; i < countof(modes); i++) {
        struct jwt_keys keys;
        struct err e = {0};
        scoped(string) char *why =
            modes[i].why ? xasprintf("jwt-keys: %s: %s", at->keys, modes[i].why) : xstrdup("");
        assert_int_equal(chmod(at->keys, modes[i].mode), 0);
        assert_int_equal(jwt_keys_read(at->keys, &keys, &e), !modes[i].why);
        assert_text(e.text, why);
        jwt_keys_clear(&keys);
    }
    struct jwt_keys keys;
    struct err e;
    assert_fails(jwt_keys_read("/dev/null", &keys, &e), e, 400,
                 "jwt-keys: /dev/null: it is no regular file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(headers_and_claims, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rights_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_shown_again_expires_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(our_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(shapes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_change, set_up, tear_down),
        cmocka_unit_test(what_is_a_key),
        cmocka_unit_test(no_private_key_is_taken),
        cmocka_unit_test_setup_teardown(who_may_read_the_file, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
