/* Grants and settles what steps of work may put on the disk. Before the first, what is there is
 * counted, unless that was done just now.
 *
 * Invariant: what is reserved in the quota is given back before anybody is told. */
#include "gateway/core/file_making.h"

static void next_step(struct file_making *m);

static struct sandbox *sandbox_of(const struct file_making *m, struct err *e)
{
    struct sandbox *s = sandbox_known(m->job.core, m->sandbox);
    if (s && s->seeding && !s->ending)
        return s; /* there for nobody but its maker yet */
    return sandboxes_find(m->job.core, &principal_gateway, m->sandbox, e);
}

void file_making_set(struct file_making *m, struct sandbox *s)
{
    file_job_set(&m->job, s);
    m->sandbox = xstrdup(s->id);
}

void file_making_clear(struct file_making *m)
{
    file_job_clear(&m->job);
    free(m->sandbox);
}

static void grant(struct file_making *m, struct sandbox *s)
{
    int64_t step = 2 * ROOM_STEP_BYTES; /* a step may take more than it ends after */
    m->room = (struct room){.bytes = INT64_MAX, .names = INT64_MAX};
    m->reserved = 0;
    if (!s)
        return;
    quota_left(&s->quota, &s->limits, &m->room.bytes, &m->room.names);
    m->room.bytes = m->room.bytes < step ? m->room.bytes : step;
    m->reserved = m->room.bytes;
    s->quota.reserved_bytes += m->reserved;
}

static void settle(struct file_making *m)
{
    struct sandbox *s = sandbox_of(m, NULL);
    if (!s)
        return;
    s->quota.reserved_bytes -= m->reserved;
    s->quota.added_bytes += m->room.used_bytes;
    s->quota.added_inodes += m->room.used_names;
}

static void run_step(struct file_job *job, int root)
{
    struct file_making *m = (struct file_making *)job;
    m->step(m, root);
    job->goes_on = job->goes_on || m->again;
}

static void on_step(struct file_job *job)
{
    struct file_making *m = (struct file_making *)job;
    settle(m);
    if (m->again && !job->why.status)
        next_step(m);
    else
        m->done(m);
}

static void count_it(struct file_job *job)
{
    quota_walk(&((struct file_making *)job)->count);
}

static void run_nothing(struct file_job *job, int root)
{
    (void)job;
    (void)root;
}

static void on_counted(struct file_job *job)
{
    struct file_making *m = (struct file_making *)job;
    struct sandbox *s = sandbox_of(m, NULL);
    job->before = NULL;
    m->counted = true;
    if (s)
        quota_take(&s->quota, &m->count);
    if (job->why.status)
        m->done(m);
    else
        next_step(m);
}

static void next_step(struct file_making *m)
{
    struct sandbox *s = sandbox_of(m, &m->job.why);
    m->again = false;
    if (!s && !m->job.core->draining) {
        m->done(m);
        return;
    }
    bool limited = s && (s->limits.workspace_bytes || s->limits.workspace_inodes);
    if (limited && !m->counted && !quota_is_fresh(&s->quota)) {
        m->count = (struct quota_count){.workspace = m->job.workspace};
        quota_begin(&s->quota, &m->count);
        m->job.before = count_it;
        file_job_start(&m->job, run_nothing, on_counted);
        return;
    }
    m->counted = true;
    grant(m, s);
    file_job_start(&m->job, run_step, on_step);
}

void file_making_start(struct file_making *m, void (*step)(struct file_making *m, int root),
                       void (*done)(struct file_making *m))
{
    m->step = step;
    m->done = done;
    next_step(m);
}
