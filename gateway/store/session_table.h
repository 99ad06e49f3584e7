/* Jupyter sessions on disk: what notebook belongs to which kernel. */
#ifndef WARMCELL_GATEWAY_STORE_SESSION_TABLE_H
#define WARMCELL_GATEWAY_STORE_SESSION_TABLE_H

#include "gateway/store/store.h"

/* All borrowed. */
struct session_row {
    const char *id, *path, *name, *type, *kernel_id;
};

/* In the place of the one of the same id. done is called when it is in, or e (503) says why not. */
void session_table_put(struct store *s, const struct session_row *row,
                       void (*done)(void *user, const struct err *e), void *user);
/* Soon; nobody waits for it. */
void session_table_delete(struct store *s, const char *id);

/* Calls each, in the order of creation, before it returns: only while the gateway starts. */
void session_table_load(struct store *s, void (*each)(void *user, const struct session_row *row),
                        void *user);

#endif
