/* Rows of the table tokens. Of a secret only its SHA-256 is there, in hexadecimal digits. */
#ifndef WARMCELL_GATEWAY_STORE_TOKEN_TABLE_H
#define WARMCELL_GATEWAY_STORE_TOKEN_TABLE_H

#include "gateway/store/store.h"

/* All borrowed. */
struct token_row {
    const char *id, *name, *sha256, *principal, *role, *scopes;
    const char *created;   /* as time_text */
    const char *minted_by; /* id of a token; NULL: the gateway's own, or a peer */
    const char *once;      /* of its Idempotency-Key, in JSON; NULL: none */
    const char *quotas;    /* of its own, in JSON; NULL: none */
    int64_t expires_s;     /* since 1970; 0: never */
};

/* done is called when the row is in, or e (503) says why not. */
void token_table_add(struct store *s, const struct token_row *row,
                     void (*done)(void *user, const struct err *e), void *user);
/* Likewise; one that was revoked stays so. */
void token_table_revoke(struct store *s, const char *id,
                        void (*done)(void *user, const struct err *e), void *user);
/* Calls each for those that were not revoked, in the order in which they were made, before it
 * returns: only while the gateway starts. Rows that ended long ago are dropped. 503. */
bool token_table_load(struct store *s, void (*each)(void *user, const struct token_row *row),
                      void *user, struct err *e);

#endif
