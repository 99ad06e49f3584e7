/* One SQLite connection, used by the store's thread alone (and before that thread exists). */
#include "gateway/store/database.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "gateway/store/schema.h"
#include "protocol/memory.h"

#define STATEMENTS_LIMIT 128
#define BUSY_MS          5000
/* A database in mapped memory would be written by the system in any order. A checkpoint holds up
 * who waits for a commit: at 16 MiB of log, four times what is usual. */
#define PRAGMAS "PRAGMA mmap_size=0; PRAGMA foreign_keys=ON; PRAGMA wal_autocheckpoint=4000"

struct database {
    sqlite3 *handle;
    struct {
        const char *sql;
        sqlite3_stmt *statement;
    } kept[STATEMENTS_LIMIT];
    int kept_count;
};

static bool failed(struct database *db, const char *what, struct err *e)
{
    return fail(e, 503, "the database: %s: %s", what, sqlite3_errmsg(db->handle));
}

bool database_exec(struct database *db, const char *sql, struct err *e)
{
    return sqlite3_exec(db->handle, sql, NULL, NULL, NULL) == SQLITE_OK ||
           failed(db, "statement", e);
}

/* SQLite makes files that others may read; this one, and its -wal and -shm that take its mode, may
 * lie in a folder that is open to them. */
static void make_private(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
}

int64_t database_changes(const struct database *db)
{
    return sqlite3_total_changes(db->handle);
}

struct database *database_open(const char *path, bool full, struct err *e)
{
    struct database *db = xcalloc(1, sizeof(*db));
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    make_private(path);
    if (sqlite3_open_v2(path, &db->handle, flags, NULL) != SQLITE_OK) {
        failed(db, path, e);
        database_close(db);
        return NULL;
    }
    sqlite3_busy_timeout(db->handle, BUSY_MS);
    if (!database_exec(db,
                       full ? "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; " PRAGMAS
                            : "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; " PRAGMAS,
                       e) ||
        !schema_migrate(db, e)) {
        database_close(db);
        return NULL;
    }
    return db;
}

static bool copy_all(sqlite3 *from, sqlite3 *to, struct err *e)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    int step = backup ? sqlite3_backup_step(backup, -1) : SQLITE_ERROR;
    if (backup)
        sqlite3_backup_finish(backup);
    return step == SQLITE_DONE ||
           fail(e, 503, "the database cannot be copied: %s", sqlite3_errmsg(to));
}

bool database_copy(const char *state_dir, const char *to, struct err *e)
{
    scoped(string) char *path = xasprintf("%s/warmcell.db", state_dir);
    sqlite3 *source = NULL, *copy = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    make_private(to);
    bool good = sqlite3_open_v2(path, &source, flags, NULL) == SQLITE_OK &&
                sqlite3_open_v2(to, &copy, flags, NULL) == SQLITE_OK;
    if (good)
        sqlite3_busy_timeout(source, BUSY_MS);
    else
        fail(e, 503, "the database cannot be opened to copy it");
    good = good && copy_all(source, copy, e);
    sqlite3_close(source);
    sqlite3_close(copy);
    if (!good)
        unlink(to);
    return good;
}

void database_close(struct database *db)
{
    if (!db)
        return;
    for (int i = 0; i < db->kept_count; i++)
        sqlite3_finalize(db->kept[i].statement);
    sqlite3_close(db->handle);
    free(db);
}

sqlite3_stmt *database_statement(struct database *db, const char *sql)
{
    for (int i = 0; i < db->kept_count; i++)
        if (db->kept[i].sql == sql) {
            sqlite3_reset(db->kept[i].statement);
            sqlite3_clear_bindings(db->kept[i].statement);
            return db->kept[i].statement;
        }
    sqlite3_stmt *statement = NULL;
    if (db->kept_count == STATEMENTS_LIMIT ||
        sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) !=
            SQLITE_OK) {
        fprintf(stderr, "warmcell: bad statement: %s: %s\n", sql, sqlite3_errmsg(db->handle));
        abort();
    }
    db->kept[db->kept_count].sql = sql;
    db->kept[db->kept_count++].statement = statement;
    return statement;
}

void database_bind_text(sqlite3_stmt *statement, int at, const char *text)
{
    sqlite3_bind_text(statement, at, text, -1, SQLITE_TRANSIENT);
}

bool database_run(struct database *db, sqlite3_stmt *statement, struct err *e)
{
    bool done = sqlite3_step(statement) == SQLITE_DONE;
    if (!done)
        failed(db, "writing", e);
    sqlite3_reset(statement);
    return done;
}

bool database_row(struct database *db, sqlite3_stmt *statement, struct err *e)
{
    int step = sqlite3_step(statement);
    if (step == SQLITE_ROW)
        return true;
    if (step != SQLITE_DONE)
        failed(db, "reading", e);
    sqlite3_reset(statement);
    return false;
}

char *database_text(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return text ? xstrdup(text) : NULL;
}
