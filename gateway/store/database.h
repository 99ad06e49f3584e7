/* SQLite for the table files: prepared statements that are kept, and binding by position. */
#ifndef WARMCELL_GATEWAY_STORE_DATABASE_H
#define WARMCELL_GATEWAY_STORE_DATABASE_H

#include <sqlite3.h>
#include <stdint.h>

#include "protocol/err.h"

struct database;

/* full: each commit is on the disk when it returns; else it is in the system's memory, and whole
 * whenever it comes to the disk. */
struct database *database_open(const char *path, bool full, struct err *e);
/* Writes the database of a state folder, which may be in use, to a new file. 503; nothing is left
 * then. */
bool database_copy(const char *state_dir, const char *to, struct err *e);
void database_close(struct database *db);
bool database_exec(struct database *db, const char *sql, struct err *e);
/* Counts the rows that were ever changed through db. */
int64_t database_changes(const struct database *db);

/* The statement of sql, which must be a literal: it is prepared once. Reset and without values.
 * Never NULL: a statement that cannot be prepared is a bug in this folder and aborts. */
sqlite3_stmt *database_statement(struct database *db, const char *sql);

/* text NULL binds NULL. text is copied. */
void database_bind_text(sqlite3_stmt *statement, int at, const char *text);

/* Steps a statement that gives no rows, and resets it. 503. */
bool database_run(struct database *db, sqlite3_stmt *statement, struct err *e);

/* True: there is a row. False at the end, or with e filled (status set) on an error; the statement
 * is then reset. */
bool database_row(struct database *db, sqlite3_stmt *statement, struct err *e);

/* The text of a column, given to the caller; NULL for NULL. */
char *database_text(sqlite3_stmt *statement, int column);

#endif
