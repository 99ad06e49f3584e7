/* Every comparison is of two SHA-256 digests with CRYPTO_memcmp, so neither the length nor a prefix
 * of the token can be timed. Called by exchange.c for each request, after host and origin. */
#include "gateway/net/auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "gateway/net/jwt.h"
#include "protocol/bytes.h"

#define BASIC_LIMIT_BYTES 4096

struct auth {
    bool required;
    unsigned char token_hash[SHA256_DIGEST_LENGTH];
    unsigned char cookie_hash[SHA256_DIGEST_LENGTH];
    char cookie[AUTH_COOKIE_TEXT];
    struct trust trust; /* lookup NULL: nobody else */
    struct jwt *jwt;    /* borrowed; NULL: none is taken */
    struct jwt *own;    /* borrowed: those that we sign; NULL: none */
};

static void hash(const char *text, unsigned char out[SHA256_DIGEST_LENGTH])
{
    SHA256((const unsigned char *)text, strlen(text), out);
}

struct auth *auth_new(const char *token)
{
    static const char purpose[] = "warmcell browser cookie";
    struct auth *a = xcalloc(1, sizeof *a);
    unsigned char mac[SHA256_DIGEST_LENGTH];
    a->required = *token != '\0';
    hash(token, a->token_hash);
    HMAC(EVP_sha256(), token, (int)strlen(token), (const unsigned char *)purpose,
         sizeof purpose - 1, mac, NULL);
    for (size_t i = 0; i < sizeof mac; i++)
        snprintf(a->cookie + 2 * i, 3, "%02x", mac[i]);
    hash(a->cookie, a->cookie_hash);
    return a;
}

void auth_free(struct auth *a)
{
    free(a);
}

static bool is(const char *text, const unsigned char expected[SHA256_DIGEST_LENGTH])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    hash(text, digest);
    return CRYPTO_memcmp(digest, expected, sizeof digest) == 0;
}

/* The text after a scheme name and blanks; NULL: another scheme. */
static const char *after_scheme(const char *header, const char *scheme)
{
    size_t len = strlen(scheme);
    if (strncasecmp(header, scheme, len) != 0 || (header[len] != ' ' && header[len] != '\t'))
        return NULL;
    return header + len + strspn(header + len, " \t");
}

const char *auth_allowance(const struct auth *a, const struct principal *who, struct allowance *out)
{
    return a->trust.allowance ? a->trust.allowance(a->trust.user, who, out) : NULL;
}

void auth_trust(struct auth *a, const struct trust *trust)
{
    a->trust = *trust;
}

void auth_jwt(struct auth *a, struct jwt *jwt)
{
    a->jwt = jwt;
}

void auth_own_jwt(struct auth *a, struct jwt *own)
{
    a->own = own;
}

bool auth_still(const struct auth *a, const struct principal *who)
{
    int64_t now = (int64_t)time(NULL);
    if (who->jwt_key && !(a->jwt && jwt_still(a->jwt, who, now)) &&
        !(a->own && jwt_still(a->own, who, now)))
        return false;
    return !*who->token || (a->trust.still && a->trust.still(a->trust.user, who));
}

static bool token_ok(const struct auth *a, const char *text, struct principal *who)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    hash(text, digest);
    if (CRYPTO_memcmp(digest, a->token_hash, sizeof digest) == 0) {
        *who = principal_owner;
        return true;
    }
    if (a->trust.lookup && a->trust.lookup(a->trust.user, digest, who))
        return true;
    if (!strchr(text, '.'))
        return false;
    struct err why;
    struct principal theirs;
    struct bytes token = bytes_of(text);
    int64_t now = (int64_t)time(NULL);
    bool good = (a->jwt && jwt_check(a->jwt, token, now, &theirs, &why)) ||
                (a->own && jwt_check(a->own, token, now, &theirs, &why) && auth_still(a, &theirs));
    if (good)
        *who = theirs;
    return good;
}

/* Basic: the password counts, whatever the user is called. */
static bool basic_ok(const struct auth *a, const char *encoded, struct principal *who)
{
    unsigned char plain[BASIC_LIMIT_BYTES];
    size_t len = strlen(encoded);
    if (!len || len % 4 || len / 4 * 3 >= sizeof plain)
        return false;
    int got = EVP_DecodeBlock(plain, (const unsigned char *)encoded, (int)len);
    if (got < 0)
        return false;
    plain[got] = '\0'; /* padding decodes to NULs, which end the text as well */
    const char *colon = strchr((const char *)plain, ':');
    bool ok = colon && token_ok(a, colon + 1, who);
    OPENSSL_cleanse(plain, sizeof plain);
    return ok;
}

static bool header_ok(const struct auth *a, const char *header, struct principal *who)
{
    static const char *const schemes[] = {"token", "bearer"};
    for (size_t i = 0; i < countof(schemes); i++) {
        const char *token = after_scheme(header, schemes[i]);
        if (token)
            return token_ok(a, token, who);
    }
    const char *basic = after_scheme(header, "basic");
    return basic && basic_ok(a, basic, who);
}

/* Does the Cookie header hold name=value with the right value? Several may have the name. */
static bool cookie_ok(const struct auth *a, const char *header, const char *name)
{
    size_t name_len = strlen(name);
    while (*header) {
        header += strspn(header, "; \t");
        size_t len = strcspn(header, ";");
        if (len == name_len + AUTH_COOKIE_TEXT && header[name_len] == '=' &&
            memcmp(header, name, name_len) == 0) {
            char value[AUTH_COOKIE_TEXT] = {0};
            memcpy(value, header + name_len + 1, AUTH_COOKIE_TEXT - 1);
            if (is(value, a->cookie_hash))
                return true;
        }
        header += len;
    }
    return false;
}

enum credential auth_check(const struct auth *a, const struct credentials *c, struct principal *who)
{
    if (c->authorization && header_ok(a, c->authorization, who))
        return CREDENTIAL_HEADER;
    if (c->query_token && token_ok(a, c->query_token, who))
        return CREDENTIAL_QUERY;
    bool peer = c->same_uid || !a->required;
    if (!peer && !(c->cookie && c->cookie_counts && cookie_ok(a, c->cookie, c->cookie_name)))
        return CREDENTIAL_NONE;
    *who = principal_owner;
    return peer ? CREDENTIAL_PEER : CREDENTIAL_COOKIE;
}

bool auth_required(const struct auth *a)
{
    return a->required;
}

bool auth_is_token(const struct auth *a, const char *text)
{
    struct principal who;
    return token_ok(a, text, &who);
}

const char *auth_cookie(const struct auth *a)
{
    return a->cookie;
}
