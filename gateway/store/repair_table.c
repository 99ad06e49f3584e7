/* Rows that name what is not there. */
#include "gateway/store/repair_table.h"

#include <sys/stat.h>

#include "gateway/store/blob.h"
#include "gateway/store/execution_row.h"
#include "protocol/memory.h"

struct artifacts {
    struct store_job job;
    const char *state_dir;
    char **lost; /* SHA-256 */
    size_t count;
    int64_t rows;
};

static bool is_whole(const char *state_dir, const char *sha256, int64_t size_bytes)
{
    struct stat st;
    scoped(string) char *path = blob_path(state_dir, sha256);
    return stat(path, &st) == 0 && st.st_size == size_bytes;
}

static void mark_lost(struct artifacts *a, const char *sha256, struct database *db)
{
    sqlite3_stmt *statement = database_statement(
        db, "UPDATE artifacts SET sha256 = NULL, problem = 'its bytes were lost in a power cut'"
            " WHERE sha256 = ?1");
    database_bind_text(statement, 1, sha256);
    int64_t before = database_changes(db);
    database_run(db, statement, &a->job.error);
    a->rows += database_changes(db) - before;
}

static void run_artifacts(struct store_job *job, struct database *db)
{
    struct artifacts *a = (struct artifacts *)job;
    sqlite3_stmt *statement = database_statement(db, "SELECT sha256, MAX(size_bytes) FROM artifacts"
                                                     " WHERE sha256 IS NOT NULL GROUP BY sha256");
    while (database_row(db, statement, &job->error)) {
        const char *sha256 = (const char *)sqlite3_column_text(statement, 0);
        if (is_whole(a->state_dir, sha256, sqlite3_column_int64(statement, 1)))
            continue;
        a->lost = xrealloc(a->lost, (a->count + 1) * sizeof(*a->lost));
        a->lost[a->count++] = xstrdup(sha256);
    }
    for (size_t i = 0; i < a->count; i++) {
        if (!job->error.status)
            mark_lost(a, a->lost[i], db);
        free(a->lost[i]);
    }
    free(a->lost);
}

bool repair_table_artifacts(struct store *s, int64_t *count, struct err *e)
{
    struct artifacts a = {.job.run = run_artifacts, .state_dir = store_dir(s)};
    store_wait(s, &a.job);
    *count = a.rows;
    return !a.job.error.status || fail(e, 503, "%s", a.job.error.text);
}

struct executions {
    struct store_job job;
    const char *kernel_id;
    uint64_t last;
    struct execution_row *found;
    size_t count;
};

static void run_executions(struct store_job *job, struct database *db)
{
    struct executions *x = (struct executions *)job;
    sqlite3_stmt *statement = database_statement(
        db, "SELECT " EXECUTION_READ_COLUMNS " FROM executions WHERE kernel_id = ?1"
            " AND (ended IS NULL OR last_sequence > ?2) ORDER BY position");
    database_bind_text(statement, 1, x->kernel_id);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)x->last);
    while (database_row(db, statement, &job->error)) {
        x->found = xrealloc(x->found, (x->count + 1) * sizeof(*x->found));
        execution_row_read(statement, &x->found[x->count++]);
    }
}

bool repair_table_executions(struct store *s, const char *kernel_id, uint64_t last,
                             struct execution_row **list, size_t *count, struct err *e)
{
    struct executions x = {.job.run = run_executions, .kernel_id = kernel_id, .last = last};
    store_wait(s, &x.job);
    *list = x.found;
    *count = x.count;
    return !x.job.error.status || fail(e, 503, "%s", x.job.error.text);
}
