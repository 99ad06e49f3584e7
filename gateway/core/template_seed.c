/* Seeds on their way in: looked through and written to a blob, piece by piece, off the loop; and
 * from there into workspaces, within what their quotas grant.
 *
 * Invariant: a seed that a template names is whole, on the disk, and was looked through. */
#include "gateway/core/template_seed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/core/file_making.h"
#include "gateway/core/template_state.h"
#include "gateway/core/usage.h"
#include "gateway/files/unpack.h"
#include "gateway/store/blob.h"
#include "gateway/store/store.h"
#include "protocol/json.h"

#define READ_BYTES (256 * 1024)

json_t *template_seed(const struct template *t)
{
    return json_object_get(t->spec, "seed");
}

static int64_t seed_bytes(const struct template *t)
{
    return json_integer_value(json_object_get(template_seed(t), "bytes"));
}

int64_t templates_seed_bytes(const struct core *c, const char *principal)
{
    int64_t bytes = 0;
    for (const struct template *t = c->templates->first; t; t = t->next)
        bytes += strcmp(t->owner, principal) == 0 ? seed_bytes(t) : 0;
    return bytes;
}

/* --- in */

struct seed_upload {
    uv_work_t work;
    struct core *core;
    struct principal who;
    char *template; /* its id */
    struct unpack *look;
    struct blob *blob; /* NULL: not begun, or finished */
    struct bytes data, left;
    int64_t got_bytes;
    bool last, again, written;
    struct unpack_result result;
    char sha256[BLOB_NAME_TEXT];
    struct err why;
    template_done *done;
    void *user;
};

struct seed_upload *seed_upload_new(struct core *c, const struct principal *who, const char *id,
                                    struct err *e)
{
    struct template *t = templates_find_own(c, who, id, e);
    if (!t)
        return NULL;
    struct seed_upload *u = xcalloc(1, sizeof *u);
    u->work.data = u;
    u->core = c;
    u->who = *who;
    u->template = xstrdup(t->id);
    u->look = unpack_look(core_settings(c)->file_limit_bytes);
    return u;
}

void seed_upload_free(struct seed_upload *u)
{
    if (!u)
        return;
    unpack_free(u->look);
    blob_abandon(u->blob);
    free(u->template);
    free(u);
}

/* What has come must fit its owner's quota of disk, in the place of what the template has. */
static bool fits(const struct seed_upload *u, const struct template *t, struct err *e)
{
    struct usage more = {.disk_bytes = u->got_bytes - seed_bytes(t)};
    return principal_is_admin(&u->who) ||
           usage_allows(u->core, (struct usage_payer){.principal = t->owner}, &more, e);
}

static void take_it(uv_work_t *work)
{
    struct seed_upload *u = work->data;
    struct room room = {.bytes = INT64_MAX, .names = INT64_MAX};
    if (!u->blob && !(u->blob = blob_begin(store_dir(u->core->store), &u->why)))
        return;
    if (!u->written && !blob_write(u->blob, u->data, &u->why))
        return;
    u->written = true;
    if (!unpack_step(u->look, &u->left, &room, &u->again, &u->why) || u->again || !u->last)
        return;
    int64_t bytes;
    if (unpack_finish(u->look, &u->result, &u->why))
        blob_finish(take(&u->blob), u->sha256, &bytes, &u->why);
}

static void on_named(void *user, const struct template *t, const struct err *e)
{
    struct seed_upload *u = user;
    core_handle_closed(u->core);
    u->done(u->user, t, e);
}

static void name_it(struct seed_upload *u)
{
    struct err e;
    const struct template *t = templates_find_own(u->core, &u->who, u->template, &e);
    if (!t || !fits(u, t, &e)) {
        on_named(u, NULL, &e);
        return;
    }
    scoped(json) json_t *seed = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:b}", "sha256", u->sha256, "bytes", (json_int_t)u->got_bytes,
        "files", (json_int_t)u->result.files, "folders", (json_int_t)u->result.folders, "symlinks",
        (json_int_t)u->result.symlinks, "gzip", (int)u->result.gzip);
    templates_set_seed(u->core, &u->who, u->template, seed, on_named, u);
}

static void on_taken(uv_work_t *work, int status)
{
    struct seed_upload *u = work->data;
    (void)status;
    if (u->again && !u->why.status) {
        uv_queue_work(u->core->loop, &u->work, take_it, on_taken);
    } else if (u->last && !u->why.status) {
        name_it(u);
    } else {
        core_handle_closed(u->core);
        u->done(u->user, NULL, u->why.status ? &u->why : NULL);
    }
}

void seed_upload_write(struct seed_upload *u, struct bytes data, bool last, template_done *done,
                       void *user)
{
    struct err e;
    const struct template *t = templates_find_own(u->core, &u->who, u->template, &e);
    u->got_bytes += (int64_t)data.len;
    if (!t || !fits(u, t, &e)) {
        done(user, NULL, &e);
        return;
    }
    u->data = u->left = data;
    u->last = last;
    u->written = false;
    u->done = done;
    u->user = user;
    u->core->open_handles++; /* until done */
    uv_queue_work(u->core->loop, &u->work, take_it, on_taken);
}

/* --- out */

struct template *template_seed_find(const struct core *c, const struct principal *who,
                                    const char *id, struct err *e)
{
    struct template *t = templates_find(c, who, id, e);
    if (!t || template_seed(t))
        return t;
    fail(e, 404, "template %s has no seed", t->id);
    return NULL;
}

char *template_seed_path(const struct core *c, const struct template *t)
{
    return blob_path(store_dir(c->store),
                     json_string_value(json_object_get(template_seed(t), "sha256")));
}

int template_seed_open(const struct core *c, const struct template *t, struct err *e)
{
    scoped(string) char *path = template_seed_path(c, t);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail_errno(e, 503, "the seed of template %s cannot be read", t->id);
    return fd;
}

struct sowing {
    struct file_making making; /* first */
    int fd;
    int64_t limit_bytes;
    struct unpack *unpack; /* NULL: not begun */
    char *piece;           /* READ_BYTES */
    struct bytes left;     /* of it */
    bool all;              /* nothing is left in the file */
    void (*done)(void *user, const struct err *e);
    void *user;
};

static bool read_piece(struct sowing *s, struct err *e)
{
    ssize_t got;
    do
        got = read(s->fd, s->piece, READ_BYTES);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return fail_errno(e, 503, "the seed of the template cannot be read");
    s->left = (struct bytes){s->piece, (size_t)got};
    s->all = got == 0;
    return true;
}

/* One step of the unpacking takes what one grant of room allows. */
static bool sow(struct sowing *s, struct room *room, bool *again, struct err *e)
{
    struct unpack_result result;
    for (;;) {
        if ((s->left.len == 0 && !s->all && !read_piece(s, e)) ||
            !unpack_step(s->unpack, &s->left, room, again, e))
            return false;
        if (*again || s->all)
            return *again || unpack_finish(s->unpack, &result, e);
    }
}

static void sow_more(struct file_making *m, int root)
{
    struct sowing *s = (struct sowing *)m;
    struct err *e = &m->job.why;
    if (!s->unpack)
        s->unpack = unpack_open(root, "", s->limit_bytes, &m->room, &m->job.touched, e);
    if (s->unpack && !sow(s, &m->room, &m->again, e))
        m->again = false;
    if (!m->again) { /* here, so that it is done as the sandbox */
        unpack_free(s->unpack);
        s->unpack = NULL;
    }
}

static void on_sown(struct file_making *m)
{
    struct sowing *s = (struct sowing *)m;
    s->done(s->user, m->job.why.status ? &m->job.why : NULL);
    unpack_free(s->unpack);
    file_making_clear(m);
    free(s->piece);
    free(s);
}

void template_seed_unpack(struct sandbox *s, int fd, void (*done)(void *user, const struct err *e),
                          void *user)
{
    struct sowing *sowing = xcalloc(1, sizeof *sowing);
    sowing->fd = fd;
    sowing->limit_bytes = INT64_MAX; /* it kept to it as it came */
    sowing->piece = xmalloc(READ_BYTES);
    sowing->done = done;
    sowing->user = user;
    file_making_set(&sowing->making, s);
    file_making_start(&sowing->making, sow_more, on_sown);
}

/* --- the end */

struct seed_removing {
    void (*done)(void *user, const struct err *e);
    void *user;
};

static void on_removed(void *user, const struct template *t, const struct err *e)
{
    struct seed_removing *r = user;
    (void)t;
    r->done(r->user, e);
    free(r);
}

void template_seed_remove(struct core *c, const struct principal *who, const char *id,
                          void (*done)(void *user, const struct err *e), void *user)
{
    struct err e;
    struct template *t = templates_find_own(c, who, id, &e);
    if (!t || !template_seed_find(c, who, id, &e)) {
        done(user, &e);
        return;
    }
    struct seed_removing *r = xmalloc(sizeof *r);
    *r = (struct seed_removing){done, user};
    templates_set_seed(c, who, t->id, NULL, on_removed, r);
}
