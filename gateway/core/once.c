/* Idempotency keys and the digests of what came with them. */
#include "gateway/core/once.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "protocol/utf8.h"

bool once_read(const char *by, const char *key, struct bytes body, json_t **out, struct err *e)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    char sha256[2 * sizeof(digest) + 1];
    *out = NULL;
    if (!key)
        return true;
    if (!*key || strlen(key) > ONCE_KEY_LIMIT || !utf8_valid(bytes_of(key)))
        return fail(e, 400, "Idempotency-Key: must be 1 to %d bytes of UTF-8", ONCE_KEY_LIMIT);
    SHA256((const unsigned char *)(body.data ? body.data : ""), body.len, digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(sha256 + 2 * i, 3, "%02x", digest[i]);
    *out = json_pack("{s:s, s:s, s:s}", "key", key, "by", by, "sha256", sha256);
    return true;
}

bool once_meets(json_t *kept, json_t *asked)
{
    return kept && asked &&
           json_equal(json_object_get(kept, "key"), json_object_get(asked, "key")) &&
           json_equal(json_object_get(kept, "by"), json_object_get(asked, "by"));
}

bool once_same(json_t *kept, json_t *asked, const char *what, const char *id, struct err *e)
{
    return json_equal(json_object_get(kept, "sha256"), json_object_get(asked, "sha256")) ||
           fail(e, 422, "Idempotency-Key: %s %s was made with it and another body", what, id);
}
