/* JSON Web Tokens (RFC 7519, as compact JWS, RFC 7515) of an issuer that the operator trusts: who
 * shows one is the principal that it names.
 *
 * Taken is what one of the configured keys signed by the algorithm of that key's type; nothing in a
 * token says which algorithm or key is right. The header has `alg`, and perhaps `kid` and `typ`
 * (JWT or at+jwt); one with `jwk`, `jku`, `x5u`, `x5c`, `crit` or `b64` is refused. The claims must
 * have `exp`, and `iss` and `aud` as configured; `nbf` and `iat` may not lie ahead. The principal
 * is never `owner`. */
#ifndef WARMCELL_GATEWAY_NET_JWT_H
#define WARMCELL_GATEWAY_NET_JWT_H

#include "gateway/net/jwt_key.h"
#include "gateway/net/principal.h"
#include "gateway/settings.h"

#define JWT_LIMIT_BYTES 8192 /* of a token, before anything of it is decoded */

struct jwt;

/* settings are borrowed. NULL: 400 names the option; also a file that jwt_keys_read refuses. */
struct jwt *jwt_new(const struct settings_jwt *settings, struct err *e);
void jwt_free(struct jwt *j); /* NULL is legal */

/* Is it a good token now (seconds since 1970)? Then who it names. False with why (500 never), which
 * holds nothing of the token; for tests: a caller is told no more than that a token is needed. */
bool jwt_check(struct jwt *j, struct bytes token, int64_t now_s, struct principal *out,
               struct err *why);
/* Is who came with one let in still: it has not expired, and its key is still there? */
bool jwt_still(const struct jwt *j, const struct principal *who, int64_t now_s);

/* Reads the keys again: always, or when the file has changed since. What cannot be read is logged,
 * and the keys stay as they are. */
void jwt_reload(struct jwt *j);
void jwt_refresh(struct jwt *j);

#endif
