/* The tokens that this gateway gave out, besides its own. In memory for each request, and in the
 * database for the gateway that comes back. */
#ifndef WARMCELL_GATEWAY_CORE_TOKEN_H
#define WARMCELL_GATEWAY_CORE_TOKEN_H

#include <jansson.h>

#include "gateway/net/allowance.h"
#include "gateway/net/principal.h"
#include "protocol/err.h"

#define TOKENS_LIMIT         10000 /* that are good at one time */
#define TOKENS_USER_LIMIT    100   /* of these a principal's, minted by users */
#define TOKEN_NAME_LIMIT     100   /* bytes */
#define TOKEN_EXPIRES_MOST_S (INT64_C(10) * 366 * 24 * 3600)

struct core;
struct token; /* borrowed, valid until control returns to the loop */
struct tokens;

/* All borrowed; NULL: not said. */
struct token_request {
    const char *name;      /* for people */
    const char *principal; /* whose it will be: the caller's; an admin may name any other */
    const char *role;      /* "user" or "admin"; not said: user */
    json_t *scopes; /* array of names; not said: read and write, as far as the caller has them */
    json_t *quotas; /* of its own: an object, as of allowance_read */
    json_t *once;   /* of its Idempotency-Key (once.h) */
    int64_t expires_in_s; /* 1 to TOKEN_EXPIRES_MOST_S; 0: when the caller's does */
};

/* Makes one. done is called once, at once or later, when it is stored: with its secret, which
 * nobody sees again, so that it is NULL of one that was minted with the same key before; or NULL
 * and why: 400 the request; 403 more than who has, or the most allowed; 409 it is being minted with
 * the same key; 422 the key came with another body; 503. */
void tokens_mint(struct core *c, const struct principal *who, const struct token_request *request,
                 void (*done)(void *user, const struct token *t, const char *secret,
                              const struct err *e),
                 void *user);

/* Of who's principal, and none of a higher role; all for an admin. Those that have expired are not
 * there. */
void tokens_each(struct core *c, const struct principal *who,
                 void (*each)(void *user, const struct token *t), void *user);

/* Neither it nor what was minted with it is good for anything from now on; done when that is
 * stored. 404; 503: it was not stored, and may be asked for again. */
void tokens_revoke(struct core *c, const struct principal *who, const char *id,
                   void (*done)(void *user, const struct err *e), void *user);

/* Who shows the secret with this SHA-256? False: nobody whom we know. For server_trust. */
bool tokens_lookup(void *core, const unsigned char sha256[32], struct principal *out);
/* Is who still what they were when they were let in? Likewise. */
bool tokens_still(void *core, const struct principal *who);

/* The quotas that hold for what is made with the token that who showed, besides their principal's,
 * and the id of the token that they are counted for: that one, or the one of its own that it was
 * minted with, whose they are in common. NULL: none. The id is borrowed until control returns to
 * the loop. */
const char *tokens_account(const struct core *c, const struct principal *who,
                           struct allowance *out);
/* The same, for server_trust. */
const char *tokens_allowance(void *core, const struct principal *who, struct allowance *out);
/* Of the token with this id; false: it has none, or is good for nothing any more. */
bool tokens_allowance_of(const struct core *c, const char *id, struct allowance *out);

/* What JWTs of this gateway's own are signed with: derived from the keys of the vault, the newest
 * first; an array of strings, given. */
json_t *tokens_jwt_secrets(const struct core *c);

const char *token_id(const struct token *t);
const char *token_name(const struct token *t);
const struct principal *token_principal(const struct token *t);
const char *token_created(const struct token *t);
const char *token_minted_by(const struct token *t); /* id of a token; NULL: the gateway's own */
const struct allowance *token_quotas(const struct token *t); /* NULL: none of its own */
json_t *scopes_json(unsigned scopes);                        /* an array of names; given */

struct tokens *tokens_new(struct core *c, struct err *e); /* NULL: 503 */
void tokens_free(struct tokens *all);

#endif
