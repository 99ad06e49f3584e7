/* What a power cut may leave in the database that is not so any more: rows whose bytes are gone.
 * While the gateway starts. */
#ifndef WARMCELL_GATEWAY_STORE_REPAIR_TABLE_H
#define WARMCELL_GATEWAY_STORE_REPAIR_TABLE_H

#include "gateway/store/execution_table.h"

/* Says of each artifact whose blob is missing, or is not as long as it was, that its bytes are
 * lost. *count: how many there are. 503. */
bool repair_table_artifacts(struct store *s, int64_t *count, struct err *e);

/* The executions of a kernel that have not ended, or whose end is behind sequence `last` of its
 * journal, oldest first. *list is given (execution_rows_free). 503. */
bool repair_table_executions(struct store *s, const char *kernel_id, uint64_t last,
                             struct execution_row **list, size_t *count, struct err *e);

#endif
