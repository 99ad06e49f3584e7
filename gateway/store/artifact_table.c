/* Rows of the table artifacts. */
#include "gateway/store/artifact_table.h"

#include <stdio.h>

#include "gateway/store/database.h"
#include "protocol/memory.h"

static void artifact_clear(struct artifact *a)
{
    free(a->mime_type);
    free(a->kernel_id);
    free(a->principal);
    free(a->execution_id);
    free(a->problem);
}

void artifacts_free(struct artifact *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        artifact_clear(&list[i]);
    free(list);
}

struct add {
    struct store_job job;
    struct artifact *list;
    size_t count;
    int64_t limit;
    bool full;
    void (*done)(void *user, bool full, const struct err *e);
    void *user;
};

static int64_t next_number(struct database *db, const char *kernel_id, struct err *e)
{
    sqlite3_stmt *statement = database_statement(
        db, "SELECT COALESCE(MAX(number), 0) + 1 FROM artifacts WHERE kernel_id = ?1");
    database_bind_text(statement, 1, kernel_id);
    int64_t number = database_row(db, statement, e) ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
    return number;
}

static void insert(struct database *db, const struct artifact *a, int64_t number, struct err *e)
{
    sqlite3_stmt *statement = database_statement(
        db, "INSERT OR IGNORE INTO artifacts (id, sha256, mime_type, size_bytes, kernel_id,"
            " execution_id, created, number, problem, sequence, principal)"
            " VALUES (?1, NULLIF(?2, ''), ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)");
    database_bind_text(statement, 1, a->id);
    database_bind_text(statement, 2, a->sha256);
    database_bind_text(statement, 3, a->mime_type);
    sqlite3_bind_int64(statement, 4, a->size_bytes);
    database_bind_text(statement, 5, a->kernel_id);
    database_bind_text(statement, 6, a->execution_id);
    database_bind_text(statement, 7, a->created);
    sqlite3_bind_int64(statement, 8, number);
    database_bind_text(statement, 9, a->problem);
    sqlite3_bind_int64(statement, 10, (int64_t)a->sequence);
    database_bind_text(statement, 11, a->principal);
    database_run(db, statement, e);
}

static void run_add(struct store_job *job, struct database *db)
{
    struct add *add = (struct add *)job;
    for (size_t i = 0; i < add->count && job->error.status == 0; i++) {
        struct artifact *a = &add->list[i];
        int64_t number = next_number(db, a->kernel_id, &job->error);
        if (number > add->limit) {
            add->full = true;
            if (number > add->limit + 1)
                continue;
            a->sha256[0] = '\0';
            free(a->problem);
            a->problem = xasprintf("this kernel has %lld artifacts, the most that are kept; this "
                                   "and later ones are not",
                                   (long long)add->limit);
        }
        insert(db, a, number, &job->error);
    }
}

static void done_add(struct store_job *job)
{
    struct add *add = (struct add *)job;
    add->done(add->user, add->full, job->error.status ? &job->error : NULL);
    artifacts_free(add->list, add->count);
    free(add);
}

void artifact_table_add(struct store *s, struct artifact *list, size_t count, int64_t limit,
                        void (*done)(void *user, bool full, const struct err *e), void *user)
{
    struct add *add = xcalloc(1, sizeof(*add));
    add->job.run = run_add;
    add->job.done = done_add;
    add->list = list;
    add->count = count;
    add->limit = limit;
    add->done = done;
    add->user = user;
    store_submit(s, &add->job);
}

struct list {
    struct store_job job;
    char *id, *kernel_id, *execution_id, *principal;
    int64_t after, limit;
    struct artifact *found;
    size_t count;
    void (*done)(void *user, const struct artifact *list, size_t count, const struct err *e);
    void *user;
};

static void read_row(sqlite3_stmt *statement, struct artifact *a)
{
    const char *id = (const char *)sqlite3_column_text(statement, 1);
    const char *sha256 = (const char *)sqlite3_column_text(statement, 2);
    const char *created = (const char *)sqlite3_column_text(statement, 7);
    *a = (struct artifact){
        .position = sqlite3_column_int64(statement, 0),
        .mime_type = database_text(statement, 3),
        .size_bytes = sqlite3_column_int64(statement, 4),
        .kernel_id = database_text(statement, 5),
        .execution_id = database_text(statement, 6),
        .number = sqlite3_column_int64(statement, 8),
        .problem = database_text(statement, 9),
    };
    snprintf(a->id, sizeof(a->id), "%s", id);
    snprintf(a->sha256, sizeof(a->sha256), "%s", sha256 ? sha256 : "");
    snprintf(a->created, sizeof(a->created), "%s", created);
}

static void run_list(struct store_job *job, struct database *db)
{
    struct list *list = (struct list *)job;
    sqlite3_stmt *statement = database_statement(
        db, "SELECT position, id, sha256, mime_type, size_bytes, kernel_id, execution_id, created,"
            " number, problem FROM artifacts WHERE position > ?1 AND (?2 IS NULL OR id = ?2 OR "
            "sha256 = ?2)"
            " AND (?3 IS NULL OR kernel_id = ?3) AND (?4 IS NULL OR execution_id = ?4)"
            " AND (?6 IS NULL OR principal = ?6) ORDER BY position LIMIT ?5");
    sqlite3_bind_int64(statement, 1, list->after);
    database_bind_text(statement, 2, list->id);
    database_bind_text(statement, 3, list->kernel_id);
    database_bind_text(statement, 4, list->execution_id);
    sqlite3_bind_int64(statement, 5, list->limit);
    database_bind_text(statement, 6, list->principal);
    while (database_row(db, statement, &job->error)) {
        list->found = xrealloc(list->found, (list->count + 1) * sizeof(*list->found));
        read_row(statement, &list->found[list->count++]);
    }
}

static void done_list(struct store_job *job)
{
    struct list *list = (struct list *)job;
    list->done(list->user, list->found, list->count, job->error.status ? &job->error : NULL);
    artifacts_free(list->found, list->count);
    free(list->id);
    free(list->kernel_id);
    free(list->execution_id);
    free(list->principal);
    free(list);
}

static char *copy(const char *text)
{
    return text ? xstrdup(text) : NULL;
}

void artifact_table_list(struct store *s, const struct artifact_query *query,
                         void (*done)(void *user, const struct artifact *list, size_t count,
                                      const struct err *e),
                         void *user)
{
    struct list *list = xcalloc(1, sizeof(*list));
    list->job.run = run_list;
    list->job.done = done_list;
    list->id = copy(query->id);
    list->kernel_id = copy(query->kernel_id);
    list->execution_id = copy(query->execution_id);
    list->principal = copy(query->principal);
    list->after = query->after;
    list->limit = query->limit;
    list->done = done;
    list->user = user;
    store_submit(s, &list->job);
}
