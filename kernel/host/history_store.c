/* SQLite as IPython uses it. Others have the file open at the same time: every call may wait for a
 * lock. */
#include "kernel/host/history_store.h"

#include <sys/stat.h>

#define BUSY_MS 10000

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS sessions (session integer primary key autoincrement, "
    "start timestamp, end timestamp, num_cmds integer, remark text);"
    "CREATE TABLE IF NOT EXISTS history (session integer, line integer, source text, "
    "source_raw text, PRIMARY KEY (session, line));"
    "CREATE TABLE IF NOT EXISTS output_history (session integer, line integer, output text, "
    "PRIMARY KEY (session, line));";

static bool said_no(sqlite3 *db, struct err *e)
{
    return fail(e, 503, "the history file cannot be used: %s", sqlite3_errmsg(db));
}

static bool run(sqlite3 *db, const char *sql, struct err *e)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK || said_no(db, e);
}

static void make_directories(const char *file)
{
    scoped(string) char *path = xstrdup(file);
    for (char *at = path + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        mkdir(path, 0700);
        *at = '/';
    }
}

sqlite3 *history_store_open(const char *file, bool lasting, struct err *e)
{
    sqlite3 *db = NULL;
    make_directories(file);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(file, &db, flags, NULL) != SQLITE_OK) {
        fail(e, 503, "%s: cannot be opened: %s", file, db ? sqlite3_errmsg(db) : "out of memory");
    } else {
        sqlite3_busy_timeout(db, BUSY_MS);
        if ((lasting || run(db, "PRAGMA synchronous = OFF", e)) && run(db, schema, e))
            return db;
    }
    sqlite3_close(db);
    return NULL;
}

bool history_store_begin(sqlite3 *db, int64_t *session, struct err *e)
{
    /* strftime in local time, as Python's datetime.now() is stored */
    if (!run(db,
             "INSERT INTO sessions VALUES (NULL, strftime('%Y-%m-%d %H:%M:%f', 'now', "
             "'localtime') || '000', NULL, NULL, '')",
             e))
        return false;
    *session = sqlite3_last_insert_rowid(db);
    return true;
}

bool history_store_sessions(sqlite3 *db, struct err *e)
{
    return run(db,
               "INSERT INTO sessions SELECT DISTINCT session, strftime('%Y-%m-%d %H:%M:%f', "
               "'now', 'localtime') || '000', NULL, NULL, '' FROM history WHERE session NOT IN "
               "(SELECT session FROM sessions)",
               e);
}

bool history_store_end(sqlite3 *db, int64_t session, struct err *e)
{
    sqlite3_stmt *s = NULL;
    bool good =
        sqlite3_prepare_v2(db,
                           "UPDATE sessions SET end = strftime('%Y-%m-%d %H:%M:%f', 'now', "
                           "'localtime') || '000', num_cmds = (SELECT count(*) FROM history "
                           "WHERE session = ?1) WHERE session = ?1",
                           -1, &s, NULL) == SQLITE_OK &&
        sqlite3_bind_int64(s, 1, session) == SQLITE_OK && sqlite3_step(s) == SQLITE_DONE;
    if (!good)
        said_no(db, e);
    sqlite3_finalize(s);
    return good;
}

static bool insert(sqlite3_stmt *s, const struct history_row *row)
{
    sqlite3_reset(s);
    sqlite3_bind_int64(s, 1, row->session);
    sqlite3_bind_int64(s, 2, row->line);
    sqlite3_bind_text(s, 3, row->source.data ? row->source.data : "", (int)row->source.len,
                      SQLITE_STATIC);
    sqlite3_bind_text(s, 4, row->source_raw.data ? row->source_raw.data : "",
                      (int)row->source_raw.len, SQLITE_STATIC);
    return sqlite3_step(s) == SQLITE_DONE;
}

bool history_store_rows(sqlite3 *db, const struct history_row *rows, size_t count, struct err *e)
{
    sqlite3_stmt *s = NULL;
    if (!run(db, "BEGIN IMMEDIATE", e))
        return false;
    bool good = sqlite3_prepare_v2(db, "INSERT OR IGNORE INTO history VALUES (?, ?, ?, ?)", -1, &s,
                                   NULL) == SQLITE_OK;
    for (size_t i = 0; good && i < count; i++)
        good = insert(s, &rows[i]);
    if (!good)
        said_no(db, e);
    sqlite3_finalize(s);
    good = good && run(db, "COMMIT", e);
    if (!good)
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return good;
}
