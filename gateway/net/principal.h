/* Who is calling, and what they may do. Every request has one; what belongs to somebody is looked
 * up with it, so that what is foreign is not found. */
#ifndef WARMCELL_GATEWAY_NET_PRINCIPAL_H
#define WARMCELL_GATEWAY_NET_PRINCIPAL_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/bytes.h"
#include "protocol/ids.h"

#define PRINCIPAL_OWNER "owner" /* who started the gateway */
#define PRINCIPAL_LIMIT 64      /* bytes of a name */
/* What the names of those begin with who said them (--open-tokens), and nobody's whom an identity
 * provider names. */
#define PRINCIPAL_OPEN "open."
#define JTI_LIMIT      64 /* bytes of a JWT's `jti` that are kept; those of a longer one are not */

/* A user sees what belongs to their principal, and only sandboxes. An admin sees everything and may
 * start kernels that are not confined, which is all that the gateway's own user may do. */
enum role { ROLE_USER, ROLE_ADMIN };

/* What a token is good for, as bits. */
enum scope {
    SCOPE_READ = 1,    /* GET */
    SCOPE_WRITE = 2,   /* everything else, and WebSockets */
    SCOPE_TOKENS = 4,  /* /v1/tokens */
    SCOPE_METRICS = 8, /* GET /metrics */
};
#define SCOPES_ALL 15u

struct principal {
    char name[PRINCIPAL_LIMIT + 1];
    char token[UUID_TEXT];   /* id of the token that was shown; "": none that was minted */
    uint64_t jwt_key;        /* number of the key that signed the JWT that was shown; 0: none was */
    char jti[JTI_LIMIT + 1]; /* of that JWT, for the record; "": it says none */
    enum role role;
    unsigned scopes;
    int64_t expires_s; /* since 1970; 0: never */
};

struct allowance;

/* Who is let in besides who has the gateway's own token: all are asked on the loop's thread, lookup
 * and allowance for each request, and so may not take long. */
struct trust {
    bool (*lookup)(void *user, const unsigned char sha256[32], struct principal *out);
    bool (*still)(void *user, const struct principal *who); /* nothing was revoked, or expired */
    /* The quotas of the token that was shown, and the id of that which they are counted for; NULL:
     * it has none of its own. */
    const char *(*allowance)(void *user, const struct principal *who, struct allowance *out);
    void *user;
};

/* The gateway's own token and peers of its own uid. */
extern const struct principal principal_owner;
/* The gateway itself, for what no request asks for: it finds everything. */
extern const struct principal principal_gateway;

/* The gateway's own token, or a peer of its uid: neither a minted one nor a JWT. */
bool principal_is_own(const struct principal *who);
bool principal_is_admin(const struct principal *who);
/* Is what belongs to the principal `owner` there for them at all? */
bool principal_sees(const struct principal *who, const char *owner);
bool principal_is_open(const char *name); /* it begins with PRINCIPAL_OPEN */
/* 1 to PRINCIPAL_LIMIT letters, digits and ._@-, the first a letter or digit. */
bool principal_name_good(const char *name);

/* "user", "admin". */
const char *role_name(enum role role);
bool role_read(const char *text, enum role *out);
/* "read", "write", "tokens", "metrics", in this order. */
const char *scope_name(enum scope scope);
unsigned scope_read(struct bytes name); /* 0: there is none of this name */
/* Of names with blanks between them; those that there are not are passed over. */
unsigned scopes_read(const char *text);

#endif
