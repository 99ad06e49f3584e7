/* Reading and changing files off the loop. Every piece of work is a job: it opens the workspace
 * anew, takes on the sandbox's identity for the time of its run, and holds nothing of the sandbox,
 * which may end meanwhile. Uploads are in file_upload.c. */
#include "gateway/core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "gateway/core/file_job.h"
#include "gateway/files/change.h"
#include "gateway/files/identity.h"
#include "gateway/core/settling.h"
#include "gateway/files/path.h"
#include "gateway/files/tree.h"

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
}

static void on_done(uv_work_t *work, int status)
{
    struct file_job *job = work->data;
    struct core *c = job->core;
    (void)status;
    job->done(job); /* may free it */
    core_handle_closed(c);
}

void file_job_set(struct file_job *job, const struct sandbox *s)
{
    job->core = s->core;
    job->workspace = sandbox_workspace(s);
    job->uid = sandbox_uid(s);
}

void file_job_clear(struct file_job *job)
{
    free(job->workspace);
    job->workspace = NULL;
}

void file_job_start(struct file_job *job, void (*run)(struct file_job *job, int root),
                    void (*done)(struct file_job *job))
{
    job->work.data = job;
    job->run = run;
    job->done = done;
    job->why = (struct err){0};
    job->core->open_handles++;
    uv_queue_work(job->core->loop, &job->work, on_work, on_done);
}

/* --- reading */

struct reading {
    struct file_job job; /* first */
    struct file_found found;
    bool look, tree;
    char *after;
    struct glob *glob; /* owned; NULL: all */
    size_t limit;
    void (*done)(void *user, struct file_found *found, const struct err *e);
    void *user;
};

static void read_it(struct file_job *job, int root)
{
    struct reading *r = (struct reading *)job;
    struct file_found *found = &r->found;
    int fd = path_open(root, found->path, !r->look, &job->why);
    if (fd < 0)
        return;
    bool read = entry_read(fd, found->path, &found->entry, &job->why);
    if (read && r->tree && found->entry.kind != ENTRY_FOLDER)
        fail(&job->why, 409, "%.200s: this is not a folder", found->path);
    else if (read && r->tree)
        tree_read(fd, r->glob, r->after, r->limit, &found->listing, &job->why);
    else if (read && !r->look && found->entry.kind == ENTRY_FOLDER)
        listing_read(fd, r->after, r->limit, &found->listing, &job->why);
    else if (read && !r->look && found->entry.kind != ENTRY_FILE)
        fail(&job->why, 409, "%.200s: this is neither a file nor a folder", found->path);
    else if (read && !r->look && (found->fd = path_reopen(fd, O_RDONLY | O_NONBLOCK)) < 0)
        path_fail(&job->why, found->path);
    close(fd);
}

static void on_read(struct file_job *job)
{
    struct reading *r = (struct reading *)job;
    r->done(r->user, job->why.status ? NULL : &r->found, job->why.status ? &job->why : NULL);
    if (r->found.fd >= 0)
        close(r->found.fd);
    entry_free(&r->found.entry);
    listing_free(&r->found.listing);
    free(r->found.path);
    free(r->after);
    glob_free(r->glob);
    file_job_clear(job);
    free(r);
}

void file_read(struct sandbox *s, const struct file_request *request,
               void (*done)(void *user, struct file_found *found, const struct err *e), void *user)
{
    struct err e;
    scoped(string) char *path = path_clean(request->path, &e);
    struct glob *glob = path && request->glob ? glob_new(request->glob, &e) : NULL;
    if (!path || (request->glob && !glob)) {
        done(user, NULL, &e);
        return;
    }
    struct reading *r = xcalloc(1, sizeof *r);
    r->found.path = take(&path);
    r->found.fd = -1;
    r->look = request->look;
    r->tree = request->tree || glob;
    r->glob = glob;
    r->after = xstrdup(request->after ? request->after : "");
    r->limit = request->limit;
    r->done = done;
    r->user = user;
    file_job_set(&r->job, s);
    file_job_start(&r->job, read_it, on_read);
}

/* --- changing */

struct changing {
    struct file_job job; /* first */
    struct file_change change;
    char *path, *to, *match, *sandbox;
    bool created;
    void (*done)(void *user, bool created, const struct err *e);
    void *user;
};

static void change_it(struct file_job *job, int root)
{
    struct changing *c = (struct changing *)job;
    const struct file_change *change = &c->change;
    size_t made = 0;
    bool replaced = false;
    switch (change->what) {
    case CHANGE_MAKE_FOLDER:
        change_make_folder(root, c->path, change->condition.absent, &made, &job->why);
        c->created = made > 0;
        break;
    case CHANGE_MODE:
        change_mode(root, c->path, change->mode, &change->condition, &job->why);
        break;
    case CHANGE_MOVE:
        change_move(root, c->path, c->to, change->overwrite, &replaced, &made, &job->why);
        c->created = !replaced;
        break;
    case CHANGE_REMOVE:
        change_remove(root, c->path, change->recursive, &change->condition, &job->why);
        break;
    }
}

static void on_change(struct file_job *job)
{
    struct changing *c = (struct changing *)job;
    if (!job->why.status)
        settling_note(job->core, c->sandbox, c->path, "");
    if (!job->why.status && c->change.what == CHANGE_MOVE)
        settling_note(job->core, c->sandbox, c->to, "");
    c->done(c->user, c->created, job->why.status ? &job->why : NULL);
    free(c->path);
    free(c->to);
    free(c->match);
    free(c->sandbox);
    file_job_clear(job);
    free(c);
}

void file_change(struct sandbox *s, const struct file_change *change,
                 void (*done)(void *user, bool created, const struct err *e), void *user)
{
    struct err e;
    scoped(string) char *path = path_clean(change->path, &e);
    scoped(string) char *to = path ? path_clean(change->to ? change->to : "", &e) : NULL;
    if (!to) {
        done(user, false, &e);
        return;
    }
    struct changing *c = xcalloc(1, sizeof *c);
    c->change = *change;
    c->match = change->condition.match ? xstrdup(change->condition.match) : NULL;
    c->change.condition.match = c->match;
    c->path = take(&path);
    c->to = take(&to);
    c->sandbox = xstrdup(s->id);
    c->done = done;
    c->user = user;
    file_job_set(&c->job, s);
    file_job_start(&c->job, change_it, on_change);
}
