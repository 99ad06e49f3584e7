/* Rows of the table artifacts. */
#include "gateway/store/artifact_table.h"

#include <stdio.h>
#include <string.h>

#include "gateway/store/database.h"
#include "protocol/memory.h"

static void artifact_clear(struct artifact *a)
{
    free(a->mime_type);
    free(a->kernel_id);
    free(a->principal);
    free(a->execution_id);
    free(a->command_id);
    free(a->sandbox_id);
    free(a->path);
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

static int64_t next_number(struct database *db, const struct artifact *a, struct err *e)
{
    sqlite3_stmt *statement =
        database_statement(db, "SELECT COALESCE(MAX(number), 0) + 1 FROM artifacts"
                               " WHERE kernel_id = ?1 AND (?1 <> '' OR sandbox_id = ?2)");
    database_bind_text(statement, 1, a->kernel_id);
    database_bind_text(statement, 2, a->sandbox_id);
    int64_t number = database_row(db, statement, e) ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
    return number;
}

static void bind_size(sqlite3_stmt *statement, int at, int64_t pixels)
{
    if (pixels)
        sqlite3_bind_int64(statement, at, pixels);
    else
        sqlite3_bind_null(statement, at);
}

static void insert(struct database *db, const struct artifact *a, int64_t number, struct err *e)
{
    sqlite3_stmt *statement = database_statement(
        db, "INSERT OR IGNORE INTO artifacts (id, sha256, mime_type, size_bytes, kernel_id,"
            " execution_id, created, number, problem, sequence, principal, kind, sandbox_id,"
            " command_id, path, width, height) VALUES (?1, NULLIF(?2, ''), ?3, ?4, ?5, ?6, ?7, ?8,"
            " ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)");
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
    database_bind_text(statement, 12, a->path ? "file" : "display");
    database_bind_text(statement, 13, a->sandbox_id);
    database_bind_text(statement, 14, a->command_id);
    if (a->path)
        sqlite3_bind_blob(statement, 15, a->path, (int)strlen(a->path), SQLITE_TRANSIENT);
    bind_size(statement, 16, a->width);
    bind_size(statement, 17, a->height);
    database_run(db, statement, e);
}

void artifact_insert(struct database *db, struct artifact *a, int64_t limit, bool *full,
                     struct err *e)
{
    int64_t number = next_number(db, a, e);
    if (number > limit) {
        *full = true;
        if (number > limit + 1)
            return;
        a->sha256[0] = '\0';
        free(a->problem);
        a->problem = xasprintf("this kernel has %lld artifacts, the most that are kept; this "
                               "and later ones are not",
                               (long long)limit);
    }
    insert(db, a, number, e);
}

static void run_add(struct store_job *job, struct database *db)
{
    struct add *add = (struct add *)job;
    for (size_t i = 0; i < add->count && job->error.status == 0; i++)
        artifact_insert(db, &add->list[i], add->limit, &add->full, &job->error);
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
    struct artifact_query query; /* its texts are owned */
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
        .sandbox_id = database_text(statement, 10),
        .command_id = database_text(statement, 11),
        .width = sqlite3_column_int64(statement, 13),
        .height = sqlite3_column_int64(statement, 14),
    };
    if (sqlite3_column_type(statement, 12) != SQLITE_NULL) {
        const char *path = sqlite3_column_blob(statement, 12);
        a->path = xstrndup(path ? path : "", (size_t)sqlite3_column_bytes(statement, 12));
    }
    snprintf(a->id, sizeof(a->id), "%s", id);
    snprintf(a->sha256, sizeof(a->sha256), "%s", sha256 ? sha256 : "");
    snprintf(a->created, sizeof(a->created), "%s", created);
}

/* What is looked up first is written out, so that an index serves it; the rest is sifted. */
#define SELECT(first)                                                                              \
    "SELECT position, id, sha256, mime_type, size_bytes, kernel_id, execution_id, created,"        \
    " number, problem, sandbox_id, command_id, path, width, height FROM artifacts WHERE " first    \
    " AND position > ?1 AND (?3 IS NULL OR kernel_id = ?3) AND (?4 IS NULL OR execution_id = ?4)"  \
    " AND (?6 IS NULL OR principal = ?6) AND (?7 IS NULL OR sandbox_id = ?7)"                      \
    " AND (?8 IS NULL OR command_id = ?8) AND (?9 IS NULL OR kind = ?9)"                           \
    " AND (?10 IS NULL OR mime_type = ?10"                                                         \
    " OR (substr(?10, -1) = '/' AND substr(mime_type, 1, length(?10)) = ?10)"                      \
    " OR substr(mime_type, 1, length(?10) + 1) = ?10 || ';') ORDER BY position LIMIT ?5"

static sqlite3_stmt *statement_of(struct database *db, const struct artifact_query *q)
{
    if (q->id)
        return database_statement(db, SELECT("(id = ?2 OR sha256 = ?2)"));
    if (q->execution_id)
        return database_statement(db, SELECT("execution_id = ?4"));
    if (q->sandbox_id)
        return database_statement(db, SELECT("sandbox_id = ?7"));
    if (q->kernel_id)
        return database_statement(db, SELECT("kernel_id = ?3"));
    return database_statement(db, SELECT("1"));
}

static void run_list(struct store_job *job, struct database *db)
{
    static const char *const kinds[] = {NULL, "display", "file"};
    struct list *list = (struct list *)job;
    const struct artifact_query *q = &list->query;
    sqlite3_stmt *statement = statement_of(db, q);
    sqlite3_bind_int64(statement, 1, q->after);
    if (q->id)
        database_bind_text(statement, 2, q->id);
    database_bind_text(statement, 3, q->kernel_id);
    database_bind_text(statement, 4, q->execution_id);
    sqlite3_bind_int64(statement, 5, q->limit);
    database_bind_text(statement, 6, q->principal);
    database_bind_text(statement, 7, q->sandbox_id);
    database_bind_text(statement, 8, q->command_id);
    database_bind_text(statement, 9, kinds[q->kind]);
    database_bind_text(statement, 10, q->mime_type);
    while (database_row(db, statement, &job->error)) {
        list->found = xrealloc(list->found, (list->count + 1) * sizeof(*list->found));
        read_row(statement, &list->found[list->count++]);
    }
}

/* The texts of a query, to be copied and freed. */
static void texts_of(struct artifact_query *q, const char **texts[7])
{
    const char **all[] = {&q->id,         &q->kernel_id, &q->sandbox_id, &q->execution_id,
                          &q->command_id, &q->mime_type, &q->principal};
    memcpy(texts, all, sizeof(all));
}

static void done_list(struct store_job *job)
{
    struct list *list = (struct list *)job;
    const char **texts[7];
    list->done(list->user, list->found, list->count, job->error.status ? &job->error : NULL);
    artifacts_free(list->found, list->count);
    texts_of(&list->query, texts);
    for (size_t i = 0; i < countof(texts); i++)
        free((char *)*texts[i]);
    free(list);
}

void artifact_table_list(struct store *s, const struct artifact_query *query,
                         void (*done)(void *user, const struct artifact *list, size_t count,
                                      const struct err *e),
                         void *user)
{
    struct list *list = xcalloc(1, sizeof(*list));
    const char **texts[7];
    list->job.run = run_list;
    list->job.done = done_list;
    list->query = *query;
    texts_of(&list->query, texts);
    for (size_t i = 0; i < countof(texts); i++)
        *texts[i] = *texts[i] ? xstrdup(*texts[i]) : NULL;
    list->done = done;
    list->user = user;
    store_submit(s, &list->job);
}

struct artifact_removal {
    struct store_job job;
    char *id, *principal;
    void (*done)(void *user, const struct err *e);
    void *user;
};

static void run_remove(struct store_job *job, struct database *db)
{
    const struct artifact_removal *removal = (struct artifact_removal *)job;
    sqlite3_stmt *statement = database_statement(
        db, "DELETE FROM artifacts WHERE id = ?1 AND (?2 IS NULL OR principal = ?2) RETURNING 1");
    database_bind_text(statement, 1, removal->id);
    database_bind_text(statement, 2, removal->principal);
    bool found = database_row(db, statement, &job->error);
    sqlite3_reset(statement);
    if (!found && !job->error.status)
        fail(&job->error, 404, "there is no artifact %.100s", removal->id);
}

static void done_remove(struct store_job *job)
{
    struct artifact_removal *removal = (struct artifact_removal *)job;
    removal->done(removal->user, job->error.status ? &job->error : NULL);
    free(removal->id);
    free(removal->principal);
    free(removal);
}

void artifact_table_remove(struct store *s, const char *id, const char *principal,
                           void (*done)(void *user, const struct err *e), void *user)
{
    struct artifact_removal *removal = xcalloc(1, sizeof(*removal));
    removal->job.run = run_remove;
    removal->job.done = done_remove;
    removal->id = xstrdup(id);
    removal->principal = principal ? xstrdup(principal) : NULL;
    removal->done = done;
    removal->user = user;
    store_submit(s, &removal->job);
}
