/* Rows of the table executions. */
#include "gateway/store/execution_table.h"

#include <stdio.h>
#include <string.h>

#include "gateway/store/database.h"
#include "gateway/store/execution_row.h"
#include "protocol/memory.h"

#define DROP_EVERY_MOST 625 /* executions: so many may be more than are kept */
#define LARGE_ROW_BYTES (64 * 1024)

static char *copy(const char *text)
{
    return text ? xstrdup(text) : NULL;
}

void execution_row_copy(struct execution_row *out, const struct execution_row *from)
{
    *out = *from;
    out->sandbox_id = copy(from->sandbox_id);
    out->kernel_id = copy(from->kernel_id);
    out->context = copy(from->context);
    out->asked = copy(from->asked);
    out->outcome = copy(from->outcome);
    out->key = copy(from->key);
    out->settled = copy(from->settled);
}

void execution_row_clear(struct execution_row *row)
{
    free(row->sandbox_id);
    free(row->kernel_id);
    free(row->context);
    free(row->asked);
    free(row->outcome);
    free(row->key);
    free(row->settled);
    *row = (struct execution_row){0};
}

void execution_rows_free(struct execution_row *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        execution_row_clear(&list[i]);
    free(list);
}

size_t execution_asked_head(const char *asked, size_t len)
{
    static const char code[] = ",\"code\":";
    size_t part = strlen(code);
    const char *colon = asked + len;
    while ((colon = memrchr(asked, ':', (size_t)(colon - asked))))
        if ((size_t)(colon - asked) >= part && memcmp(colon + 1 - part, code, part) == 0)
            return (size_t)(colon + 1 - part - asked);
    return len ? len - 1 : 0;
}

size_t execution_row_bytes(const struct execution_row *row)
{
    return (row->asked ? strlen(row->asked) : 0) + (row->outcome ? strlen(row->outcome) : 0);
}

static void bind_unless_empty(sqlite3_stmt *statement, int at, const char *text)
{
    database_bind_text(statement, at, text && *text ? text : NULL);
}

#define READ_TEXT(statement, column, out)                                                          \
    do {                                                                                           \
        const char *text_ = (const char *)sqlite3_column_text(statement, column);                  \
        snprintf(out, sizeof(out), "%s", text_ ? text_ : "");                                      \
    } while (0)

/* What is asked but for the code, which may be long, and is "" now. */
static char *asked_without_code(sqlite3_stmt *statement)
{
    const char *asked = (const char *)sqlite3_column_text(statement, 12);
    size_t len = asked ? (size_t)sqlite3_column_bytes(statement, 12) : 0;
    return asked ? xasprintf("%.*s,\"code\":\"\"}", (int)execution_asked_head(asked, len), asked)
                 : NULL;
}

/* The columns as EXECUTION_READ_COLUMNS has them. */
static void read_row(sqlite3_stmt *statement, bool with_code, struct execution_row *row)
{
    *row = (struct execution_row){
        .position = sqlite3_column_int64(statement, 0),
        .sandbox_id = database_text(statement, 2),
        .kernel_id = database_text(statement, 3),
        .context = database_text(statement, 4),
        .first_sequence = (uint64_t)sqlite3_column_int64(statement, 9),
        .last_sequence = (uint64_t)sqlite3_column_int64(statement, 10),
        .events = (uint64_t)sqlite3_column_int64(statement, 11),
        .asked = with_code ? database_text(statement, 12) : asked_without_code(statement),
        .outcome = database_text(statement, 13),
        .key = database_text(statement, 14),
        .settled = database_text(statement, 16),
    };
    READ_TEXT(statement, 1, row->id);
    READ_TEXT(statement, 5, row->status);
    READ_TEXT(statement, 6, row->created);
    READ_TEXT(statement, 7, row->started);
    READ_TEXT(statement, 8, row->ended);
    READ_TEXT(statement, 15, row->body_sha256);
}

void execution_row_read(sqlite3_stmt *statement, struct execution_row *out)
{
    read_row(statement, true, out);
}

struct add {
    struct store_job job;
    struct execution_row row, found;
    bool is_found;
    int64_t keep;
    void (*done)(void *user, const struct execution_row *found, const struct err *e);
    void *user;
};

static bool find_key(struct add *add, struct database *db)
{
    sqlite3_stmt *statement =
        database_statement(db, "SELECT " EXECUTION_READ_COLUMNS " FROM executions"
                               " WHERE sandbox_id = ?1 AND idempotency_key = ?2");
    database_bind_text(statement, 1, add->row.sandbox_id);
    database_bind_text(statement, 2, add->row.key);
    add->is_found = database_row(db, statement, &add->job.error);
    if (add->is_found)
        read_row(statement, true, &add->found);
    sqlite3_reset(statement);
    return add->is_found;
}

static void drop_beyond_count(const char *sandbox_id, int64_t keep, struct database *db,
                              struct err *e)
{
    sqlite3_stmt *statement = database_statement(
        db, "DELETE FROM executions WHERE sandbox_id = ?1 AND ended IS NOT NULL AND position <="
            " (SELECT position FROM executions WHERE sandbox_id = ?1 AND ended IS NOT NULL"
            " ORDER BY position DESC LIMIT 1 OFFSET ?2)");
    database_bind_text(statement, 1, sandbox_id);
    sqlite3_bind_int64(statement, 2, keep);
    database_run(db, statement, e);
}

static void drop_beyond_bytes(const char *sandbox_id, struct database *db, struct err *e)
{
    sqlite3_stmt *statement =
        database_statement(db, "SELECT COALESCE(SUM(bytes), 0) FROM executions"
                               " WHERE sandbox_id = ?1 AND ended IS NOT NULL");
    database_bind_text(statement, 1, sandbox_id);
    bool beyond = database_row(db, statement, e) &&
                  sqlite3_column_int64(statement, 0) > EXECUTIONS_KEPT_BYTES;
    sqlite3_reset(statement);
    if (!beyond)
        return;
    statement = database_statement(
        db, "DELETE FROM executions WHERE sandbox_id = ?1 AND ended IS NOT NULL AND position <="
            " (SELECT MAX(position) FROM"
            " (SELECT position, SUM(bytes) OVER (ORDER BY position DESC) AS newer FROM executions"
            " WHERE sandbox_id = ?1 AND ended IS NOT NULL) WHERE newer > ?2)");
    database_bind_text(statement, 1, sandbox_id);
    sqlite3_bind_int64(statement, 2, EXECUTIONS_KEPT_BYTES);
    database_run(db, statement, e);
}

/* Looking for the oldest that is kept costs a walk over all that are: so not each time. */
static void drop_old(const struct add *add, struct database *db, struct err *e)
{
    int64_t every = add->keep / 16 + 1;
    if (add->keep == 0 || every > DROP_EVERY_MOST)
        every = DROP_EVERY_MOST;
    bool turn = add->row.position % every == 0;
    if (turn && add->keep)
        drop_beyond_count(add->row.sandbox_id, add->keep, db, e);
    if (turn || execution_row_bytes(&add->row) > LARGE_ROW_BYTES)
        drop_beyond_bytes(add->row.sandbox_id, db, e);
}

static void run_add(struct store_job *job, struct database *db)
{
    struct add *add = (struct add *)job;
    const struct execution_row *row = &add->row;
    if (row->key && find_key(add, db))
        return;
    drop_old(add, db, &job->error);
    sqlite3_stmt *statement = database_statement(
        db, "INSERT INTO executions (" EXECUTION_COLUMNS ", bytes) VALUES"
            " (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)");
    sqlite3_bind_int64(statement, 1, row->position);
    database_bind_text(statement, 2, row->id);
    database_bind_text(statement, 3, row->sandbox_id);
    database_bind_text(statement, 4, row->kernel_id);
    database_bind_text(statement, 5, row->context);
    database_bind_text(statement, 6, row->status);
    database_bind_text(statement, 7, row->created);
    bind_unless_empty(statement, 8, row->started);
    bind_unless_empty(statement, 9, row->ended);
    sqlite3_bind_int64(statement, 10, (sqlite3_int64)row->first_sequence);
    sqlite3_bind_int64(statement, 11, (sqlite3_int64)row->last_sequence);
    sqlite3_bind_int64(statement, 12, (sqlite3_int64)row->events);
    database_bind_text(statement, 13, row->asked);
    database_bind_text(statement, 14, row->outcome);
    database_bind_text(statement, 15, row->key);
    bind_unless_empty(statement, 16, row->body_sha256);
    sqlite3_bind_int64(statement, 17, (sqlite3_int64)execution_row_bytes(row));
    database_run(db, statement, &job->error);
}

static void done_add(struct store_job *job)
{
    struct add *add = (struct add *)job;
    bool failed = job->error.status != 0;
    add->done(add->user, add->is_found && !failed ? &add->found : NULL,
              failed ? &job->error : NULL);
    execution_row_clear(&add->row);
    execution_row_clear(&add->found);
    free(add);
}

void execution_table_add(struct store *s, const struct execution_row *row, int64_t keep,
                         void (*done)(void *user, const struct execution_row *found,
                                      const struct err *e),
                         void *user)
{
    struct add *add = xcalloc(1, sizeof(*add));
    add->job.run = run_add;
    add->job.done = done_add;
    execution_row_copy(&add->row, row);
    add->keep = keep;
    add->done = done;
    add->user = user;
    store_submit(s, &add->job);
}

struct end {
    struct store_job job;
    struct execution_row row;
    void (*done)(void *user, const struct err *e);
    void *user;
};

static void run_end(struct store_job *job, struct database *db)
{
    const struct execution_row *row = &((struct end *)job)->row;
    sqlite3_stmt *statement = database_statement(
        db, "UPDATE executions SET status = ?2, started = ?3, ended = ?4, last_sequence = ?5,"
            " events = ?6, outcome = ?7, bytes = bytes + ?8 WHERE id = ?1");
    database_bind_text(statement, 1, row->id);
    database_bind_text(statement, 2, row->status);
    bind_unless_empty(statement, 3, row->started);
    database_bind_text(statement, 4, row->ended);
    sqlite3_bind_int64(statement, 5, (sqlite3_int64)row->last_sequence);
    sqlite3_bind_int64(statement, 6, (sqlite3_int64)row->events);
    database_bind_text(statement, 7, row->outcome);
    sqlite3_bind_int64(statement, 8, (sqlite3_int64)execution_row_bytes(row)); /* of the outcome */
    database_run(db, statement, &job->error);
    if (execution_row_bytes(row) > LARGE_ROW_BYTES && !job->error.status)
        drop_beyond_bytes(row->sandbox_id, db, &job->error);
}

static void done_end(struct store_job *job)
{
    struct end *end = (struct end *)job;
    end->done(end->user, job->error.status ? &job->error : NULL);
    execution_row_clear(&end->row);
    free(end);
}

void execution_table_end(struct store *s, const struct execution_row *row,
                         void (*done)(void *user, const struct err *e), void *user)
{
    struct end *end = xcalloc(1, sizeof(*end));
    end->job.run = run_end;
    end->job.done = done_end;
    end->row = *row;
    end->row.kernel_id = end->row.context = end->row.asked = end->row.key = NULL;
    end->row.settled = NULL;
    end->row.sandbox_id = copy(row->sandbox_id);
    end->row.outcome = copy(row->outcome);
    end->done = done;
    end->user = user;
    store_submit(s, &end->job);
}

struct list {
    struct store_job job;
    char *sandbox_id, *id, *kernel_id, *status;
    int64_t after, limit;
    size_t limit_bytes;
    struct execution_row *found;
    size_t count;
    void (*done)(void *user, const struct execution_row *list, size_t count, const struct err *e);
    void *user;
};

/* limit_bytes: 0: all of all; else without code, and no more behind the first row that is beyond.
 */
static void read_rows(struct database *db, sqlite3_stmt *statement, size_t limit_bytes,
                      struct execution_row **found, size_t *count, struct err *e)
{
    size_t bytes = 0;
    bool beyond = false;
    while (!beyond && database_row(db, statement, e)) {
        *found = xrealloc(*found, (*count + 1) * sizeof(**found));
        read_row(statement, limit_bytes == 0, &(*found)[*count]);
        beyond = limit_bytes && bytes >= limit_bytes;
        bytes += execution_row_bytes(&(*found)[(*count)++]);
    }
    sqlite3_reset(statement);
}

static void run_list(struct store_job *job, struct database *db)
{
    struct list *list = (struct list *)job;
    sqlite3_stmt *statement;
    if (list->id)
        statement = database_statement(db, "SELECT " EXECUTION_READ_COLUMNS
                                           " FROM executions WHERE id = ?2 AND sandbox_id = ?1");
    else
        statement =
            database_statement(db, "SELECT " EXECUTION_READ_COLUMNS
                                   " FROM executions WHERE sandbox_id = ?1 AND position > ?3"
                                   " AND (?4 IS NULL OR kernel_id = ?4)"
                                   " AND (?5 IS NULL OR (status = ?5 AND ended IS NOT NULL))"
                                   " ORDER BY position LIMIT ?6");
    database_bind_text(statement, 1, list->sandbox_id);
    if (list->id) {
        database_bind_text(statement, 2, list->id);
    } else {
        sqlite3_bind_int64(statement, 3, list->after);
        database_bind_text(statement, 4, list->kernel_id);
        database_bind_text(statement, 5, list->status);
        sqlite3_bind_int64(statement, 6, list->limit);
    }
    read_rows(db, statement, list->limit_bytes, &list->found, &list->count, &job->error);
}

static void done_list(struct store_job *job)
{
    struct list *list = (struct list *)job;
    list->done(list->user, list->found, list->count, job->error.status ? &job->error : NULL);
    execution_rows_free(list->found, list->count);
    free(list->sandbox_id);
    free(list->id);
    free(list->kernel_id);
    free(list->status);
    free(list);
}

void execution_table_list(struct store *s, const struct execution_query *query,
                          void (*done)(void *user, const struct execution_row *list, size_t count,
                                       const struct err *e),
                          void *user)
{
    struct list *list = xcalloc(1, sizeof(*list));
    list->job.run = run_list;
    list->job.done = done_list;
    list->sandbox_id = copy(query->sandbox_id);
    list->id = copy(query->id);
    list->kernel_id = copy(query->kernel_id);
    list->status = copy(query->status);
    list->after = query->after;
    list->limit = query->limit;
    list->limit_bytes = query->limit_bytes;
    list->done = done;
    list->user = user;
    store_submit(s, &list->job);
}

struct load {
    struct store_job job;
    struct execution_row *found;
    size_t count;
    int64_t last_position;
};

static void run_load(struct store_job *job, struct database *db)
{
    struct load *load = (struct load *)job;
    sqlite3_stmt *statement =
        database_statement(db, "SELECT COALESCE(MAX(position), 0) FROM executions");
    if (database_row(db, statement, &job->error))
        load->last_position = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    statement = database_statement(db, "SELECT " EXECUTION_READ_COLUMNS
                                       " FROM executions WHERE settled IS NULL ORDER BY position");
    read_rows(db, statement, 0, &load->found, &load->count, &job->error);
}

bool execution_table_load(struct store *s, struct execution_row **list, size_t *count,
                          int64_t *last_position, struct err *e)
{
    struct load load = {.job.run = run_load};
    store_wait(s, &load.job);
    *list = load.found;
    *count = load.count;
    *last_position = load.last_position;
    return load.job.error.status == 0 || fail(e, load.job.error.status, "%s", load.job.error.text);
}

struct removal {
    struct store_job job;
    char *sandbox_id;
};

static void run_remove(struct store_job *job, struct database *db)
{
    sqlite3_stmt *statement =
        database_statement(db, "DELETE FROM executions WHERE sandbox_id = ?1");
    database_bind_text(statement, 1, ((struct removal *)job)->sandbox_id);
    database_run(db, statement, &job->error);
}

static void done_remove(struct store_job *job)
{
    free(((struct removal *)job)->sandbox_id);
    free(job);
}

void execution_table_remove(struct store *s, const char *sandbox_id)
{
    struct removal *removal = xcalloc(1, sizeof(*removal));
    removal->job.run = run_remove;
    removal->job.done = done_remove;
    removal->sandbox_id = xstrdup(sandbox_id);
    store_submit(s, &removal->job);
}
