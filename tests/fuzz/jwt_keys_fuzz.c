/* A file of keys: what is taken has keys of known algorithms, and a refusal says nothing of it. */
#include "tests/fuzz/fuzz.h"

#include "gateway/net/jwt_key.h"

bool fuzz_one(struct bytes input)
{
    struct jwt_keys keys;
    struct err e = {0};
    bool secret;
    if (!jwt_keys_parse(input, &keys, &secret, &e)) {
        REQUIRE(keys.count == 0);
        return refused(&e);
    }
    REQUIRE(keys.count >= 1 && keys.count <= JWT_KEYS_LIMIT);
    for (size_t i = 0; i < keys.count; i++)
        REQUIRE(keys.key[i].jwk && keys.key[i].number && strlen(keys.key[i].algorithm) == 5);
    jwt_keys_clear(&keys);
    return true;
}
