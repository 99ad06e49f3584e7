/* What rows keep of the Idempotency-Key that they were made with (core/once.h). */
#ifndef WARMCELL_GATEWAY_STORE_ONCE_TABLE_H
#define WARMCELL_GATEWAY_STORE_ONCE_TABLE_H

#include "gateway/store/store.h"

/* Asks renew about each, on the store's thread, while the caller waits: what it gives (NULL: it may
 * stay) takes its place. 503. */
bool once_table_renew(struct store *s, char *(*renew)(void *user, const char *once), void *user,
                      struct err *e);

#endif
