/* Rows of the table settled_commands, which workspace_table.c writes. */
#include "gateway/store/command_table.h"

#include "gateway/store/database.h"
#include "protocol/memory.h"

struct load {
    struct store_job job;
    const char *sandbox_id;
    char **list; /* owned: id, json, id, json, … */
    size_t count;
};

static void run_load(struct store_job *job, struct database *db)
{
    struct load *load = (struct load *)job;
    sqlite3_stmt *statement =
        database_statement(db, "SELECT id, settled FROM settled_commands WHERE sandbox_id = ?1");
    database_bind_text(statement, 1, load->sandbox_id);
    while (database_row(db, statement, &job->error)) {
        load->list = xrealloc(load->list, (load->count + 2) * sizeof(*load->list));
        load->list[load->count++] = database_text(statement, 0);
        load->list[load->count++] = database_text(statement, 1);
    }
}

bool command_table_each(struct store *s, const char *sandbox_id,
                        void (*each)(void *user, const char *id, const char *json), void *user,
                        struct err *e)
{
    struct load load = {.job.run = run_load, .sandbox_id = sandbox_id};
    store_wait(s, &load.job);
    for (size_t i = 0; i < load.count; i += 2) {
        if (load.list[i] && load.list[i + 1])
            each(user, load.list[i], load.list[i + 1]);
        free(load.list[i]);
        free(load.list[i + 1]);
    }
    free(load.list);
    return !load.job.error.status || fail(e, load.job.error.status, "%s", load.job.error.text);
}

struct removal {
    struct store_job job;
    char *id;
};

static void run_remove(struct store_job *job, struct database *db)
{
    const char *id = ((struct removal *)job)->id;
    sqlite3_stmt *statements[] = {
        database_statement(db, "DELETE FROM settled_commands WHERE id = ?1"),
        database_statement(db, "DELETE FROM file_changes WHERE run_id = ?1"),
    };
    for (size_t i = 0; i < countof(statements); i++) {
        database_bind_text(statements[i], 1, id);
        database_run(db, statements[i], &job->error);
    }
}

static void done_remove(struct store_job *job)
{
    free(((struct removal *)job)->id);
    free(job);
}

void command_table_remove(struct store *s, const char *id)
{
    struct removal *removal = xcalloc(1, sizeof(*removal));
    removal->job.run = run_remove;
    removal->job.done = done_remove;
    removal->id = xstrdup(id);
    store_submit(s, &removal->job);
}
