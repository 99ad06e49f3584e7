/* Reading and changing files off the loop. Every piece of work is a job (file_job.h). Uploads are
 * in file_upload.c. */
#include "gateway/core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "gateway/core/file_job.h"
#include "gateway/files/change.h"
#include "gateway/core/settling.h"
#include "gateway/files/path.h"
#include "gateway/files/tree.h"

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
    if (r->found.fd >= 0)
        r->found.use = take(&job->use);
    r->done(r->user, job->why.status ? NULL : &r->found, job->why.status ? &job->why : NULL);
    if (r->found.fd >= 0)
        close(r->found.fd);
    sandbox_use_free(r->found.use);
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
        if (change_make_folder(root, c->path, change->condition.absent, &made, &job->why) && made)
            touched_folder(&job->touched, root, c->path, made);
        c->created = made > 0;
        break;
    case CHANGE_MODE:
        if (change_mode(root, c->path, change->mode, &change->condition, &job->why))
            touched_entry(&job->touched, root, c->path);
        break;
    case CHANGE_MOVE:
        if (change_move(root, c->path, c->to, change->overwrite, &replaced, &made, &job->why)) {
            touched_parent(&job->touched, root, c->path, 0);
            touched_parent(&job->touched, root, c->to, made);
        }
        c->created = !replaced;
        break;
    case CHANGE_REMOVE:
        if (change_remove(root, c->path, change->recursive, &change->condition, &job->why))
            touched_parent(&job->touched, root, c->path, 0);
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
