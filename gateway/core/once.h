/* Idempotency-Key: what was made with one is not made again.
 *
 * What a key made carries it, as long as it is there itself: {"key", "by" whom, "hmac": [of the
 * request's body, under each key of the vault]}. So a key lives exactly as long as what it made,
 * and is as durable; and who reads it has no way to try what a secret in the body may have been.
 * Keys of different principals, or of different kinds of things, never meet.
 *
 * Gateways up to 0.1 kept {"key", "by", "sha256"} with a plain digest: those still meet, and are
 * replaced where they are found (once_renewed). */
#ifndef WARMCELL_GATEWAY_CORE_ONCE_H
#define WARMCELL_GATEWAY_CORE_ONCE_H

#include <jansson.h>

#include "protocol/bytes.h"
#include "protocol/err.h"

#define ONCE_KEY_LIMIT 255 /* bytes */

struct core;

/* What a request of principal `by` said, to be kept by what it makes. key NULL: *out is NULL.
 * Given. 400: the key is empty, too long, or not UTF-8. */
bool once_read(const struct core *c, const char *by, const char *key, struct bytes body,
               json_t **out, struct err *e);

/* Are both of the same key of one principal? Either may be NULL: no. */
bool once_meets(json_t *kept, json_t *asked);

/* Of two that meet: the same body, too. 422 names what is there: "sandbox", its id. */
bool once_same(json_t *kept, json_t *asked, const char *what, const char *id, struct err *e);

/* For what keeps the digest of a body beside its key as one text: [that under the newest key of the
 * vault, which is to be kept, those under older ones, and the plain one, as it was kept up to 0.1].
 * Given. */
json_t *once_digests(const struct core *c, struct bytes body);
const char *once_digest(json_t *digests); /* the first; borrowed */
/* Is it one of them? kept NULL: no. */
bool once_has(json_t *digests, const char *kept);

/* One as it was kept, without a plain digest; given. NULL: kept is NULL or no object. */
json_t *once_renewed(const struct core *c, json_t *kept);

/* Replaces plain digests in the database, before anything is read from it. 503. */
bool once_renew_stored(const struct core *c, struct err *e);

#endif
