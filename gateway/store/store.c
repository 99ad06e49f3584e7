/* The store's thread and the way to it and back. Jobs go in a list under a mutex; the thread is
 * woken before the loop looks for events again, so that it finds all that one turn has for it.
 * Those that are done come back in another list, announced by an eventfd: who uses a uv_async may
 * have the loop spin for it.
 *
 * Invariant: done is called after the commit that holds the job's changes, in the order of
 * submission. */
#include "gateway/store/store.h"

#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "gateway/log.h"
#include "gateway/store/database.h"
#include "protocol/memory.h"

struct store {
    char *dir;
    struct database *db;
    struct sync *sync;
    uv_thread_t thread;
    uv_mutex_t mutex;
    uv_cond_t work;
    struct store_job *waiting, **waiting_end;
    struct store_job *finished, **finished_end;
    bool ending;
    _Atomic bool failing; /* the last commit did */
    bool untold;          /* the thread was not woken for what waits */
    uv_prepare_t turn;
    int wake_fd;
    uv_poll_t wake;
    void (*closed)(void *user);
    void *closed_user;
};

struct settle {
    struct store_job job;
    void (*done)(void *user, const struct err *e);
    void *user;
};

static void run_settle(struct store_job *job, struct database *db)
{
    (void)job;
    (void)db;
}

static void done_settle(struct store_job *job)
{
    struct settle *settle = (struct settle *)job;
    settle->done(settle->user, job->error.status ? &job->error : NULL);
    free(settle);
}

void store_settle(struct store *s, void (*done)(void *user, const struct err *e), void *user)
{
    if (!sync_is_full(s->sync)) {
        done(user, NULL);
        return;
    }
    struct settle *settle = xcalloc(1, sizeof *settle);
    *settle = (struct settle){{.run = run_settle, .done = done_settle}, done, user};
    store_submit(s, &settle->job);
}

struct probe {
    struct store_job job;
    void (*done)(void *user, const struct err *e);
    void *user;
};

/* The version is written as it is. */
static void run_probe(struct store_job *job, struct database *db)
{
    sqlite3_stmt *statement = database_statement(db, "PRAGMA user_version");
    int version = database_row(db, statement, &job->error) ? sqlite3_column_int(statement, 0) : -1;
    sqlite3_reset(statement);
    scoped(string) char *set = xasprintf("PRAGMA user_version = %d", version);
    if (version >= 0)
        database_exec(db, set, &job->error);
}

static void done_probe(struct store_job *job)
{
    struct probe *probe = (struct probe *)job;
    probe->done(probe->user, job->error.status ? &job->error : NULL);
    free(probe);
}

bool store_failing(const struct store *s)
{
    return s->failing;
}

void store_probe(struct store *s, void (*done)(void *user, const struct err *e), void *user)
{
    struct probe *probe = xcalloc(1, sizeof *probe);
    *probe = (struct probe){{.run = run_probe, .done = done_probe}, done, user};
    store_submit(s, &probe->job);
}

static struct store_job *take_list(struct store_job **list, struct store_job ***end)
{
    struct store_job *jobs = *list;
    *list = NULL;
    *end = list;
    return jobs;
}

/* What the rows name comes to the disk before them. */
static bool commit(struct store *s, struct store_job *jobs, int64_t before, struct err *e)
{
    bool changed = database_changes(s->db) != before;
    bool awaited = changed;
    for (struct store_job *job = jobs; job; job = job->next)
        awaited = awaited || job->run == run_settle;
    if (awaited && sync_is_full(s->sync) && !sync_now(s->sync, e))
        return false;
    if (!database_run(s->db, database_statement(s->db, "COMMIT"), e))
        return false;
    if (changed)
        sync_database(s->sync);
    return true;
}

static void run_jobs(struct store *s, struct store_job *jobs)
{
    struct err e = {0};
    int64_t before = database_changes(s->db);
    bool open = database_run(s->db, database_statement(s->db, "BEGIN IMMEDIATE"), &e);
    for (struct store_job *job = jobs; open && job; job = job->next)
        job->run(job, s->db);
    s->failing = !(open && commit(s, jobs, before, &e));
    if (!s->failing)
        return;
    if (open)
        database_exec(s->db, "ROLLBACK", NULL);
    log_error("the database was not written", F_STR("why", e.text));
    for (struct store_job *job = jobs; job; job = job->next)
        job->error = e;
}

static void run_thread(void *argument)
{
    struct store *s = argument;
    uv_mutex_lock(&s->mutex);
    for (;;) {
        while (!s->waiting && !s->ending)
            uv_cond_wait(&s->work, &s->mutex);
        struct store_job *jobs = take_list(&s->waiting, &s->waiting_end);
        if (!jobs)
            break;
        uv_mutex_unlock(&s->mutex);
        run_jobs(s, jobs);
        uv_mutex_lock(&s->mutex);
        *s->finished_end = jobs;
        while (*s->finished_end)
            s->finished_end = &(*s->finished_end)->next;
        uv_mutex_unlock(&s->mutex);
        eventfd_write(s->wake_fd, 1);
        uv_mutex_lock(&s->mutex);
    }
    uv_mutex_unlock(&s->mutex);
}

static void finish_jobs(struct store *s)
{
    uv_mutex_lock(&s->mutex);
    struct store_job *job = take_list(&s->finished, &s->finished_end);
    uv_mutex_unlock(&s->mutex);
    while (job) {
        struct store_job *next = job->next;
        job->done(job);
        job = next;
    }
}

static void on_wake(uv_poll_t *wake, int status, int events)
{
    struct store *s = wake->data;
    eventfd_t count;
    (void)status, (void)events;
    eventfd_read(s->wake_fd, &count);
    finish_jobs(s);
}

static void on_turn(uv_prepare_t *turn)
{
    struct store *s = turn->data;
    if (s->untold)
        uv_cond_signal(&s->work);
    s->untold = false;
}

/* 503: no descriptor is left. */
static bool open_handles(struct store *s, uv_loop_t *loop, struct err *e)
{
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->wake_fd < 0)
        return fail_errno(e, 503, "the store cannot be heard");
    uv_poll_init(loop, &s->wake, s->wake_fd);
    s->wake.data = s;
    uv_poll_start(&s->wake, UV_READABLE, on_wake);
    uv_unref((uv_handle_t *)&s->wake);
    uv_prepare_init(loop, &s->turn);
    s->turn.data = s;
    uv_prepare_start(&s->turn, on_turn);
    uv_unref((uv_handle_t *)&s->turn);
    return true;
}

struct store *store_open(const char *state_dir, bool full, uv_loop_t *loop, struct err *e)
{
    scoped(string) char *path = xasprintf("%s/warmcell.db", state_dir);
    struct database *db = database_open(path, full, e);
    if (!db)
        return NULL;
    struct store *s = xcalloc(1, sizeof(*s));
    if (!open_handles(s, loop, e)) {
        database_close(db);
        free(s);
        return NULL;
    }
    s->dir = xstrdup(state_dir);
    s->db = db;
    s->sync = sync_new(state_dir, full);
    sync_path(s->sync, state_dir);
    sync_database(s->sync); /* a step of the schema may have been made */
    s->waiting_end = &s->waiting;
    s->finished_end = &s->finished;
    uv_mutex_init(&s->mutex);
    uv_cond_init(&s->work);
    uv_thread_create(&s->thread, run_thread, s);
    return s;
}

const char *store_dir(const struct store *s)
{
    return s->dir;
}

struct sync *store_sync(const struct store *s)
{
    return s->sync;
}

void store_submit(struct store *s, struct store_job *job)
{
    job->next = NULL;
    job->error = (struct err){0};
    uv_mutex_lock(&s->mutex);
    *s->waiting_end = job;
    s->waiting_end = &job->next;
    uv_mutex_unlock(&s->mutex);
    s->untold = true;
}

struct waiter {
    struct store_job job;
    struct store_job *inner;
    uv_sem_t done;
};

static void run_waiter(struct store_job *job, struct database *db)
{
    struct waiter *waiter = (struct waiter *)job;
    waiter->inner->run(waiter->inner, db);
    uv_sem_post(&waiter->done);
}

static void free_waiter(struct store_job *job)
{
    struct waiter *waiter = (struct waiter *)job;
    uv_sem_destroy(&waiter->done);
    free(waiter);
}

void store_wait(struct store *s, struct store_job *inner)
{
    struct waiter *waiter = xcalloc(1, sizeof(*waiter));
    waiter->job.run = run_waiter;
    waiter->job.done = free_waiter;
    waiter->inner = inner;
    uv_sem_init(&waiter->done, 0);
    store_submit(s, &waiter->job);
    on_turn(&s->turn);
    uv_sem_wait(&waiter->done);
}

static void on_closed(uv_handle_t *handle)
{
    struct store *s = handle->data;
    void (*closed)(void *) = s->closed;
    void *user = s->closed_user;
    close(s->wake_fd);
    database_close(s->db);
    sync_close(s->sync);
    uv_cond_destroy(&s->work);
    uv_mutex_destroy(&s->mutex);
    free(s->dir);
    free(s);
    closed(user);
}

static void on_turn_closed(uv_handle_t *handle)
{
    struct store *s = handle->data;
    uv_close((uv_handle_t *)&s->wake, on_closed);
}

void store_close(struct store *s, void (*closed)(void *user), void *user)
{
    uv_mutex_lock(&s->mutex);
    s->ending = true;
    uv_cond_signal(&s->work);
    uv_mutex_unlock(&s->mutex);
    uv_thread_join(&s->thread);
    finish_jobs(s);
    s->closed = closed;
    s->closed_user = user;
    uv_close((uv_handle_t *)&s->turn, on_turn_closed);
}
