/* Jupyter sessions on disk: what notebook belongs to which kernel. */
#ifndef WARMCELL_GATEWAY_STORE_SESSION_TABLE_H
#define WARMCELL_GATEWAY_STORE_SESSION_TABLE_H

#include "gateway/store/store.h"

/* Written soon; nobody waits for it. */
void session_table_put(struct store *s, const char *id, const char *path, const char *name,
                       const char *type, const char *kernel_id);
void session_table_delete(struct store *s, const char *id);

/* Calls each, in the order of creation, before it returns: only while the gateway starts. */
void session_table_load(struct store *s,
                        void (*each)(void *user, const char *id, const char *path, const char *name,
                                     const char *type, const char *kernel_id),
                        void *user);

#endif
