/* Rows of the table sessions. */
#include "gateway/store/session_table.h"

#include <stddef.h>

#include "gateway/store/database.h"
#include "protocol/memory.h"

enum { ID, PATH, NAME, TYPE, KERNEL_ID, COLUMNS };

struct change {
    struct store_job job;
    char *column[COLUMNS];                         /* only ID: to be deleted */
    void (*done)(void *user, const struct err *e); /* NULL: nobody waits */
    void *user;
};

static void run(struct store_job *job, struct database *db)
{
    struct change *change = (struct change *)job;
    bool put = change->column[PATH] != NULL;
    sqlite3_stmt *statement = database_statement(
        db, put ? "INSERT INTO sessions (id, path, name, type, kernel_id)"
                  " VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO UPDATE SET path = ?2,"
                  " name = ?3, type = ?4, kernel_id = ?5"
                : "DELETE FROM sessions WHERE id = ?1");
    for (int i = 0; i < (put ? COLUMNS : 1); i++)
        database_bind_text(statement, i + 1, change->column[i]);
    database_run(db, statement, &job->error);
}

static void on_run(struct store_job *job)
{
    struct change *change = (struct change *)job;
    if (change->done)
        change->done(change->user, job->error.status ? &job->error : NULL);
    for (int i = 0; i < COLUMNS; i++)
        free(change->column[i]);
    free(change);
}

static struct change *change_new(const char *id)
{
    struct change *change = xcalloc(1, sizeof(*change));
    change->job = (struct store_job){.run = run, .done = on_run};
    change->column[ID] = xstrdup(id);
    return change;
}

void session_table_put(struct store *s, const struct session_row *row,
                       void (*done)(void *user, const struct err *e), void *user)
{
    struct change *change = change_new(row->id);
    change->column[PATH] = xstrdup(row->path);
    change->column[NAME] = xstrdup(row->name);
    change->column[TYPE] = xstrdup(row->type);
    change->column[KERNEL_ID] = xstrdup(row->kernel_id);
    change->done = done;
    change->user = user;
    store_submit(s, &change->job);
}

void session_table_delete(struct store *s, const char *id)
{
    store_submit(s, &change_new(id)->job);
}

struct load {
    struct store_job job;
    void (*each)(void *user, const struct session_row *row);
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
        load->each(load->user, &(struct session_row){text[ID], text[PATH], text[NAME], text[TYPE],
                                                     text[KERNEL_ID]});
    }
}

void session_table_load(struct store *s, void (*each)(void *user, const struct session_row *row),
                        void *user)
{
    struct load load = {.job = {.run = run_load}, .each = each, .user = user};
    store_wait(s, &load.job);
}
