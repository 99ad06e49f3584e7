/* Idempotency keys and the digests of what came with them.
 *
 * Invariant: what is kept in memory has "hmac". The digest under a key of the vault is that of the
 * plain digest, so that one that was kept before can be made from that alone. */
#include "gateway/core/once.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "gateway/core/state.h"
#include "gateway/store/once_table.h"
#include "gateway/store/vault.h"
#include "protocol/json.h"
#include "protocol/utf8.h"

#define SHA256_TEXT (2 * SHA256_DIGEST_LENGTH + 1)
#define CONTEXT     "body of a request with an Idempotency-Key"

static json_t *digests(const struct core *c, const char *sha256)
{
    return vault_digests(c->vault, CONTEXT, bytes_of(sha256));
}

static void sha256_hex(struct bytes body, char out[SHA256_TEXT])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)(body.data ? body.data : ""), body.len, digest);
    hex_text(out, digest, sizeof(digest));
}

json_t *once_digests(const struct core *c, struct bytes body)
{
    char sha256[SHA256_TEXT];
    sha256_hex(body, sha256);
    json_t *all = digests(c, sha256);
    json_array_append_new(all, json_string(sha256));
    return all;
}

const char *once_digest(json_t *all)
{
    return json_string_value(json_array_get(all, 0));
}

bool once_has(json_t *all, const char *kept)
{
    json_t *one;
    size_t i;
    json_array_foreach(all, i,
                       one) if (kept && strcmp(json_string_value(one), kept) == 0) return true;
    return false;
}

bool once_read(const struct core *c, const char *by, const char *key, struct bytes body,
               json_t **out, struct err *e)
{
    *out = NULL;
    if (!key)
        return true;
    if (!*key || strlen(key) > ONCE_KEY_LIMIT || !utf8_valid(bytes_of(key)))
        return fail(e, 400, "Idempotency-Key: must be 1 to %d bytes of UTF-8", ONCE_KEY_LIMIT);
    char sha256[SHA256_TEXT];
    sha256_hex(body, sha256);
    *out = json_pack("{s:s, s:s, s:o}", "key", key, "by", by, "hmac", digests(c, sha256));
    return true;
}

bool once_meets(json_t *kept, json_t *asked)
{
    return kept && asked &&
           json_equal(json_object_get(kept, "key"), json_object_get(asked, "key")) &&
           json_equal(json_object_get(kept, "by"), json_object_get(asked, "by"));
}

/* Each was made under the keys of its time. */
static bool have_one_in_common(json_t *some, json_t *others)
{
    json_t *one, *other;
    size_t i, j;
    json_array_foreach(some, i, one)
        json_array_foreach(others, j, other) if (json_equal(one, other)) return true;
    return false;
}

bool once_same(json_t *kept, json_t *asked, const char *what, const char *id, struct err *e)
{
    return have_one_in_common(json_object_get(kept, "hmac"), json_object_get(asked, "hmac")) ||
           fail(e, 422, "Idempotency-Key: %s %s was made with it and another body", what, id);
}

json_t *once_renewed(const struct core *c, json_t *kept)
{
    const char *plain = json_string_value(json_object_get(kept, "sha256"));
    if (!json_is_object(kept))
        return NULL;
    if (!plain)
        return json_incref(kept);
    json_t *fresh = json_copy(kept);
    json_object_set_new(fresh, "hmac", digests(c, plain));
    json_object_del(fresh, "sha256");
    return fresh;
}

static char *renew(void *user, const char *text)
{
    scoped(json) json_t *kept = json_loads(text, 0, NULL);
    scoped(json) json_t *fresh = once_renewed(user, kept);
    return fresh && fresh != kept ? json_dumps(fresh, JSON_COMPACT) : NULL;
}

bool once_renew_stored(const struct core *c, struct err *e)
{
    return once_table_renew(c->store, renew, (void *)(uintptr_t)c, e);
}
