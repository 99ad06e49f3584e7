/* The functions of SQLite that the host calls, for the history. Called by the history's thread
 * alone. */
#include <sqlite3.h>

#include "kernel/host/late.h"

#define CALLS(X)                                                                                   \
    X(int, sqlite3_open_v2, (const char *file, sqlite3 **db, int flags, const char *vfs),          \
      (file, db, flags, vfs))                                                                      \
    X(int, sqlite3_close, (sqlite3 * db), (db))                                                    \
    X(int, sqlite3_busy_timeout, (sqlite3 * db, int ms), (db, ms))                                 \
    X(const char *, sqlite3_errmsg, (sqlite3 * db), (db))                                          \
    X(sqlite3_int64, sqlite3_last_insert_rowid, (sqlite3 * db), (db))                              \
    X(int, sqlite3_exec,                                                                           \
      (sqlite3 * db, const char *sql, int (*on_row)(void *, int, char **, char **), void *data,    \
       char **why),                                                                                \
      (db, sql, on_row, data, why))                                                                \
    X(int, sqlite3_prepare_v2,                                                                     \
      (sqlite3 * db, const char *sql, int bytes, sqlite3_stmt **out, const char **tail),           \
      (db, sql, bytes, out, tail))                                                                 \
    X(int, sqlite3_step, (sqlite3_stmt * s), (s))                                                  \
    X(int, sqlite3_reset, (sqlite3_stmt * s), (s))                                                 \
    X(int, sqlite3_finalize, (sqlite3_stmt * s), (s))                                              \
    X(int, sqlite3_bind_int64, (sqlite3_stmt * s, int at, sqlite3_int64 value), (s, at, value))    \
    X(int, sqlite3_bind_text,                                                                      \
      (sqlite3_stmt * s, int at, const char *text, int bytes, void (*release)(void *)),            \
      (s, at, text, bytes, release))                                                               \
    X(int, sqlite3_column_type, (sqlite3_stmt * s, int at), (s, at))                               \
    X(int, sqlite3_column_bytes, (sqlite3_stmt * s, int at), (s, at))                              \
    X(sqlite3_int64, sqlite3_column_int64, (sqlite3_stmt * s, int at), (s, at))                    \
    X(const unsigned char *, sqlite3_column_text, (sqlite3_stmt * s, int at), (s, at))

LATE_CALLS("libsqlite3.so.0")
