/* Reads with a walk and writes with uploads, one file at a time. What code inside moves meanwhile
 * is copied as it is found. */
#include "gateway/files/copy.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/files/change.h"
#include "gateway/files/path.h"
#include "gateway/files/upload.h"
#include "gateway/files/walk.h"
#include "protocol/memory.h"

struct copy {
    const struct copy_plan *plan;
    struct walk *walk;  /* of a folder; NULL: one thing */
    struct stat target; /* the folder that it becomes: not copied into itself */
    /* the file that is being copied */
    struct upload *upload; /* NULL: none */
    struct upload_plan to;
    size_t made;  /* folders on the way to it */
    int from;     /* -1 */
    int64_t left; /* bytes of it */
};

static bool begin_file(struct copy *c, int root, int dir, const char *name, const char *to,
                       struct room *room, struct err *e)
{
    struct stat st;
    c->from = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (c->from < 0 || fstat(c->from, &st) < 0)
        return path_fail(e, name);
    if (!S_ISREG(st.st_mode))
        return fail(e, 409, "%.200s: this is no regular file", name);
    if (st.st_size > c->plan->file_limit_bytes)
        return fail(e, 413, "%.200s: longer than --file-limit", name);
    c->left = st.st_size;
    c->to = (struct upload_plan){
        .path = xstrdup(to),
        .mode = st.st_mode & 0777,
        .condition.absent = !c->plan->overwrite,
    };
    c->upload = upload_open(root, &c->to, &c->made, e);
    return c->upload && room_take(room, 0, (int64_t)c->made + 1, e);
}

static void end_file(struct copy *c)
{
    upload_free(c->upload);
    upload_plan_free(&c->to);
    if (c->from >= 0)
        close(c->from);
    c->from = -1;
    c->upload = NULL;
}

/* Puts the file in place when all of it is copied. */
static bool go_on_with_file(struct copy *c, int root, struct room *room, struct err *e)
{
    while (c->left > 0 && !room_is_used(room)) {
        int64_t most = c->left < ROOM_TAKE_BYTES ? c->left : ROOM_TAKE_BYTES, put;
        if (!room_take(room, most, 0, e) || !upload_copy(c->upload, c->from, most, &put, e))
            return false;
        c->left = put > 0 ? c->left - put : 0; /* it has become shorter */
    }
    if (c->left > 0)
        return true;
    struct upload_result result;
    bool committed = upload_commit(c->upload, &result, e);
    if (committed)
        upload_touched(c->upload, root, c->made, c->plan->touched);
    end_file(c);
    return committed;
}

static bool copy_link(const struct copy *c, int root, int dir, const char *name, const char *to,
                      struct room *room, struct err *e)
{
    char target[PATH_MAX];
    size_t made;
    ssize_t len = readlinkat(dir, name, target, sizeof target - 1);
    if (len < 0)
        return path_fail(e, name);
    target[len] = '\0';
    if (!room_take(room, 0, 1, e) ||
        !change_make_link(root, to, target, c->plan->overwrite, &made, e))
        return false;
    touched_parent(c->plan->touched, root, to, made);
    return true;
}

static bool copy_folder(const struct copy *c, int root, const char *to, mode_t mode,
                        struct room *room, struct stat *now, struct err *e)
{
    size_t made;
    if (!change_make_folder(root, to, false, &made, e) || !room_take(room, 0, (int64_t)made, e))
        return false;
    if (made && !change_mode(root, to, (mode & 0777) | S_IRWXU, NULL, e))
        return false;
    if (made)
        touched_folder(c->plan->touched, root, to, made);
    int fd = path_open(root, to, true, e);
    bool known = fd >= 0 && (fstat(fd, now) == 0 || path_fail(e, to));
    if (fd >= 0)
        close(fd);
    return known;
}

/* What `name` in dir is, to `to`. */
static bool copy_one(struct copy *c, int root, int dir, const char *name, const char *to,
                     const struct stat *st, struct room *room, struct err *e)
{
    struct stat now;
    if (S_ISREG(st->st_mode))
        return begin_file(c, root, dir, name, to, room, e) && go_on_with_file(c, root, room, e);
    if (S_ISLNK(st->st_mode))
        return copy_link(c, root, dir, name, to, room, e);
    if (S_ISDIR(st->st_mode))
        return copy_folder(c, root, to, st->st_mode, room, &now, e);
    return fail(e, 409, "%.200s: this is neither a file, a folder nor a link", name);
}

static bool copy_entry(struct copy *c, int root, const struct walk_entry *entry, struct room *room,
                       struct err *e)
{
    if (!entry->known)
        return fail(e, 403, "%.200s: the sandbox itself may not do this", entry->path);
    if (entry->st.st_ino == c->target.st_ino && entry->st.st_dev == c->target.st_dev) {
        walk_skip(c->walk);
        return true;
    }
    if (entry->closed)
        return fail(e, entry->too_deep ? 409 : 403, "%.200s: %s", entry->path, entry->closed);
    scoped(string) char *to = xasprintf("%s/%s", c->plan->to, entry->path);
    return copy_one(c, root, entry->dir, entry->name, to, &entry->st, room, e);
}

/* The folder itself is made; the walk brings what is in it. */
static bool begin_folder(struct copy *c, int root, int dir, const char *name, const struct stat *st,
                         struct room *room, struct err *e)
{
    int fd = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return path_fail(e, c->plan->from);
    c->walk = walk_open(fd, e);
    close(fd);
    return c->walk && copy_folder(c, root, c->plan->to, st->st_mode, room, &c->target, e);
}

/* 409 unless the plan allows what is there. */
static bool check_target(const struct copy_plan *plan, int root, const struct stat *st,
                         bool *created, struct err *e)
{
    struct stat there;
    int fd = path_open(root, plan->to, false, e);
    if (fd < 0) {
        *created = e->status == 404;
        return *created || e->status == 0;
    }
    bool known = fstat(fd, &there) == 0;
    close(fd);
    if (!known || !plan->overwrite)
        return fail(e, 409, "%.200s: something is there already", plan->to);
    return S_ISDIR(there.st_mode) == S_ISDIR(st->st_mode) ||
           fail(e, 409, "%.200s: a folder and what is none cannot replace each other", plan->to);
}

static bool begin(struct copy *c, int root, bool *created, struct room *room, struct err *e)
{
    const struct copy_plan *plan = c->plan;
    const char *name;
    struct stat st;
    int dir = path_open_parent(root, plan->from, false, &name, NULL, e);
    if (dir < 0)
        return false;
    bool ok = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 || path_fail(e, plan->from);
    ok = ok && check_target(plan, root, &st, created, e);
    if (ok)
        *e = (struct err){0};
    ok = ok && (S_ISDIR(st.st_mode) ? begin_folder(c, root, dir, name, &st, room, e)
                                    : copy_one(c, root, dir, name, plan->to, &st, room, e));
    close(dir);
    return ok;
}

struct copy *copy_open(int root, const struct copy_plan *plan, struct room *room, bool *created,
                       struct err *e)
{
    *created = false;
    if (!*plan->from || !*plan->to) {
        fail(e, 409, "the workspace itself is neither copied nor replaced");
        return NULL;
    }
    if (path_is_below(plan->to, plan->from) || strcmp(plan->to, plan->from) == 0) {
        fail(e, 409, "%.150s: cannot be copied into itself", plan->from);
        return NULL;
    }
    struct copy *c = xcalloc(1, sizeof *c);
    c->plan = plan;
    c->from = -1;
    if (begin(c, root, created, room, e))
        return c;
    copy_free(c);
    return NULL;
}

bool copy_step(struct copy *c, int root, struct room *room, bool *done, struct err *e)
{
    struct walk_entry entry;
    *done = false;
    while (!room_is_used(room)) {
        bool ok = true;
        if (c->upload)
            ok = go_on_with_file(c, root, room, e);
        else if (c->walk && walk_next(c->walk, &entry, e))
            ok = copy_entry(c, root, &entry, room, e);
        else
            *done = e->status == 0;
        if (!ok || e->status || *done)
            return ok && e->status == 0;
    }
    return true;
}

void copy_free(struct copy *c)
{
    if (!c)
        return;
    end_file(c);
    walk_free(c->walk);
    free(c);
}
