/* Jobs on a workspace: each opens it anew, takes on the sandbox's identity for the time of its run,
 * and holds nothing of the sandbox, which may end meanwhile. What a run touched is synced here, as
 * the gateway: before anybody is told where everything is (--durability=full), else by the thread
 * of store/sync.h.
 *
 * Invariant: no descriptor of what was touched outlives the run. */
#include "gateway/core/file_job.h"

#include <unistd.h>

#include "gateway/files/identity.h"
#include "gateway/files/path.h"
#include "gateway/store/store.h"

/* The file system of a change in many steps is synced with the last. */
static void sync_touched(struct file_job *job)
{
    struct sync *sync = store_sync(job->core->store);
    struct err *e = job->why.status ? NULL : &job->why; /* the first that failed is told */
    int fd;
    while ((fd = touched_take(&job->touched)) >= 0)
        if (!sync_settle_fd(sync, fd, e))
            e = NULL;
    if (!job->touched.all || (job->goes_on && !job->why.status))
        return;
    job->touched.all = false;
    sync_settle_filesystem(sync, path_filesystem(job->workspace), e);
}

static void on_work(uv_work_t *work)
{
    struct file_job *job = work->data;
    if (job->before)
        job->before(job);
    int root = path_root(job->workspace, &job->why);
    if (root < 0)
        return;
    if (identity_enter(job->uid, &job->why)) {
        job->run(job, root);
        identity_leave();
    }
    close(root);
    sync_touched(job);
}

static void on_done(uv_work_t *work, int status)
{
    struct file_job *job = work->data;
    struct core *c = job->core;
    (void)status;
    job->done(job); /* may free it */
    core_handle_closed(c);
}

void file_job_set(struct file_job *job, struct sandbox *s)
{
    job->core = s->core;
    job->workspace = sandbox_workspace(s);
    job->uid = sandbox_uid(s);
    job->use = sandbox_use_new(s);
}

void file_job_clear(struct file_job *job)
{
    free(job->workspace);
    job->workspace = NULL;
    sandbox_use_free(take(&job->use));
}

void file_job_start(struct file_job *job, void (*run)(struct file_job *job, int root),
                    void (*done)(struct file_job *job))
{
    job->work.data = job;
    job->run = run;
    job->done = done;
    job->why = (struct err){0};
    job->goes_on = false;
    job->core->open_handles++;
    uv_queue_work(job->core->loop, &job->work, on_work, on_done);
}
