/* Refuses members of a request's body that nobody would read: a slip in a name must not become a
 * wish that was never heard. What there is, is what the route's doc says (net/doc.h). */
#ifndef WARMCELL_GATEWAY_DIALECT_MEMBERS_H
#define WARMCELL_GATEWAY_DIALECT_MEMBERS_H

#include <jansson.h>

#include "gateway/net/doc.h"
#include "protocol/err.h"

/* Looks at the object's members, and at those of objects and lists in it, where their schemas are
 * closed; others hold anything. 400 "expires_s: there is no such member; did you mean
 * expires_in_s?", "items[1]: cod: …", "pool.mix: …"; where nothing comes near, all are listed. */
bool members_check(json_t *object, const struct doc_schema *s, struct err *e);

#endif
