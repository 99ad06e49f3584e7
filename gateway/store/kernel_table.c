/* Rows of the table kernels. */
#include "gateway/store/kernel_table.h"

#include "gateway/store/database.h"
#include "protocol/ids.h"
#include "protocol/memory.h"

struct kernel_row {
    struct store_job job;
    char *id;
    char *name;   /* NULL: it ended */
    char *reason; /* NULL: it started */
    char when[TIME_TEXT];
};

static void run(struct store_job *job, struct database *db)
{
    struct kernel_row *row = (struct kernel_row *)job;
    sqlite3_stmt *statement;
    if (row->name) {
        statement = database_statement(
            db, "INSERT OR REPLACE INTO kernels (id, name, started) VALUES (?1, ?3, ?2)");
        database_bind_text(statement, 3, row->name);
    } else {
        statement = database_statement(db, "UPDATE kernels SET ended = ?2, reason = ?3"
                                           " WHERE id = ?1 AND ended IS NULL");
        database_bind_text(statement, 3, row->reason);
    }
    database_bind_text(statement, 1, row->id);
    database_bind_text(statement, 2, row->when);
    database_run(db, statement, &job->error);
}

static void done(struct store_job *job)
{
    struct kernel_row *row = (struct kernel_row *)job;
    free(row->id);
    free(row->name);
    free(row->reason);
    free(row);
}

static struct kernel_row *row_new(const char *id)
{
    struct kernel_row *row = xcalloc(1, sizeof(*row));
    row->job.run = run;
    row->job.done = done;
    row->id = xstrdup(id);
    return row;
}

void kernel_table_started(struct store *s, const char *id, const char *name,
                          struct timespec started)
{
    struct kernel_row *row = row_new(id);
    row->name = xstrdup(name);
    time_text(started, row->when);
    store_submit(s, &row->job);
}

void kernel_table_ended(struct store *s, const char *id, const char *reason)
{
    struct kernel_row *row = row_new(id);
    row->reason = xstrdup(reason ? reason : "");
    time_now_text(row->when);
    store_submit(s, &row->job);
}
