/* How a row of the table executions is read, for the files of this folder. */
#ifndef WARMCELL_GATEWAY_STORE_EXECUTION_ROW_H
#define WARMCELL_GATEWAY_STORE_EXECUTION_ROW_H

#include "gateway/store/database.h"
#include "gateway/store/execution_table.h"

#define EXECUTION_COLUMNS                                                                          \
    "position, id, sandbox_id, kernel_id, context, status, created, started, ended,"               \
    " first_sequence, last_sequence, events, asked, outcome, idempotency_key, body_sha256"
#define EXECUTION_READ_COLUMNS EXECUTION_COLUMNS ", settled"

/* The columns as EXECUTION_READ_COLUMNS has them; out is owned by the caller (execution_row_clear).
 */
void execution_row_read(sqlite3_stmt *statement, struct execution_row *out);

#endif
