/* Tokens for tests: signed by HS256 with OpenSSL alone, so that nothing of what is tested makes
 * them. */
#ifndef WARMCELL_TESTS_JWT_MAKE_H
#define WARMCELL_TESTS_JWT_MAKE_H

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/net/jwt.h"

#define JWT_TEST_SECRET "0123456789abcdef0123456789abcdef"
#define JWT_TEST_KEYS                                                                              \
    "{\"keys\": [{\"kty\": \"oct\", \"kid\": \"a\", "                                              \
    "\"k\": \"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}]}"

/* base64url without padding. */
static inline void jwt_test_encode(struct buffer *out, struct bytes part)
{
    scoped(string) char *text = xmalloc(part.len * 4 / 3 + 8);
    int len =
        EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)part.data, (int)part.len);
    for (int i = 0; i < len && text[i] != '='; i++)
        buffer_add(out, text[i] == '+' ? "-" : text[i] == '/' ? "_" : text + i, 1);
}

static inline void jwt_test_sign(struct buffer *out, struct bytes header, struct bytes claims)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    jwt_test_encode(out, header);
    buffer_add(out, ".", 1);
    jwt_test_encode(out, claims);
    HMAC(EVP_sha256(), JWT_TEST_SECRET, (int)strlen(JWT_TEST_SECRET),
         (const unsigned char *)out->data, out->len, mac, &len);
    buffer_add(out, ".", 1);
    jwt_test_encode(out, (struct bytes){(char *)mac, len});
}

/* A file with text that only this user may read; given, its maker unlinks it. */
static inline char *jwt_test_file(const char *text)
{
    char *path = xstrdup("/tmp/wc-keys-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd) != 0)
        abort();
    return path;
}

#endif
