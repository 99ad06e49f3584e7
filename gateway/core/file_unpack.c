/* Tars on their way in: each piece is unpacked in steps off the loop, within the sandbox's quota.
 */
#include "gateway/core/file_making.h"
#include "gateway/core/file_tar.h"
#include "gateway/core/settling.h"
#include "gateway/files/path.h"

struct file_unpack {
    struct file_making making; /* first */
    char *path;
    int64_t limit_bytes;
    struct unpack *unpack; /* NULL: not begun */
    struct bytes data;
    bool last;
    struct unpack_result result;
    void (*done)(void *user, const struct unpack_result *result, const struct err *e);
    void *user;
};

struct file_unpack *file_unpack_new(struct sandbox *s, const char *path, struct err *e)
{
    char *clean = path_clean(path, e);
    if (!clean)
        return NULL;
    struct file_unpack *u = xcalloc(1, sizeof *u);
    u->path = clean;
    u->limit_bytes = core_settings(s->core)->file_limit_bytes;
    file_making_set(&u->making, s);
    return u;
}

void file_unpack_free(struct file_unpack *u)
{
    if (!u)
        return;
    unpack_free(u->unpack);
    file_making_clear(&u->making);
    free(u->path);
    free(u);
}

static void unpack_more(struct file_making *m, int root)
{
    struct file_unpack *u = (struct file_unpack *)m;
    struct err *e = &m->job.why;
    if (!u->unpack)
        u->unpack = unpack_open(root, u->path, u->limit_bytes, &m->room, &m->job.touched, e);
    bool ok = u->unpack && unpack_step(u->unpack, &u->data, &m->room, &m->again, e);
    if (ok && u->last && !m->again)
        ok = unpack_finish(u->unpack, &u->result, e);
    m->job.goes_on = !u->last;
    if (!ok) { /* here, so that it is done as the sandbox */
        unpack_free(u->unpack);
        u->unpack = NULL;
    }
}

static void on_unpacked(struct file_making *m)
{
    struct file_unpack *u = (struct file_unpack *)m;
    const struct err *e = m->job.why.status ? &m->job.why : NULL;
    if (!e && u->last)
        settling_note(m->job.core, m->sandbox, u->path, "");
    u->done(u->user, e ? NULL : &u->result, e);
}

void file_unpack_write(struct file_unpack *u, struct bytes data, bool last,
                       void (*done)(void *user, const struct unpack_result *result,
                                    const struct err *e),
                       void *user)
{
    u->data = data;
    u->last = last;
    u->done = done;
    u->user = user;
    file_making_start(&u->making, unpack_more, on_unpacked);
}
