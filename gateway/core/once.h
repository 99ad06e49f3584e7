/* Idempotency-Key: what was made with one is not made again.
 *
 * What a key made carries it, as long as it is there itself: {"key", "by" whom, "sha256" of the
 * request's body}. So a key lives exactly as long as what it made, and is as durable. Keys of
 * different principals, or of different kinds of things, never meet. */
#ifndef WARMCELL_GATEWAY_CORE_ONCE_H
#define WARMCELL_GATEWAY_CORE_ONCE_H

#include <jansson.h>

#include "protocol/bytes.h"
#include "protocol/err.h"

#define ONCE_KEY_LIMIT 255 /* bytes */

/* What a request of principal `by` said, to be kept by what it makes. key NULL: *out is NULL.
 * Given. 400: the key is empty, too long, or not UTF-8. */
bool once_read(const char *by, const char *key, struct bytes body, json_t **out, struct err *e);

/* Are both of the same key of one principal? Either may be NULL: no. */
bool once_meets(json_t *kept, json_t *asked);

/* Of two that meet: the same body, too. 422 names what is there: "sandbox", its id. */
bool once_same(json_t *kept, json_t *asked, const char *what, const char *id, struct err *e);

#endif
