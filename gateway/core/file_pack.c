/* Tars on their way out: a piece is made off the loop when it is asked for, so a client that reads
 * slowly costs one. */
#include "gateway/core/file_job.h"
#include "gateway/core/file_tar.h"
#include "gateway/files/pack.h"
#include "gateway/files/path.h"

struct file_pack {
    struct file_job job; /* first */
    char *path;
    bool gzip;
    struct pack *pack; /* NULL: not open */
    struct buffer piece;
    bool last;
    bool busy; /* a job is under way */
    bool left; /* by its owner, meanwhile */
    union {
        void (*opened)(void *user, struct file_pack *p, const struct err *e);
        void (*next)(void *user, struct bytes piece, bool last, const struct err *e);
    } done;
    void *user;
};

void file_pack_free(struct file_pack *p)
{
    p->left = true;
    if (p->busy)
        return;
    pack_free(p->pack);
    buffer_free(&p->piece);
    file_job_clear(&p->job);
    free(p->path);
    free(p);
}

static void open_it(struct file_job *job, int root)
{
    struct file_pack *p = (struct file_pack *)job;
    p->pack = pack_open(root, p->path, p->gzip, &job->why);
}

static void on_open(struct file_job *job)
{
    struct file_pack *p = (struct file_pack *)job;
    p->busy = false;
    if (p->pack) {
        p->done.opened(p->user, p, NULL);
        return;
    }
    p->done.opened(p->user, NULL, &job->why);
    file_pack_free(p);
}

void file_pack_open(struct sandbox *s, const char *path, bool gzip,
                    void (*done)(void *user, struct file_pack *p, const struct err *e), void *user)
{
    struct err e;
    char *clean = path_clean(path, &e);
    if (!clean) {
        done(user, NULL, &e);
        return;
    }
    struct file_pack *p = xcalloc(1, sizeof *p);
    p->path = clean;
    p->gzip = gzip;
    p->busy = true;
    p->done.opened = done;
    p->user = user;
    file_job_set(&p->job, s);
    file_job_start(&p->job, open_it, on_open);
}

static void read_it(struct file_job *job, int root)
{
    struct file_pack *p = (struct file_pack *)job;
    (void)root;
    buffer_clear(&p->piece);
    pack_read(p->pack, &p->piece, FILE_PACK_BYTES, &p->last, &job->why);
}

static void on_read(struct file_job *job)
{
    struct file_pack *p = (struct file_pack *)job;
    p->busy = false;
    if (p->left)
        file_pack_free(p);
    else
        p->done.next(p->user, buffer_view(&p->piece), p->last, job->why.status ? &job->why : NULL);
}

void file_pack_next(struct file_pack *p,
                    void (*done)(void *user, struct bytes piece, bool last, const struct err *e),
                    void *user)
{
    p->busy = true;
    p->done.next = done;
    p->user = user;
    file_job_start(&p->job, read_it, on_read);
}
