/* Rows of the table templates. */
#include "gateway/store/template_table.h"

#include <stddef.h>

#include "gateway/store/database.h"
#include "gateway/store/schema.h"
#include "protocol/memory.h"

enum { ID, OWNER, NAME, CREATED, CHANGED, SPEC, ONCE, SEED, FILES, TEXTS };

struct change {
    struct store_job job;
    char *text[TEXTS]; /* only ID: to be removed */
    bool shared;
    void (*done)(void *user, const struct err *e);
    void *user;
};

static void run_change(struct store_job *job, struct database *db)
{
    struct change *change = (struct change *)job;
    bool put = change->text[NAME] != NULL;
    sqlite3_stmt *statement = database_statement(
        db, put ? "INSERT INTO templates (id, owner, name, created, changed, spec, once, seed,"
                  " files, shared)"
                  " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, COALESCE(?9, '[]'), ?10)"
                  " ON CONFLICT (id) DO UPDATE SET name = ?3, changed = ?5, spec = ?6,"
                  " seed = ?8, files = COALESCE(?9, files), shared = ?10"
                : "DELETE FROM templates WHERE id = ?1");
    for (int i = 0; i < (put ? TEXTS : 1); i++)
        database_bind_text(statement, i + 1, change->text[i]);
    if (put)
        sqlite3_bind_int(statement, TEXTS + 1, change->shared);
    database_run(db, statement, &job->error);
}

static void done_change(struct store_job *job)
{
    struct change *change = (struct change *)job;
    change->done(change->user, job->error.status ? &job->error : NULL);
    for (int i = 0; i < TEXTS; i++)
        free(change->text[i]);
    free(change);
}

static void submit(struct store *s, const char *const text[TEXTS], bool shared,
                   void (*done)(void *user, const struct err *e), void *user)
{
    struct change *change = xcalloc(1, sizeof(*change));
    change->job.run = run_change;
    change->job.done = done_change;
    change->shared = shared;
    change->done = done;
    change->user = user;
    for (int i = 0; i < TEXTS; i++)
        change->text[i] = text[i] ? xstrdup(text[i]) : NULL;
    store_submit(s, &change->job);
}

void template_table_put(struct store *s, const struct template_row *row,
                        void (*done)(void *user, const struct err *e), void *user)
{
    const char *const text[TEXTS] = {row->id,   row->owner, row->name, row->created, row->changed,
                                     row->spec, row->once,  row->seed, row->files};
    submit(s, text, row->shared, done, user);
}

void template_table_remove(struct store *s, const char *id,
                           void (*done)(void *user, const struct err *e), void *user)
{
    const char *const text[TEXTS] = {id};
    submit(s, text, false, done, user);
}

struct reading {
    struct store_job job;
    char *id, *files;
    void (*done)(void *user, const char *files, const struct err *e);
    void *user;
};

static void run_reading(struct store_job *job, struct database *db)
{
    struct reading *reading = (struct reading *)job;
    sqlite3_stmt *statement = database_statement(db, "SELECT files FROM templates WHERE id = ?1");
    database_bind_text(statement, 1, reading->id);
    if (database_row(db, statement, &job->error)) {
        reading->files = database_text(statement, 0);
        sqlite3_reset(statement);
    } else if (!job->error.status) {
        fail(&job->error, 404, "there is no template %s any more", reading->id);
    }
}

static void done_reading(struct store_job *job)
{
    struct reading *reading = (struct reading *)job;
    reading->done(reading->user, job->error.status ? NULL : reading->files,
                  job->error.status ? &job->error : NULL);
    free(reading->id);
    free(reading->files);
    free(reading);
}

void template_table_files(struct store *s, const char *id,
                          void (*done)(void *user, const char *files, const struct err *e),
                          void *user)
{
    struct reading *reading = xcalloc(1, sizeof(*reading));
    reading->job.run = run_reading;
    reading->job.done = done_reading;
    reading->id = xstrdup(id);
    reading->done = done;
    reading->user = user;
    store_submit(s, &reading->job);
}

struct load {
    struct store_job job;
    void (*each)(void *user, const struct template_row *row);
    void *user;
};

static void run_load(struct store_job *job, struct database *db)
{
    struct load *load = (struct load *)job;
    sqlite3_stmt *statement =
        database_statement(db, "SELECT id, owner, name, created, changed, spec, once, seed, shared"
                               " FROM templates ORDER BY rowid");
    while (database_row(db, statement, &job->error)) {
        const char *text[FILES];
        for (int i = 0; i < FILES; i++)
            text[i] = (const char *)sqlite3_column_text(statement, i);
        const struct template_row row = {.id = text[ID],
                                         .owner = text[OWNER],
                                         .name = text[NAME],
                                         .created = text[CREATED],
                                         .changed = text[CHANGED],
                                         .spec = text[SPEC],
                                         .once = text[ONCE],
                                         .seed = text[SEED],
                                         .shared = sqlite3_column_int(statement, FILES) != 0};
        load->each(load->user, &row);
    }
}

bool template_table_load(struct store *s, void (*each)(void *user, const struct template_row *row),
                         void *user, struct err *e)
{
    struct load load = {.job.run = run_load, .each = each, .user = user};
    store_wait(s, &load.job);
    return !load.job.error.status || fail(e, 503, "%s", load.job.error.text);
}

struct renewing {
    struct database *db;
    char *(*renew)(void *user, const char *id, const char *text, struct err *e);
    void *user;
    int64_t count;
};

/* A step of it is one row behind the last: what is changed is not read again. */
static bool renew_next(struct renewing *r, int64_t *at, struct err *e)
{
    sqlite3_stmt *statement = database_statement(
        r->db, "SELECT rowid, id, spec, files FROM templates WHERE rowid > ?1 ORDER BY rowid"
               " LIMIT 1");
    sqlite3_bind_int64(statement, 1, *at);
    if (!database_row(r->db, statement, e))
        return false;
    *at = sqlite3_column_int64(statement, 0);
    scoped(string) char *id = database_text(statement, 1), *spec = database_text(statement, 2),
                        *files = database_text(statement, 3);
    sqlite3_reset(statement);
    scoped(string) char *new_spec = r->renew(r->user, id, spec, e);
    scoped(string) char *new_files = e->status ? NULL : r->renew(r->user, id, files, e);
    if (e->status || (!new_spec && !new_files))
        return !e->status;
    statement = database_statement(r->db, "UPDATE templates SET spec = COALESCE(?2, spec),"
                                          " files = COALESCE(?3, files) WHERE id = ?1");
    database_bind_text(statement, 1, id);
    database_bind_text(statement, 2, new_spec);
    database_bind_text(statement, 3, new_files);
    r->count++;
    return database_run(r->db, statement, e);
}

bool template_table_renew(const char *state_dir,
                          char *(*renew)(void *user, const char *id, const char *text,
                                         struct err *e),
                          void *user, int64_t *count, struct err *e)
{
    struct err why = {0};
    int64_t at = 0;
    scoped(string) char *path = xasprintf("%s/warmcell.db", state_dir);
    struct renewing r = {.db = database_open(path, true, e), .renew = renew, .user = user};
    if (!r.db)
        return false;
    if (schema_migrate(r.db, &why) && database_exec(r.db, "BEGIN IMMEDIATE", &why)) {
        while (renew_next(&r, &at, &why))
            continue;
        database_exec(r.db, why.status ? "ROLLBACK" : "COMMIT", why.status ? NULL : &why);
    }
    database_close(r.db);
    *count = r.count;
    return !why.status || fail(e, 503, "%s", why.text);
}
