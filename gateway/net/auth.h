/* Who is calling: a token, in every form that Jupyter's clients send it, or a peer. */
#ifndef WARMCELL_GATEWAY_NET_AUTH_H
#define WARMCELL_GATEWAY_NET_AUTH_H

#include <stdbool.h>

#include "gateway/net/principal.h"

struct auth;
struct jwt;

#define AUTH_COOKIE_TEXT 65

/* An empty token lets everybody in. The token itself is not kept, only its hash. */
struct auth *auth_new(const char *token);
void auth_free(struct auth *a);

/* What a request showed; all borrowed, NULL: nothing. */
struct credentials {
    const char *authorization; /* "token X", "Bearer X" in any case, or "Basic base64(user:X)" */
    const char *query_token;   /* ?token=X */
    const char *cookie;        /* the Cookie header */
    const char *cookie_name;   /* which of its cookies is ours */
    bool cookie_counts;        /* the request cannot have been made by another site */
    bool same_uid;             /* a Unix peer with the gateway's own uid */
};

enum credential {
    CREDENTIAL_NONE,
    CREDENTIAL_HEADER,
    CREDENTIAL_QUERY,
    CREDENTIAL_COOKIE,
    CREDENTIAL_PEER
};

/* The first credential that is right, and whose it is: header, query, peer, cookie;
 * CREDENTIAL_NONE: none is, and who is untouched. Each is compared by hash, in constant time. A
 * wrong one does no harm beside a right one. */
enum credential auth_check(const struct auth *a, const struct credentials *c,
                           struct principal *who);

/* Further tokens than the gateway's own. Copied. */
void auth_trust(struct auth *a, const struct trust *trust);
/* As trust's; NULL also where nobody is trusted. */
const char *auth_allowance(const struct auth *a, const struct principal *who,
                           struct allowance *out);
/* What looks like a JWT is one of these, wherever a token may stand. Borrowed; NULL: none is. */
void auth_jwt(struct auth *a, struct jwt *jwt);
/* The same of those that we sign ourselves; what a token was asked for with must be good, too.
 * Borrowed; NULL: none is. */
void auth_own_jwt(struct auth *a, struct jwt *own);
bool auth_still(const struct auth *a, const struct principal *who); /* is let in as before */
bool auth_required(const struct auth *a);
bool auth_is_token(const struct auth *a, const char *text); /* that lets somebody in */

/* The cookie that stands for the gateway's own token: derived from it, so that it survives a
 * restart with the same token. */
const char *auth_cookie(const struct auth *a);

#endif
