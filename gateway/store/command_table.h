/* Which commands are settled (workspace_table.h): their rows go with them. */
#ifndef WARMCELL_GATEWAY_STORE_COMMAND_TABLE_H
#define WARMCELL_GATEWAY_STORE_COMMAND_TABLE_H

#include "gateway/store/store.h"

/* Of a sandbox, while the gateway starts; json: as settled_run's. Both are borrowed for the call.
 * 503. */
bool command_table_each(struct store *s, const char *sandbox_id,
                        void (*each)(void *user, const char *id, const char *json), void *user,
                        struct err *e);

/* With what it changed; its artifacts stay. */
void command_table_remove(struct store *s, const char *id);

#endif
