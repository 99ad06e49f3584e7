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

#include <jansson.h>

#include "gateway/net/jwt_key.h"
#include "gateway/net/principal.h"
#include "gateway/settings.h"

#define JWT_LIMIT_BYTES 8192 /* of a token, before anything of it is decoded */

struct jwt;

/* settings are borrowed. NULL: 400 names the option; also a file that jwt_keys_read refuses. */
struct jwt *jwt_new(const struct settings_jwt *settings, struct err *e);
/* Those that this gateway signs itself, for issuer (copied): by HS256 with the first of the
 * secrets, an array of strings; each of them is good for what was signed before. They name the
 * principal in `sub`, may give any role and scope, and `by` (an id) is the token that they were
 * asked for with, with which they end (struct principal, `token`). 400. */
struct jwt *jwt_new_own(const char *issuer, json_t *secrets, struct err *e);
void jwt_free(struct jwt *j); /* NULL is legal */

/* Claims as a token of our own, signed; given. j: of jwt_new_own. NULL: 500. */
char *jwt_sign(const struct jwt *j, json_t *claims, struct err *e);

/* Is it a good token now (seconds since 1970)? Then who it names. False with why (500 never), which
 * holds nothing of the token; for tests: a caller is told no more than that the token is not good.
 */
bool jwt_check(struct jwt *j, struct bytes token, int64_t now_s, struct principal *out,
               struct err *why);
/* Is who came with one let in still: it has not expired, and its key is still there? */
bool jwt_still(const struct jwt *j, const struct principal *who, int64_t now_s);

/* Reads the keys again: always, or when the file has changed since. What cannot be read is logged,
 * and the keys stay as they are. */
void jwt_reload(struct jwt *j);
void jwt_refresh(struct jwt *j);

#endif
