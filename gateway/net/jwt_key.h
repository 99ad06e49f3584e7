/* The keys that sign JWTs, from a file of the operator's: a JWKS ({"keys": [...]}, RFC 7517), one
 * JWK, or public keys as PEM.
 *
 * A key is for one algorithm alone, by its type: oct HS256, RSA RS256, EC on P-256 ES256. What of a
 * JWKS is of another type, for another algorithm or for another use is passed over. */
#ifndef WARMCELL_GATEWAY_NET_JWT_KEY_H
#define WARMCELL_GATEWAY_NET_JWT_KEY_H

#include <cjose/cjose.h>
#include <stdint.h>

#include "protocol/bytes.h"
#include "protocol/err.h"

#define JWT_KEYS_LIMIT       16
#define JWT_KEYS_LIMIT_BYTES (256 * 1024) /* of the file */
#define JWT_SECRET_BYTES     32           /* an oct key has at least so many */
#define JWT_RSA_BITS         2048         /* an RSA key has at least so many */

struct jwt_key {
    cjose_jwk_t *jwk;      /* owned */
    const char *algorithm; /* "HS256", "RS256" or "ES256" */
    char *id;              /* owned: its kid; NULL: it has none */
    uint64_t number;       /* of its public part or its secret, never 0: the same after a reload */
};

struct jwt_keys {
    struct jwt_key key[JWT_KEYS_LIMIT];
    size_t count;
};

/* Reads the file, which must belong to root or to this user and must not be writable by others, nor
 * readable when there is a secret in it. 400 names the file and what is wrong, and tells nothing of
 * what is in it. *out is empty before and after a failure. */
bool jwt_keys_read(const char *path, struct jwt_keys *out, struct err *e);
/* Of the text of such a file. *secret: there is a secret in it. For tests, too. */
bool jwt_keys_parse(struct bytes text, struct jwt_keys *out, bool *secret, struct err *e);
/* Another one for HS256, of JWT_SECRET_BYTES or more; copied. 400. */
bool jwt_keys_add_secret(struct jwt_keys *keys, struct bytes secret, struct err *e);
void jwt_keys_clear(struct jwt_keys *keys);

#endif
