/* Who may be given a token by the routes of SDKs that ask for none (POST /api/v1/auth/token,
 * POST /api/auth/register), and as whom.
 *
 * Who is known (a token, a peer of our uid) is given what /v1/tokens would give: for another name
 * only as an admin, and nothing beyond their own rights. Who is not is given one with the option
 * --open-tokens alone, of the role user, as a principal that begins with PRINCIPAL_OPEN: whoever
 * they say they are, they are nobody who has a token by other ways, and see nothing of theirs; and
 * no identity provider's JWT lets anybody in under such a name (net/jwt.c). */
#ifndef WARMCELL_GATEWAY_DIALECT_TOKEN_ASKER_H
#define WARMCELL_GATEWAY_DIALECT_TOKEN_ASKER_H

#include "gateway/core/core.h"
#include "gateway/net/exchange.h"

#define OPEN_USER_MOST (PRINCIPAL_LIMIT - (int)sizeof(PRINCIPAL_OPEN) + 1)

struct token_asker {
    struct principal by;            /* whose rights bound those of the token */
    char name[PRINCIPAL_LIMIT + 1]; /* the principal that it shall be of */
};

/* user_id: what the request says, at most OPEN_USER_MOST bytes of it. 400 it is no name, or the
 * owner's; 401 nobody is known, and tokens are not open; 403 it is another's, or the token may not
 * mint. */
bool token_asker_read(const struct exchange *x, const struct core *c, const char *user_id,
                      struct token_asker *out, struct err *e);

/* The principal's name as the SDKs' users know it: without PRINCIPAL_OPEN. */
const char *token_asker_user(const char *principal);

#endif
