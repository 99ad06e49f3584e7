/* Signing. The MAC context is set up once with the secret; for each message it is only reset, which
 * is what makes a signature cost about a microsecond. */
#include "protocol/message.h"

#include <assert.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#define SCHEME_PREFIX     "hmac-"
#define DIGEST_NAME_LIMIT 64

struct key {
    EVP_MAC_CTX *mac; /* owned; NULL: messages are not signed */
};

/* Where Python's hashlib and OpenSSL have different names for a digest ('_' for '-' apart). */
static const struct {
    const char *hashlib, *openssl;
} aliases[] = {{"blake2b", "blake2b512"}, {"blake2s", "blake2s256"}};

/* The name that OpenSSL has for the digest of a scheme; false: there can be none. */
static bool digest_name(const char *scheme, char out[DIGEST_NAME_LIMIT])
{
    size_t prefix = strlen(SCHEME_PREFIX);
    if (strncmp(scheme, SCHEME_PREFIX, prefix) != 0)
        return false;
    const char *name = scheme + prefix;
    for (size_t i = 0; i < countof(aliases); i++)
        if (strcmp(name, aliases[i].hashlib) == 0)
            name = aliases[i].openssl;
    size_t len = strlen(name);
    if (len == 0 || len >= DIGEST_NAME_LIMIT)
        return false;
    for (size_t i = 0; i <= len; i++)
        out[i] = name[i] == '_' ? '-' : name[i];
    return true;
}

/* A context keyed with secret, or NULL when OpenSSL has no such digest. Given to the caller. */
static EVP_MAC_CTX *mac_new(char *digest, struct bytes secret)
{
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *mac = EVP_MAC_CTX_new(hmac);
    EVP_MAC_free(hmac);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    const unsigned char *bytes = (const unsigned char *)(secret.len ? secret.data : "");
    if (mac && EVP_MAC_init(mac, bytes, secret.len, params) &&
        EVP_MAC_CTX_get_mac_size(mac) * 2 < SIGNATURE_TEXT)
        return mac;
    EVP_MAC_CTX_free(mac);
    return NULL;
}

struct key *key_new(const char *scheme, struct bytes secret, struct err *e)
{
    char digest[DIGEST_NAME_LIMIT];
    EVP_MAC_CTX *mac = digest_name(scheme, digest) ? mac_new(digest, secret) : NULL;
    if (!mac) {
        fail(e, 400, "signature_scheme: %s is not known (hmac-sha256 is)", scheme);
        return NULL;
    }
    struct key *key = xcalloc(1, sizeof(*key));
    if (secret.len)
        key->mac = mac;
    else
        EVP_MAC_CTX_free(mac);
    return key;
}

void key_free(struct key *key)
{
    if (!key)
        return;
    EVP_MAC_CTX_free(key->mac);
    free(key);
}

static void update(EVP_MAC_CTX *mac, struct bytes part)
{
    if (part.len && !EVP_MAC_update(mac, (const unsigned char *)part.data, part.len))
        abort();
}

void key_sign(struct key *key, const struct message *m, char out[SIGNATURE_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    out[0] = '\0';
    if (!key->mac)
        return;
    unsigned char digest[SIGNATURE_TEXT / 2];
    size_t len = 0;
    if (!EVP_MAC_init(key->mac, NULL, 0, NULL))
        abort();
    update(key->mac, m->header);
    update(key->mac, m->parent);
    update(key->mac, m->metadata);
    update(key->mac, m->content);
    if (!EVP_MAC_final(key->mac, digest, &len, sizeof(digest)))
        abort();
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[2 * len] = '\0';
}

bool bytes_equal_constant_time(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.data, b.data, a.len) == 0);
}
