/* Keys for jwt.c. cjose makes them of JSON; of PEM we take the numbers out for it.
 *
 * Invariant: each key has its algorithm from its type, never from what a token says. */
#include "gateway/net/jwt_key.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/json.h"

#define P256_BYTES     32
#define RSA_MOST_BYTES 2048 /* of a modulus: 16,384 bits */

SCOPED(evp_key, EVP_PKEY *, EVP_PKEY_free)
SCOPED(bignum, BIGNUM *, BN_free)
SCOPED(bio, BIO *, BIO_free)

static const struct {
    cjose_jwk_kty_t type;
    const char *name; /* kty */
    const char *algorithm;
    size_t bits; /* at least */
    bool only;   /* no other size */
} types[] = {
    {CJOSE_JWK_KTY_OCT, "oct", "HS256", (size_t)8 * JWT_SECRET_BYTES, false},
    {CJOSE_JWK_KTY_RSA, "RSA", "RS256", JWT_RSA_BITS, false},
    {CJOSE_JWK_KTY_EC, "EC", "ES256", (size_t)8 * P256_BYTES, true},
};

void jwt_keys_clear(struct jwt_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        cjose_jwk_release(keys->key[i].jwk);
        free(keys->key[i].id);
    }
    keys->count = 0;
}

/* The first bytes of a digest of the key as JSON, which cjose writes the same each time. */
static uint64_t number_of(const cjose_jwk_t *jwk)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    uint64_t number;
    bool secret = cjose_jwk_get_kty(jwk, NULL) == CJOSE_JWK_KTY_OCT;
    char *text = cjose_jwk_to_json(jwk, secret, NULL);
    if (!text)
        return 1;
    SHA256((unsigned char *)text, strlen(text), digest);
    OPENSSL_cleanse(text, strlen(text));
    cjose_get_dealloc()(text);
    memcpy(&number, digest, sizeof(number));
    return number ? number : 1;
}

/* jwk: taken. */
static bool add(struct jwt_keys *keys, cjose_jwk_t *jwk, const char *id, struct err *e)
{
    cjose_jwk_kty_t type = cjose_jwk_get_kty(jwk, NULL);
    size_t bits = cjose_jwk_get_keysize(jwk, NULL);
    for (size_t i = 0; i < countof(types); i++) {
        if (types[i].type != type)
            continue;
        if (keys->count == JWT_KEYS_LIMIT)
            fail(e, 400, "there are more than %d keys", JWT_KEYS_LIMIT);
        else if (bits < types[i].bits || (types[i].only && bits != types[i].bits))
            fail(e, 400, "a key of the type %s has %zu bits; it must have %zu%s", types[i].name,
                 bits, types[i].bits, types[i].only ? "" : " or more");
        else {
            keys->key[keys->count++] =
                (struct jwt_key){jwk, types[i].algorithm, id ? xstrdup(id) : NULL, number_of(jwk)};
            return true;
        }
    }
    cjose_jwk_release(jwk);
    return false;
}

bool jwt_keys_add_secret(struct jwt_keys *keys, struct bytes secret, struct err *e)
{
    cjose_jwk_t *jwk = cjose_jwk_create_oct_spec((const uint8_t *)secret.data, secret.len, NULL);
    return jwk ? add(keys, jwk, NULL, e) : fail(e, 400, "a secret is not valid");
}

/* --- JSON */

static const char *text_of(json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* Of a type that we take, and for the one algorithm of that type. */
static bool is_for_us(json_t *jwk)
{
    const char *type = text_of(jwk, "kty"), *use = text_of(jwk, "use");
    const char *algorithm = text_of(jwk, "alg"), *curve = text_of(jwk, "crv");
    for (size_t i = 0; type && i < countof(types); i++)
        if (strcmp(types[i].name, type) == 0)
            return (!use || strcmp(use, "sig") == 0) &&
                   (!algorithm || strcmp(algorithm, types[i].algorithm) == 0) &&
                   (!types[i].only || (curve && strcmp(curve, "P-256") == 0));
    return false;
}

/* cjose 0.6.2 ends the process over what is no base64url. */
static bool numbers_good(json_t *jwk)
{
    static const char *const names[] = {"k", "n", "e", "x", "y"};
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (size_t i = 0; i < countof(names); i++) {
        const char *text = text_of(jwk, names[i]);
        size_t len = text ? strlen(text) : 0;
        if (text && (len % 4 == 1 ||
                     strspn(text, digits) != json_string_length(json_object_get(jwk, names[i]))))
            return false;
    }
    return true;
}

static bool add_json(struct jwt_keys *keys, json_t *one, bool *secret, struct err *e)
{
    if (!json_is_object(one))
        return fail(e, 400, "keys: must hold objects");
    if (!is_for_us(one))
        return true;
    if (json_object_get(one, "d"))
        return fail(e, 400, "there is a private key in it; only public ones are needed");
    *secret = *secret || json_object_get(one, "k");
    cjose_jwk_t *jwk =
        numbers_good(one) ? cjose_jwk_import_json((cjose_header_t *)one, NULL) : NULL;
    if (!jwk)
        return fail(e, 400, "a key of the type %s is not valid", text_of(one, "kty"));
    return add(keys, jwk, text_of(one, "kid"), e);
}

static bool parse_json(struct bytes text, struct jwt_keys *out, bool *secret, struct err *e)
{
    struct err why = {0};
    scoped(json) json_t *set = json_parse_object(text, "keys", JWT_KEYS_LIMIT_BYTES, &why);
    json_t *list = json_object_get(set, "keys"), *one;
    size_t i;
    if (!set)
        return fail(e, 400, "it is neither valid JSON nor PEM"); /* why could quote a secret */
    if (!list)
        return add_json(out, set, secret, e);
    if (!json_is_array(list))
        return fail(e, 400, "keys: must be an array");
    json_array_foreach(list, i, one)
    {
        if (!add_json(out, one, secret, e))
            return false;
    }
    return true;
}

/* --- PEM */

static BIGNUM *number_in(const EVP_PKEY *key, const char *name)
{
    BIGNUM *number = NULL;
    return EVP_PKEY_get_bn_param(key, name, &number) ? number : NULL;
}

static cjose_jwk_t *rsa_of(const EVP_PKEY *key)
{
    unsigned char modulus[RSA_MOST_BYTES], exponent[8];
    scoped(bignum) BIGNUM *n = number_in(key, OSSL_PKEY_PARAM_RSA_N);
    scoped(bignum) BIGNUM *x = number_in(key, OSSL_PKEY_PARAM_RSA_E);
    if (!n || !x || BN_num_bytes(n) > (int)sizeof(modulus) ||
        BN_num_bytes(x) > (int)sizeof(exponent))
        return NULL;
    const cjose_jwk_rsa_keyspec spec = {
        .n = modulus,
        .nlen = (size_t)BN_bn2bin(n, modulus),
        .e = exponent,
        .elen = (size_t)BN_bn2bin(x, exponent),
    };
    return cjose_jwk_create_RSA_spec(&spec, NULL);
}

static cjose_jwk_t *ec_of(const EVP_PKEY *key)
{
    unsigned char x[P256_BYTES], y[P256_BYTES];
    char group[32] = "";
    EVP_PKEY_get_group_name(key, group, sizeof(group), NULL);
    scoped(bignum) BIGNUM *at_x = number_in(key, OSSL_PKEY_PARAM_EC_PUB_X);
    scoped(bignum) BIGNUM *at_y = number_in(key, OSSL_PKEY_PARAM_EC_PUB_Y);
    if (strcmp(group, "prime256v1") != 0 || !at_x || !at_y ||
        BN_bn2binpad(at_x, x, sizeof(x)) < 0 || BN_bn2binpad(at_y, y, sizeof(y)) < 0)
        return NULL;
    const cjose_jwk_ec_keyspec spec = {
        .crv = CJOSE_JWK_EC_P_256, .x = x, .xlen = sizeof(x), .y = y, .ylen = sizeof(y)};
    return cjose_jwk_create_EC_spec(&spec, NULL);
}

static bool add_pem(struct jwt_keys *keys, const EVP_PKEY *key, struct err *e)
{
    cjose_jwk_t *jwk = EVP_PKEY_is_a(key, "RSA")  ? rsa_of(key)
                       : EVP_PKEY_is_a(key, "EC") ? ec_of(key)
                                                  : NULL;
    if (!jwk)
        return fail(e, 400, "a public key in it is neither RSA nor EC on P-256");
    return add(keys, jwk, NULL, e);
}

static bool parse_pem(struct bytes text, struct jwt_keys *out, struct err *e)
{
    if (memmem(text.data, text.len, "PRIVATE KEY-----", 16))
        return fail(e, 400, "there is a private key in it; only public ones are needed");
    scoped(bio) BIO *in = BIO_new_mem_buf(text.data, (int)text.len);
    for (;;) {
        scoped(evp_key) EVP_PKEY *key = PEM_read_bio_PUBKEY(in, NULL, NULL, NULL);
        if (!key)
            return true;
        if (!add_pem(out, key, e))
            return false;
    }
}

/* --- the file */

static bool is_pem(struct bytes text)
{
    return memmem(text.data, text.len, "-----BEGIN ", 11) != NULL;
}

bool jwt_keys_parse(struct bytes text, struct jwt_keys *out, bool *secret, struct err *e)
{
    *secret = false;
    out->count = 0;
    bool good = text.len <= JWT_KEYS_LIMIT_BYTES || fail(e, 400, "it is too long");
    good = good && text.len && is_pem(text) ? parse_pem(text, out, e)
                                            : good && parse_json(text, out, secret, e);
    ERR_clear_error();
    if (good && !out->count)
        good = fail(e, 400, "there is no key in it for HS256, RS256 or ES256");
    if (!good)
        jwt_keys_clear(out);
    return good;
}

static bool check_owner(const struct stat *st, struct err *e)
{
    if (!S_ISREG(st->st_mode))
        return fail(e, 400, "it is no regular file");
    if (st->st_size > JWT_KEYS_LIMIT_BYTES)
        return fail(e, 400, "it is longer than %d bytes", JWT_KEYS_LIMIT_BYTES);
    if (st->st_uid != 0 && st->st_uid != geteuid())
        return fail(e, 400, "it belongs to another user");
    if (st->st_mode & (S_IWGRP | S_IWOTH))
        return fail(e, 400, "others may write to it; chmod go-w");
    return true;
}

static bool read_open(int fd, struct jwt_keys *out, struct err *e)
{
    struct stat st;
    bool secret = false;
    scoped(buffer) struct buffer text = {0};
    if (fstat(fd, &st) != 0)
        return fail_errno(e, 400, "it cannot be read");
    if (!check_owner(&st, e))
        return false;
    buffer_reserve(&text, (size_t)st.st_size + 1);
    ssize_t got = read(fd, text.data, (size_t)st.st_size);
    if (got < 0)
        return fail_errno(e, 400, "it cannot be read");
    text.len = (size_t)got;
    bool good = jwt_keys_parse(buffer_view(&text), out, &secret, e);
    OPENSSL_cleanse(text.data, text.len);
    if (good && secret && (st.st_mode & (S_IRWXG | S_IRWXO))) {
        jwt_keys_clear(out);
        return fail(e, 400, "there is a secret in it, and others may read it; chmod 600");
    }
    return good;
}

bool jwt_keys_read(const char *path, struct jwt_keys *out, struct err *e)
{
    struct err why = {0};
    out->count = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    bool good = fd >= 0 ? read_open(fd, out, &why) : fail_errno(&why, 400, "it cannot be read");
    if (fd >= 0)
        close(fd);
    return good || fail(e, 400, "jwt-keys: %.150s: %s", path, why.text);
}
