/* Rows of the table tokens. */
#include "gateway/store/token_table.h"

#include "gateway/store/database.h"
#include "protocol/ids.h"
#include "protocol/memory.h"

#define KEPT_S (90 * 24 * 3600) /* the record of tokens that were revoked or have expired */

enum { ID, NAME, SHA256, PRINCIPAL, ROLE, SCOPES, CREATED, MINTED_BY, ONCE, QUOTAS, TEXTS };

struct change {
    struct store_job job;
    char *text[TEXTS]; /* only ID: to be revoked */
    int64_t expires_s;
    char when[TIME_TEXT];
    void (*done)(void *user, const struct err *e);
    void *user;
};

static void run_change(struct store_job *job, struct database *db)
{
    struct change *change = (struct change *)job;
    sqlite3_stmt *statement;
    if (change->text[SHA256]) {
        statement = database_statement(
            db, "INSERT INTO tokens (id, name, sha256, principal, role, scopes, created, minted_by,"
                " once, quotas, expires)"
                " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)");
        for (int i = 0; i < TEXTS; i++)
            database_bind_text(statement, i + 1, change->text[i]);
        sqlite3_bind_int64(statement, TEXTS + 1, change->expires_s);
    } else {
        statement = database_statement(
            db, "UPDATE tokens SET revoked = ?2 WHERE id = ?1 AND revoked IS NULL");
        database_bind_text(statement, 1, change->text[ID]);
        database_bind_text(statement, 2, change->when);
    }
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

static struct change *change_new(void (*done)(void *user, const struct err *e), void *user)
{
    struct change *change = xcalloc(1, sizeof(*change));
    change->job.run = run_change;
    change->job.done = done_change;
    change->done = done;
    change->user = user;
    time_now_text(change->when);
    return change;
}

void token_table_add(struct store *s, const struct token_row *row,
                     void (*done)(void *user, const struct err *e), void *user)
{
    struct change *change = change_new(done, user);
    const char *const texts[TEXTS] = {row->id,   row->name,   row->sha256,  row->principal,
                                      row->role, row->scopes, row->created, row->minted_by,
                                      row->once, row->quotas};
    for (int i = 0; i < TEXTS; i++)
        change->text[i] = texts[i] ? xstrdup(texts[i]) : NULL;
    change->expires_s = row->expires_s;
    store_submit(s, &change->job);
}

void token_table_revoke(struct store *s, const char *id,
                        void (*done)(void *user, const struct err *e), void *user)
{
    struct change *change = change_new(done, user);
    change->text[ID] = xstrdup(id);
    store_submit(s, &change->job);
}

struct load {
    struct store_job job;
    void (*each)(void *user, const struct token_row *row);
    void *user;
};

static void drop_old(struct database *db, struct err *e)
{
    char then[TIME_TEXT];
    int64_t then_s = (int64_t)time(NULL) - KEPT_S;
    time_text((struct timespec){.tv_sec = (time_t)then_s}, then);
    sqlite3_stmt *statement = database_statement(
        db, "DELETE FROM tokens WHERE revoked < ?1 OR (expires > 0 AND expires < ?2)");
    database_bind_text(statement, 1, then);
    sqlite3_bind_int64(statement, 2, then_s);
    database_run(db, statement, e);
}

static void run_load(struct store_job *job, struct database *db)
{
    struct load *load = (struct load *)job;
    drop_old(db, &job->error);
    sqlite3_stmt *statement =
        database_statement(db, "SELECT id, name, sha256, principal, role, scopes, created,"
                               " minted_by, once, quotas, expires FROM tokens WHERE revoked IS NULL"
                               " ORDER BY rowid");
    while (!job->error.status && database_row(db, statement, &job->error)) {
        const char *text[TEXTS];
        for (int i = 0; i < TEXTS; i++)
            text[i] = (const char *)sqlite3_column_text(statement, i);
        const struct token_row row = {
            .id = text[ID],
            .name = text[NAME],
            .sha256 = text[SHA256],
            .principal = text[PRINCIPAL],
            .role = text[ROLE],
            .scopes = text[SCOPES],
            .created = text[CREATED],
            .minted_by = text[MINTED_BY],
            .once = text[ONCE],
            .quotas = text[QUOTAS],
            .expires_s = sqlite3_column_int64(statement, TEXTS),
        };
        load->each(load->user, &row);
    }
}

bool token_table_load(struct store *s, void (*each)(void *user, const struct token_row *row),
                      void *user, struct err *e)
{
    struct load load = {.job.run = run_load, .each = each, .user = user};
    store_wait(s, &load.job);
    return !load.job.error.status || fail(e, 503, "%s", load.job.error.text);
}
