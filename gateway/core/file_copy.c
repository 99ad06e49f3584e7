/* Copies in a workspace, in steps off the loop. */
#include "gateway/core/file.h"
#include "gateway/core/file_making.h"
#include "gateway/files/copy.h"
#include "gateway/files/identity.h"
#include "gateway/files/path.h"

struct copying {
    struct file_making making; /* first */
    struct copy_plan plan;
    char *from, *to;
    struct copy *copy; /* NULL: not begun */
    bool created;
    void (*done)(void *user, bool created, const struct err *e);
    void *user;
};

static void copy_more(struct file_making *m, int root)
{
    struct copying *c = (struct copying *)m;
    struct err *e = &m->job.why;
    bool done = false;
    if (!c->copy)
        c->copy = copy_open(root, &c->plan, &m->room, &c->created, e);
    if (c->copy)
        copy_step(c->copy, root, &m->room, &done, e);
    m->again = !done;
    if (done || e->status) {
        copy_free(c->copy);
        c->copy = NULL;
    }
}

static void on_copied(struct file_making *m)
{
    struct copying *c = (struct copying *)m;
    const struct err *e = m->job.why.status ? &m->job.why : NULL;
    copy_free(c->copy); /* its sandbox has ended on the way */
    c->done(c->user, c->created, e);
    free(c->from);
    free(c->to);
    file_making_clear(m);
    free(c);
}

void file_copy(struct sandbox *s, const char *from, const char *to, bool overwrite,
               void (*done)(void *user, bool created, const struct err *e), void *user)
{
    struct err e;
    scoped(string) char *clean_from = path_clean(from, &e);
    scoped(string) char *clean_to = clean_from ? path_clean(to, &e) : NULL;
    if (!clean_to) {
        done(user, false, &e);
        return;
    }
    struct copying *c = xcalloc(1, sizeof *c);
    c->from = take(&clean_from);
    c->to = take(&clean_to);
    c->plan = (struct copy_plan){
        .from = c->from,
        .to = c->to,
        .overwrite = overwrite,
        .file_limit_bytes = core_settings(s->core)->file_limit_bytes,
        .touched = &c->making.job.touched,
    };
    c->done = done;
    c->user = user;
    file_making_set(&c->making, s);
    file_making_start(&c->making, copy_more, on_copied);
}
