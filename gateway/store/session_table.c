/* Rows of the table sessions. */
#include "gateway/store/session_table.h"

#include <stddef.h>

#include "gateway/store/database.h"
#include "protocol/memory.h"

enum { ID, PATH, NAME, TYPE, KERNEL_ID, COLUMNS };

struct session_row {
    struct store_job job;
    char *column[COLUMNS]; /* only ID: to be deleted */
};

static void run(struct store_job *job, struct database *db)
{
    struct session_row *row = (struct session_row *)job;
    bool put = row->column[PATH] != NULL;
    sqlite3_stmt *statement = database_statement(
        db, put ? "INSERT INTO sessions (id, path, name, type, kernel_id)"
                  " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO UPDATE SET path = ?2,"
                  " name = ?3, type = ?4, kernel_id = ?5"
                : "DELETE FROM sessions WHERE id = ?1");
    for (int i = 0; i < (put ? COLUMNS : 1); i++)
        database_bind_text(statement, i + 1, row->column[i]);
    database_run(db, statement, &job->error);
}

static void done(struct store_job *job)
{
    struct session_row *row = (struct session_row *)job;
    for (int i = 0; i < COLUMNS; i++)
        free(row->column[i]);
    free(row);
}

static void submit(struct store *s, const char *const column[COLUMNS])
{
    struct session_row *row = xcalloc(1, sizeof(*row));
    row->job.run = run;
    row->job.done = done;
    for (int i = 0; i < COLUMNS; i++)
        row->column[i] = column[i] ? xstrdup(column[i]) : NULL;
    store_submit(s, &row->job);
}

void session_table_put(struct store *s, const char *id, const char *path, const char *name,
                       const char *type, const char *kernel_id)
{
    submit(s, (const char *const[COLUMNS]){id, path, name, type, kernel_id});
}

void session_table_delete(struct store *s, const char *id)
{
    submit(s, (const char *const[COLUMNS]){id});
}

struct load {
    struct store_job job;
    void (*each)(void *user, const char *id, const char *path, const char *name, const char *type,
                 const char *kernel_id);
    void *user;
};

static void run_load(struct store_job *job, struct database *db)
{
    struct load *load = (struct load *)job;
    sqlite3_stmt *statement = database_statement(
        db, "SELECT id, path, name, type, kernel_id FROM sessions ORDER BY rowid");
    while (database_row(db, statement, &job->error)) {
        const char *text[COLUMNS];
        for (int i = 0; i < COLUMNS; i++)
            text[i] = (const char *)sqlite3_column_text(statement, i);
        load->each(load->user, text[ID], text[PATH], text[NAME], text[TYPE], text[KERNEL_ID]);
    }
}

void session_table_load(struct store *s,
                        void (*each)(void *user, const char *id, const char *path, const char *name,
                                     const char *type, const char *kernel_id),
                        void *user)
{
    struct load load = {.job = {.run = run_load}, .each = each, .user = user};
    store_wait(s, &load.job);
}
