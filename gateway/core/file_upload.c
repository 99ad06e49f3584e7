/* Files on their way into a workspace: opened, written piece by piece, put in place or dropped.
 *
 * An upload reserves room in its sandbox's quota (quota.h) before the bytes come. The sandbox may
 * end meanwhile; then the next step says 404. While the gateway ends, sandboxes are let go before
 * the last replies are out: an upload may then still end well.
 *
 * Invariant: one job of an upload is under way at most. */
#include <string.h>
#include <unistd.h>

#include "gateway/core/file.h"
#include "gateway/core/file_job.h"
#include "gateway/core/quota.h"
#include "gateway/core/settling.h"
#include "gateway/files/path.h"

struct file_upload {
    struct file_job job; /* first */
    char *sandbox;       /* its id */
    struct upload_plan plan;
    struct upload *upload; /* owned; NULL: not open */
    struct quota_count count;
    int64_t bytes;    /* that will come; -1: not known */
    int64_t reserved; /* on the disk, in the quota */
    int64_t written;
    size_t made; /* folders */
    struct bytes piece;
    struct upload_result result;
    union {
        void (*opened)(void *user, struct file_upload *u, const struct err *e);
        void (*put)(void *user, const struct err *e);
        void (*committed)(void *user, const struct upload_result *result, const struct err *e);
    } done;
    void *user;
};

static struct sandbox *sandbox_of(const struct file_upload *u, struct err *e)
{
    return sandboxes_find(u->job.core, &principal_gateway, u->sandbox, e);
}

static void release_room(struct file_upload *u)
{
    struct sandbox *s = sandbox_of(u, NULL);
    if (s)
        s->quota.reserved_bytes -= u->reserved;
    u->reserved = 0;
}

/* Room for `bytes` more of the file, and for its name. False: 404, or 507 by what is known now. */
static bool reserve(struct file_upload *u, int64_t bytes, int64_t names, struct err *e)
{
    struct sandbox *s = sandbox_of(u, e);
    if (!s)
        return u->job.core->draining;
    int64_t more = quota_blocks(u->written + bytes) - u->reserved;
    if (more <= 0 && !names)
        return true;
    if (!quota_fits(&s->quota, &s->limits, more, names, e))
        return false;
    s->quota.reserved_bytes += more;
    u->reserved += more;
    return true;
}

static void upload_gone(struct file_upload *u)
{
    upload_plan_free(&u->plan);
    file_job_clear(&u->job);
    free(u->sandbox);
    free(u);
}

/* --- open */

static void open_it(struct file_job *job, int root)
{
    struct file_upload *u = (struct file_upload *)job;
    u->upload = upload_open(root, &u->plan, &u->made, &job->why);
}

static void fail_open(struct file_upload *u, const struct err *e)
{
    release_room(u);
    u->done.opened(u->user, NULL, e);
    upload_gone(u);
}

static void on_open(struct file_job *job)
{
    struct file_upload *u = (struct file_upload *)job;
    struct sandbox *s = sandbox_of(u, NULL);
    if (s)
        s->quota.added_inodes += (int64_t)u->made;
    if (!u->upload) {
        fail_open(u, &job->why);
        return;
    }
    job->core->open_handles++; /* until it is gone */
    u->done.opened(u->user, u, NULL);
}

static void count_it(struct file_job *job)
{
    struct file_upload *u = (struct file_upload *)job;
    quota_walk(&u->count);
}

static void run_nothing(struct file_job *job, int root)
{
    (void)job;
    (void)root;
}

static void on_counted(struct file_job *job)
{
    struct file_upload *u = (struct file_upload *)job;
    struct sandbox *s = sandbox_of(u, NULL);
    struct err e = job->why;
    job->before = NULL;
    if (s)
        quota_take(&s->quota, &u->count);
    if (e.status || !reserve(u, u->bytes > 0 ? u->bytes : 0, 1, &e))
        fail_open(u, &e);
    else
        file_job_start(job, open_it, on_open);
}

void file_upload_open(struct sandbox *s, struct upload_plan *plan, int64_t bytes,
                      void (*done)(void *user, struct file_upload *u, const struct err *e),
                      void *user)
{
    struct err e;
    char *path = path_clean(plan->path, &e);
    if (!path) {
        upload_plan_free(plan);
        done(user, NULL, &e);
        return;
    }
    struct file_upload *u = xcalloc(1, sizeof *u);
    u->plan = *plan;
    *plan = (struct upload_plan){0};
    free(u->plan.path);
    u->plan.path = path;
    u->sandbox = xstrdup(s->id);
    u->bytes = bytes;
    u->done.opened = done;
    u->user = user;
    file_job_set(&u->job, s);
    bool limited = s->limits.workspace_bytes || s->limits.workspace_inodes;
    if (!limited || (quota_is_fresh(&s->quota) && reserve(u, bytes > 0 ? bytes : 0, 1, &e))) {
        file_job_start(&u->job, open_it, on_open);
        return;
    }
    u->count.workspace = u->job.workspace;
    quota_begin(&s->quota, &u->count);
    u->job.before = count_it;
    file_job_start(&u->job, run_nothing, on_counted);
}

/* --- write */

static void write_it(struct file_job *job, int root)
{
    struct file_upload *u = (struct file_upload *)job;
    (void)root;
    upload_write(u->upload, u->piece, &job->why);
}

static void on_put(struct file_job *job)
{
    struct file_upload *u = (struct file_upload *)job;
    const struct err why = job->why; /* who is told may abort it, which is another run of the job */
    u->written += (int64_t)u->piece.len;
    u->done.put(u->user, why.status ? &why : NULL);
}

void file_upload_write(struct file_upload *u, struct bytes data,
                       void (*done)(void *user, const struct err *e), void *user)
{
    struct err e;
    if (!reserve(u, (int64_t)data.len, 0, &e)) {
        done(user, &e);
        return;
    }
    u->piece = data;
    u->done.put = done;
    u->user = user;
    file_job_start(&u->job, write_it, on_put);
}

/* --- the end */

static void close_it(struct file_job *job, int root)
{
    struct file_upload *u = (struct file_upload *)job;
    (void)root;
    upload_free(u->upload);
    u->upload = NULL;
}

static void on_closed(struct file_job *job)
{
    struct file_upload *u = (struct file_upload *)job;
    struct core *c = job->core;
    upload_free(u->upload); /* the job may have found no workspace */
    release_room(u);
    upload_gone(u);
    core_handle_closed(c);
}

void file_upload_abort(struct file_upload *u)
{
    file_job_start(&u->job, close_it, on_closed);
}

static void commit_it(struct file_job *job, int root)
{
    struct file_upload *u = (struct file_upload *)job;
    if (upload_commit(u->upload, &u->result, &job->why))
        upload_touched(u->upload, root, u->made, &job->touched);
    close_it(job, root);
}

static void on_commit(struct file_job *job)
{
    struct file_upload *u = (struct file_upload *)job;
    struct sandbox *s = sandbox_of(u, NULL);
    if (s && !job->why.status) {
        s->quota.added_bytes += u->reserved - quota_blocks(u->result.replaced_bytes);
        s->quota.added_inodes += u->result.created;
        settling_note(s->core, s->id, u->plan.path, u->result.etag);
    }
    u->done.committed(u->user, job->why.status ? NULL : &u->result,
                      job->why.status ? &job->why : NULL);
    on_closed(job);
}

void file_upload_commit(struct file_upload *u,
                        void (*done)(void *user, const struct upload_result *result,
                                     const struct err *e),
                        void *user)
{
    struct err e;
    if (!sandbox_of(u, &e) && !u->job.core->draining) {
        done(user, NULL, &e);
        file_upload_abort(u);
        return;
    }
    u->done.committed = done;
    u->user = user;
    file_job_start(&u->job, commit_it, on_commit);
}
