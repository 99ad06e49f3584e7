/* Rows of the tables workspace_files, file_changes and settled_commands. */
#include "gateway/store/workspace_table.h"

#include <stdio.h>
#include <string.h>

#include "gateway/store/database.h"
#include "protocol/json.h"

/* --- what is handed over */

void workspace_files_free(struct workspace_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        free(files->list[i].path);
    free(files->list);
    *files = (struct workspace_files){0};
}

struct workspace_file *workspace_files_add(struct workspace_files *files, char *path)
{
    if (files->count == files->capacity) {
        files->capacity = files->capacity ? 2 * files->capacity : 16;
        files->list = xrealloc(files->list, files->capacity * sizeof(*files->list));
    }
    struct workspace_file *file = &files->list[files->count++];
    *file = (struct workspace_file){.path = path};
    return file;
}

void workspace_changes_free(struct workspace_change *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(list[i].path);
        free(list[i].problem);
        artifacts_free(list[i].artifact, list[i].artifact ? 1 : 0);
    }
    free(list);
}

void settlement_free(struct settlement *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->run_count; i++) {
        free(s->runs[i].problem);
        free(s->runs[i].json);
    }
    for (size_t i = 0; i < s->seen_count; i++)
        free(s->seen[i].path);
    for (size_t i = 0; i < s->gone_count; i++)
        free(s->gone[i]);
    workspace_changes_free(s->changes, s->change_count);
    free(s->runs);
    free(s->seen);
    free(s->gone);
    free(s->sandbox_id);
    free(s);
}

static void bind_path(sqlite3_stmt *statement, int at, const char *path)
{
    sqlite3_bind_blob(statement, at, path, (int)strlen(path), SQLITE_TRANSIENT);
}

static char *column_path(sqlite3_stmt *statement, int column)
{
    const char *data = sqlite3_column_blob(statement, column);
    return xstrndup(data ? data : "", (size_t)sqlite3_column_bytes(statement, column));
}

static void column_sha256(sqlite3_stmt *statement, int column, char out[BLOB_NAME_TEXT])
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    snprintf(out, BLOB_NAME_TEXT, "%s", text ? text : "");
}

/* --- settling */

struct settle {
    struct store_job job;
    struct settlement *settlement;
    int64_t artifacts_most;
    void (*done)(void *user, struct settlement *settlement, const struct err *e);
    void *user;
};

static void add_artifact(struct settle *settle, struct workspace_change *change,
                         struct database *db)
{
    struct artifact *a = change->artifact;
    bool full = false;
    artifact_insert(db, a, settle->artifacts_most, &full, &settle->job.error);
    if (full) {
        change->problem = xasprintf("there are %lld artifacts, the most that are kept",
                                    (long long)settle->artifacts_most);
        change->sha256[0] = '\0';
    } else {
        snprintf(change->artifact_id, sizeof(change->artifact_id), "%s", a->id);
    }
}

static void add_change(struct settle *settle, struct workspace_change *change, struct database *db)
{
    const struct settlement *s = settle->settlement;
    if (change->artifact)
        add_artifact(settle, change, db);
    sqlite3_stmt *statement = database_statement(
        db, "INSERT INTO file_changes (sandbox_id, run_id, path, what, before_sha256, before_bytes,"
            " sha256, size_bytes, artifact_id, problem, flags)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)");
    database_bind_text(statement, 1, s->sandbox_id);
    database_bind_text(statement, 2, s->runs[change->run].id);
    bind_path(statement, 3, change->path);
    database_bind_text(statement, 4, change->what);
    database_bind_text(statement, 5, change->before_sha256);
    sqlite3_bind_int64(statement, 6, change->before_bytes);
    database_bind_text(statement, 7, change->sha256);
    sqlite3_bind_int64(statement, 8, change->size_bytes);
    database_bind_text(statement, 9, change->artifact_id);
    database_bind_text(statement, 10, change->problem);
    sqlite3_bind_int64(statement, 11, change->flags);
    database_run(db, statement, &settle->job.error);
}

static void add_seen(const char *sandbox_id, const struct workspace_file *file, struct database *db,
                     struct err *e)
{
    const char kind[] = {file->kind, '\0'};
    sqlite3_stmt *statement = database_statement(
        db, "INSERT OR REPLACE INTO workspace_files (sandbox_id, path, kind, inode, size_bytes,"
            " modified_ns, changed_ns, sha256) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
    database_bind_text(statement, 1, sandbox_id);
    bind_path(statement, 2, file->path);
    database_bind_text(statement, 3, kind);
    sqlite3_bind_int64(statement, 4, file->inode);
    sqlite3_bind_int64(statement, 5, file->size_bytes);
    sqlite3_bind_int64(statement, 6, file->modified_ns);
    sqlite3_bind_int64(statement, 7, file->changed_ns);
    database_bind_text(statement, 8, file->sha256);
    database_run(db, statement, e);
}

static void drop_gone(const char *sandbox_id, const char *path, struct database *db, struct err *e)
{
    sqlite3_stmt *statement =
        database_statement(db, "DELETE FROM workspace_files WHERE sandbox_id = ?1 AND path = ?2");
    database_bind_text(statement, 1, sandbox_id);
    bind_path(statement, 2, path);
    database_run(db, statement, e);
}

static int64_t count_artifacts(const struct settled_run *run, struct database *db, struct err *e)
{
    sqlite3_stmt *statement =
        run->is_command
            ? database_statement(db, "SELECT COUNT(*) FROM artifacts WHERE command_id = ?1")
            : database_statement(db, "SELECT COUNT(*) FROM artifacts WHERE execution_id = ?1");
    database_bind_text(statement, 1, run->id);
    int64_t count = database_row(db, statement, e) ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
    return count;
}

/* {"settled": time, "artifacts": n, "files_changed": {"added", "changed", "deleted", "bytes",
 * "not_kept", "passed_over", "problem"}}. bytes: of those that are kept. */
static void describe(const struct settlement *s, size_t index, int64_t artifacts)
{
    struct settled_run *run = &s->runs[index];
    int64_t added = 0, changed = 0, deleted = 0, bytes = 0, not_kept = 0;
    char now[TIME_TEXT];
    scoped(buffer) struct buffer out = {0};
    for (size_t i = 0; i < s->change_count; i++) {
        const struct workspace_change *change = &s->changes[i];
        if (change->run != index)
            continue;
        added += *change->what == 'a';
        changed += *change->what == 'c';
        deleted += *change->what == 'd';
        not_kept += change->problem != NULL;
        bytes += change->artifact_id[0] ? change->size_bytes : 0;
    }
    time_now_text(now);
    buffer_printf(&out,
                  "{\"settled\":\"%s\",\"artifacts\":%lld,\"files_changed\":{\"added\":%lld,"
                  "\"changed\":%lld,\"deleted\":%lld,\"bytes\":%lld,\"not_kept\":%lld,"
                  "\"passed_over\":%lld,\"problem\":",
                  now, (long long)artifacts, (long long)added, (long long)changed,
                  (long long)deleted, (long long)bytes, (long long)not_kept,
                  (long long)run->passed_over);
    if (run->problem)
        json_quote(&out, bytes_of(run->problem));
    else
        buffer_add_text(&out, "null");
    buffer_add_text(&out, "}}");
    free(run->json);
    run->json = xstrdup(buffer_text(&out));
}

static void end_run(const struct settlement *s, const struct settled_run *run, struct database *db,
                    struct err *e)
{
    sqlite3_stmt *statement =
        run->is_command
            ? database_statement(db, "INSERT OR REPLACE INTO settled_commands"
                                     " (id, settled, sandbox_id) VALUES (?1, ?2, ?3)")
            : database_statement(
                  db, "UPDATE executions SET settled = ?2 WHERE id = ?1 AND sandbox_id = ?3");
    database_bind_text(statement, 1, run->id);
    database_bind_text(statement, 2, run->json);
    database_bind_text(statement, 3, s->sandbox_id);
    database_run(db, statement, e);
}

static void run_settle(struct store_job *job, struct database *db)
{
    struct settle *settle = (struct settle *)job;
    struct settlement *s = settle->settlement;
    struct err *e = &job->error;
    for (size_t i = 0; i < s->change_count && !e->status; i++)
        add_change(settle, &s->changes[i], db);
    for (size_t i = 0; i < s->gone_count && !e->status; i++)
        drop_gone(s->sandbox_id, s->gone[i], db, e);
    for (size_t i = 0; i < s->seen_count && !e->status; i++)
        add_seen(s->sandbox_id, &s->seen[i], db, e);
    for (size_t i = 0; i < s->run_count && !e->status; i++) {
        describe(s, i, count_artifacts(&s->runs[i], db, e));
        end_run(s, &s->runs[i], db, e);
    }
}

static void done_settle(struct store_job *job)
{
    struct settle *settle = (struct settle *)job;
    settle->done(settle->user, settle->settlement, job->error.status ? &job->error : NULL);
    free(settle);
}

void workspace_table_settle(struct store *s, struct settlement *settlement, int64_t artifacts_most,
                            void (*done)(void *user, struct settlement *settlement,
                                         const struct err *e),
                            void *user)
{
    struct settle *settle = xcalloc(1, sizeof(*settle));
    settle->job.run = run_settle;
    settle->job.done = done_settle;
    settle->settlement = settlement;
    settle->artifacts_most = artifacts_most;
    settle->done = done;
    settle->user = user;
    store_submit(s, &settle->job);
}

/* --- loading */

struct load {
    struct store_job job;
    char *sandbox_id;
    struct workspace_files files;
    int64_t kept_bytes;
    void (*done)(void *user, struct workspace_files *files, int64_t kept_bytes,
                 const struct err *e);
    void *user;
};

static void run_load(struct store_job *job, struct database *db)
{
    struct load *load = (struct load *)job;
    sqlite3_stmt *statement = database_statement(
        db, "SELECT path, kind, inode, size_bytes, modified_ns, changed_ns, sha256"
            " FROM workspace_files WHERE sandbox_id = ?1 ORDER BY path");
    database_bind_text(statement, 1, load->sandbox_id);
    while (database_row(db, statement, &job->error)) {
        struct workspace_file *file = workspace_files_add(&load->files, column_path(statement, 0));
        const char *kind = (const char *)sqlite3_column_text(statement, 1);
        file->kind = kind ? *kind : 'o';
        file->inode = sqlite3_column_int64(statement, 2);
        file->size_bytes = sqlite3_column_int64(statement, 3);
        file->modified_ns = sqlite3_column_int64(statement, 4);
        file->changed_ns = sqlite3_column_int64(statement, 5);
        column_sha256(statement, 6, file->sha256);
    }
    statement = database_statement(db, "SELECT COALESCE(SUM(size_bytes), 0) FROM artifacts"
                                       " WHERE sandbox_id = ?1 AND kind = 'file'");
    database_bind_text(statement, 1, load->sandbox_id);
    if (!job->error.status && database_row(db, statement, &job->error))
        load->kept_bytes = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
}

static void done_load(struct store_job *job)
{
    struct load *load = (struct load *)job;
    load->done(load->user, &load->files, load->kept_bytes, job->error.status ? &job->error : NULL);
    workspace_files_free(&load->files);
    free(load->sandbox_id);
    free(load);
}

void workspace_table_load(struct store *s, const char *sandbox_id,
                          void (*done)(void *user, struct workspace_files *files,
                                       int64_t kept_bytes, const struct err *e),
                          void *user)
{
    struct load *load = xcalloc(1, sizeof(*load));
    load->job.run = run_load;
    load->job.done = done_load;
    load->sandbox_id = xstrdup(sandbox_id);
    load->done = done;
    load->user = user;
    store_submit(s, &load->job);
}

/* --- the changes of a run */

struct list {
    struct store_job job;
    char *sandbox_id, *run_id;
    int64_t after, limit;
    struct workspace_change *found;
    size_t count;
    void (*done)(void *user, const struct workspace_change *list, size_t count,
                 const struct err *e);
    void *user;
};

static void read_change(sqlite3_stmt *statement, struct workspace_change *out)
{
    static const char *const words[] = {"added", "changed", "deleted"};
    const char *what = (const char *)sqlite3_column_text(statement, 2);
    const char *artifact = (const char *)sqlite3_column_text(statement, 7);
    *out = (struct workspace_change){
        .position = sqlite3_column_int64(statement, 0),
        .path = column_path(statement, 1),
        .what = words[0],
        .before_bytes = sqlite3_column_int64(statement, 4),
        .size_bytes = sqlite3_column_int64(statement, 6),
        .problem = database_text(statement, 8),
        .flags = sqlite3_column_int(statement, 9),
    };
    for (size_t i = 0; what && i < countof(words); i++)
        if (strcmp(words[i], what) == 0)
            out->what = words[i];
    column_sha256(statement, 3, out->before_sha256);
    column_sha256(statement, 5, out->sha256);
    snprintf(out->artifact_id, sizeof(out->artifact_id), "%s", artifact ? artifact : "");
}

static void run_list(struct store_job *job, struct database *db)
{
    struct list *list = (struct list *)job;
    sqlite3_stmt *statement = database_statement(
        db, "SELECT position, path, what, before_sha256, before_bytes, sha256, size_bytes,"
            " artifact_id, problem, flags FROM file_changes"
            " WHERE run_id = ?1 AND sandbox_id = ?2 AND position > ?3 ORDER BY position LIMIT ?4");
    database_bind_text(statement, 1, list->run_id);
    database_bind_text(statement, 2, list->sandbox_id);
    sqlite3_bind_int64(statement, 3, list->after);
    sqlite3_bind_int64(statement, 4, list->limit);
    while (database_row(db, statement, &job->error)) {
        list->found = xrealloc(list->found, (list->count + 1) * sizeof(*list->found));
        read_change(statement, &list->found[list->count++]);
    }
}

static void done_list(struct store_job *job)
{
    struct list *list = (struct list *)job;
    list->done(list->user, list->found, list->count, job->error.status ? &job->error : NULL);
    workspace_changes_free(list->found, list->count);
    free(list->sandbox_id);
    free(list->run_id);
    free(list);
}

void workspace_table_changes(struct store *s, const struct workspace_change_query *query,
                             void (*done)(void *user, const struct workspace_change *list,
                                          size_t count, const struct err *e),
                             void *user)
{
    struct list *list = xcalloc(1, sizeof(*list));
    list->job.run = run_list;
    list->job.done = done_list;
    list->sandbox_id = xstrdup(query->sandbox_id);
    list->run_id = xstrdup(query->run_id);
    list->after = query->after;
    list->limit = query->limit;
    list->done = done;
    list->user = user;
    store_submit(s, &list->job);
}

/* --- removing */

struct removal {
    struct store_job job;
    char *sandbox_id;
};

static void run_remove(struct store_job *job, struct database *db)
{
    const char *sandbox_id = ((struct removal *)job)->sandbox_id;
    sqlite3_stmt *statements[] = {
        database_statement(db, "DELETE FROM workspace_files WHERE sandbox_id = ?1"),
        database_statement(db, "DELETE FROM file_changes WHERE sandbox_id = ?1"),
        database_statement(db, "DELETE FROM settled_commands WHERE sandbox_id = ?1"),
    };
    for (size_t i = 0; i < countof(statements); i++) {
        database_bind_text(statements[i], 1, sandbox_id);
        database_run(db, statements[i], &job->error);
    }
}

static void done_remove(struct store_job *job)
{
    free(((struct removal *)job)->sandbox_id);
    free(job);
}

void workspace_table_remove(struct store *s, const char *sandbox_id)
{
    struct removal *removal = xcalloc(1, sizeof(*removal));
    removal->job.run = run_remove;
    removal->job.done = done_remove;
    removal->sandbox_id = xstrdup(sandbox_id);
    store_submit(s, &removal->job);
}
