/* Rows first, then the blobs that none names. A dry run does the first in a savepoint that it rolls
 * back.
 *
 * Invariant: a blob goes only when no row names it and nobody has stored those bytes for an hour;
 * who stores them again meanwhile finds them young (blob_drop). */
#include "gateway/store/retention_table.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gateway/store/blob.h"
#include "gateway/store/database.h"
#include "protocol/ids.h"
#include "protocol/memory.h"

#define DAY_S     86400
#define YOUNG_S   3600
#define MOST_DAYS INT64_C(1000000)

struct pass {
    struct store_job job;
    char *state_dir, *sandboxes;
    struct retention rules;
    bool dry_run;
    struct retention_report report;
    void (*done)(void *user, const struct retention_report *report, const struct err *e);
    void *user;
};

/* What a statement that deletes rows did. */
static int64_t count_run(struct database *db, sqlite3_stmt *statement, struct err *e)
{
    int64_t before = database_changes(db);
    return database_run(db, statement, e) ? database_changes(db) - before : 0;
}

/* The text of the time so many days ago. */
static void days_ago(int64_t days, char out[TIME_TEXT])
{
    time_t when = time(NULL) - (time_t)(days < MOST_DAYS ? days : MOST_DAYS) * DAY_S;
    time_text((struct timespec){.tv_sec = when > 0 ? when : 0}, out);
}

static int64_t drop_older(struct database *db, const char *sql, int64_t days, struct err *e)
{
    char then[TIME_TEXT];
    if (!days)
        return 0;
    days_ago(days, then);
    sqlite3_stmt *statement = database_statement(db, sql);
    database_bind_text(statement, 1, then);
    return count_run(db, statement, e);
}

static int64_t drop_orphans(struct pass *p, struct database *db)
{
    if (!p->sandboxes)
        return 0;
    sqlite3_stmt *statement =
        database_statement(db, "DELETE FROM executions WHERE ended IS NOT NULL AND sandbox_id"
                               " NOT IN (SELECT value FROM json_each(?1))");
    database_bind_text(statement, 1, p->sandboxes);
    return count_run(db, statement, &p->job.error);
}

static int64_t drop_beyond(struct pass *p, struct database *db)
{
    int64_t dropped = 0;
    sqlite3_stmt *statement;
    if (p->rules.artifacts_most) {
        statement = database_statement(
            db, "DELETE FROM artifacts WHERE position <= (SELECT position FROM artifacts"
                " ORDER BY position DESC LIMIT 1 OFFSET ?1)");
        sqlite3_bind_int64(statement, 1, p->rules.artifacts_most);
        dropped += count_run(db, statement, &p->job.error);
    }
    if (p->rules.artifacts_bytes) {
        statement = database_statement(
            db, "DELETE FROM artifacts WHERE position <= (SELECT MAX(position) FROM"
                " (SELECT position, SUM(size_bytes) OVER (ORDER BY position DESC) AS newer"
                " FROM artifacts WHERE sha256 IS NOT NULL) WHERE newer > ?1)");
        sqlite3_bind_int64(statement, 1, p->rules.artifacts_bytes);
        dropped += count_run(db, statement, &p->job.error);
    }
    return dropped;
}

static void drop_rows(struct pass *p, struct database *db)
{
    struct err *e = &p->job.error;
    p->report.executions =
        drop_older(db, "DELETE FROM executions WHERE ended < ?1", p->rules.executions_days, e) +
        drop_orphans(p, db);
    p->report.kernels =
        drop_older(db, "DELETE FROM kernels WHERE ended < ?1", p->rules.executions_days, e);
    p->report.artifacts =
        drop_older(db, "DELETE FROM artifacts WHERE created < ?1", p->rules.artifacts_days, e) +
        drop_beyond(p, db);
}

static bool is_named(struct database *db, const char *sha256, struct err *e)
{
    sqlite3_stmt *statement =
        database_statement(db, "SELECT 1 FROM artifacts WHERE sha256 = ?1"
                               " UNION ALL SELECT 1 FROM templates WHERE seed = ?1 LIMIT 1");
    database_bind_text(statement, 1, sha256);
    bool named = database_row(db, statement, e);
    sqlite3_reset(statement);
    return named || e->status; /* what cannot be looked up stays */
}

static void sweep_folder(struct pass *p, struct database *db, const char *first)
{
    scoped(string) char *path = xasprintf("%s/blobs/%s", p->state_dir, first);
    DIR *handle = opendir(path);
    struct dirent *entry;
    while (handle && !p->job.error.status && (entry = readdir(handle))) {
        scoped(string) char *name = xasprintf("%s%s", first, entry->d_name);
        int64_t bytes;
        if (strlen(name) != BLOB_NAME_TEXT - 1 || is_named(db, name, &p->job.error) ||
            !blob_drop(p->state_dir, name, YOUNG_S, p->dry_run, &bytes))
            continue;
        p->report.blobs++;
        p->report.blob_bytes += bytes;
    }
    if (handle)
        closedir(handle);
}

static void run_pass(struct store_job *job, struct database *db)
{
    struct pass *p = (struct pass *)job;
    if (!database_exec(db, "SAVEPOINT retention", &job->error))
        return;
    drop_rows(p, db);
    for (int i = 0; i < 256 && !job->error.status; i++) {
        char first[3];
        snprintf(first, sizeof first, "%02x", i);
        sweep_folder(p, db, first);
    }
    if (p->dry_run || job->error.status)
        database_exec(db, "ROLLBACK TO retention", NULL);
    database_exec(db, "RELEASE retention", NULL);
}

static void done_pass(struct store_job *job)
{
    struct pass *p = (struct pass *)job;
    p->done(p->user, &p->report, job->error.status ? &job->error : NULL);
    free(p->state_dir);
    free(p->sandboxes);
    free(p);
}

void retention_run(struct store *s, const struct retention *rules, const char *sandboxes,
                   bool dry_run,
                   void (*done)(void *user, const struct retention_report *report,
                                const struct err *e),
                   void *user)
{
    struct pass *p = xcalloc(1, sizeof *p);
    p->job.run = run_pass;
    p->job.done = done_pass;
    p->state_dir = xstrdup(store_dir(s));
    p->sandboxes = sandboxes ? xstrdup(sandboxes) : NULL;
    p->rules = *rules;
    p->dry_run = dry_run;
    p->done = done;
    p->user = user;
    store_submit(s, &p->job);
}

static int lock_folder(const char *state_dir, struct err *e)
{
    scoped(string) char *path = xasprintf("%s/state.lock", state_dir);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        fail_errno(e, 503, "%.200s is no state folder", state_dir);
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    fail(e, 409, "a gateway uses %.200s: ask it, without --state-dir", state_dir);
    close(fd);
    return -1;
}

bool retention_run_offline(const char *state_dir, const struct retention *rules, bool dry_run,
                           struct retention_report *report, struct err *e)
{
    struct pass p = {.state_dir = (char *)state_dir, .rules = *rules, .dry_run = dry_run};
    scoped(string) char *path = xasprintf("%s/warmcell.db", state_dir);
    int lock = lock_folder(state_dir, e);
    struct database *db = lock >= 0 ? database_open(path, true, e) : NULL;
    if (db) {
        if (database_exec(db, "BEGIN IMMEDIATE", &p.job.error))
            run_pass(&p.job, db);
        database_exec(db, p.job.error.status ? "ROLLBACK" : "COMMIT", &p.job.error);
        database_close(db);
    }
    if (lock >= 0)
        close(lock);
    *report = p.report;
    if (db && p.job.error.status)
        return fail(e, 503, "%s", p.job.error.text);
    return db != NULL;
}
