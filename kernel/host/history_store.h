/* IPython's history file: its tables, its sessions and rows. One connection, used by one thread.
 * Source: IPython core/history.py (schema of 5.x to 9.x). */
#ifndef WARMCELL_KERNEL_HOST_HISTORY_STORE_H
#define WARMCELL_KERNEL_HOST_HISTORY_STORE_H

#include <sqlite3.h>

#include "kernel/host/journal.h"
#include "protocol/err.h"

/* Opens the file, making it, its directory and its tables where they are missing. lasting: what is
 * stored survives the machine; false: this and other processes only. 503 says why it cannot be
 * used. The caller owns it: sqlite3_close. */
sqlite3 *history_store_open(const char *file, bool lasting, struct err *e);

/* A row in sessions; *session is its number. */
bool history_store_begin(sqlite3 *db, int64_t *session, struct err *e);
bool history_store_end(sqlite3 *db, int64_t session,
                       struct err *e); /* its end time and number of lines */

/* Stores rows in one transaction; a row that is there already stays as it is. */
bool history_store_rows(sqlite3 *db, const struct history_row *rows, size_t count, struct err *e);

/* Gives each session that rows speak of its row in sessions: that of a killed host may be missing,
 * and its number must not be given again. Looks at all rows. */
bool history_store_sessions(sqlite3 *db, struct err *e);

#endif
