/* Called at the start of a gateway, before the rows are used. */
#include "gateway/store/once_table.h"

#include "gateway/store/database.h"
#include "protocol/memory.h"

#define ROWS_EACH 256 /* in one go: a statement that reads is not open while rows change */

static const struct {
    const char *read, *write;
} tables[] = {
    {"SELECT rowid, once FROM templates WHERE once IS NOT NULL AND rowid > ?1 ORDER BY rowid",
     "UPDATE templates SET once = ?1 WHERE rowid = ?2"},
    {"SELECT rowid, once FROM tokens WHERE once IS NOT NULL AND rowid > ?1 ORDER BY rowid",
     "UPDATE tokens SET once = ?1 WHERE rowid = ?2"},
};

struct renewal {
    struct store_job job;
    char *(*renew)(void *user, const char *once);
    void *user;
};

struct row {
    int64_t id;
    char *once; /* owned */
};

/* How many need a new one; up to ROWS_EACH of those behind *after. */
static size_t collect(struct renewal *r, size_t table, int64_t *after, struct row *rows,
                      struct database *db)
{
    size_t count = 0;
    sqlite3_stmt *statement = database_statement(db, tables[table].read);
    sqlite3_bind_int64(statement, 1, *after);
    while (count < ROWS_EACH && database_row(db, statement, &r->job.error)) {
        *after = sqlite3_column_int64(statement, 0);
        char *fresh = r->renew(r->user, (const char *)sqlite3_column_text(statement, 1));
        if (fresh)
            rows[count++] = (struct row){*after, fresh};
    }
    sqlite3_reset(statement);
    return count;
}

static void run_renewal(struct store_job *job, struct database *db)
{
    struct renewal *r = (struct renewal *)job;
    struct row rows[ROWS_EACH];
    for (size_t table = 0; table < sizeof(tables) / sizeof(*tables); table++) {
        int64_t after = 0;
        size_t count;
        while ((count = collect(r, table, &after, rows, db)) > 0) {
            for (size_t i = 0; i < count; i++) {
                sqlite3_stmt *statement = database_statement(db, tables[table].write);
                database_bind_text(statement, 1, rows[i].once);
                sqlite3_bind_int64(statement, 2, rows[i].id);
                if (!job->error.status)
                    database_run(db, statement, &job->error);
                free(rows[i].once);
            }
            if (job->error.status)
                return;
        }
    }
}

bool once_table_renew(struct store *s, char *(*renew)(void *user, const char *once), void *user,
                      struct err *e)
{
    struct renewal r = {.job.run = run_renewal, .renew = renew, .user = user};
    store_wait(s, &r.job);
    return !r.job.error.status || fail(e, 503, "%s", r.job.error.text);
}
