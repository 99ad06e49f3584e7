/* Writes go to a file without a name (O_TMPFILE), so that a gateway that is killed leaves nothing;
 * where the file system has none of those, to one with a name of its own. At the end it is linked
 * to its place, or, where something is, linked beside it and renamed over it. */
#include "gateway/files/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/files/path.h"
#include "protocol/ids.h"

#define COPY_PIECE   (64 * 1024)
#define APPEND_TRIES 8 /* what is there comes and goes while we look */

struct upload {
    const struct upload_plan *plan;
    int dir;          /* O_PATH; the folder; -1: append */
    const char *name; /* in it; borrowed from the plan */
    int fd;
    bool created;                /* append: it was not there */
    bool named;                  /* beside is in the folder */
    char beside[UUID_TEXT + 16]; /* ".warmcell-" and an id */
};

/* Between the last look at a condition and the change that it allows. */
static pthread_mutex_t commit_lock = PTHREAD_MUTEX_INITIALIZER;

void upload_plan_free(struct upload_plan *plan)
{
    free(plan->path);
    free(plan->condition.match);
    *plan = (struct upload_plan){0};
}

void upload_free(struct upload *u)
{
    if (!u)
        return;
    if (u->named)
        unlinkat(u->dir, u->beside, 0);
    if (u->fd >= 0)
        close(u->fd);
    if (u->dir >= 0)
        close(u->dir);
    free(u);
}

/* NULL in *st_or_null: nothing is there. */
static bool look(const struct upload *u, struct stat *st, const struct stat **st_or_null,
                 struct err *e)
{
    *st_or_null = NULL;
    if (fstatat(u->dir, u->name, st, AT_SYMLINK_NOFOLLOW) == 0)
        *st_or_null = st;
    else if (errno != ENOENT)
        return path_fail(e, u->plan->path);
    return true;
}

static bool open_beside(struct upload *u)
{
    char id[UUID_TEXT];
    uuid_make(id);
    snprintf(u->beside, sizeof u->beside, PATH_BESIDE "%s", id);
    u->fd = openat(u->dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (u->fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return u->fd >= 0;
    u->fd = openat(u->dir, u->beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    u->named = u->fd >= 0;
    return u->named;
}

static bool open_new(struct upload *u, int root, size_t *made, struct err *e)
{
    struct stat st;
    const struct stat *there;
    const char *path = u->plan->path;
    u->dir = path_open_parent(root, path, true, &u->name, made, e);
    if (u->dir < 0 || !look(u, &st, &there, e) || !condition_holds(&u->plan->condition, there, e))
        return false;
    if (there && S_ISDIR(st.st_mode))
        return fail(e, 409, "%.200s: this is a folder", path);
    return open_beside(u) || path_fail(e, path);
}

/* What is at the path, if it is a file; *st is filled. False with status 0: nothing is there. */
static bool open_there(struct upload *u, int root, struct stat *st, struct err *e)
{
    const char *path = u->plan->path;
    int at = path_open(root, path, true, e);
    if (at < 0) {
        e->status = e->status == 404 ? 0 : e->status;
        return false;
    }
    bool is_file = fstat(at, st) == 0 && S_ISREG(st->st_mode);
    if (!is_file)
        fail(e, 409, "%.200s: this is not a regular file", path);
    else if ((u->fd = path_reopen(at, O_WRONLY | O_APPEND | O_NONBLOCK)) < 0)
        path_fail(e, path);
    close(at);
    return u->fd >= 0;
}

static bool make_empty(struct upload *u, int root, size_t *made, struct err *e)
{
    const char *path = u->plan->path, *name;
    int dir = path_open_parent(root, path, true, &name, made, e);
    if (dir < 0)
        return false;
    u->fd =
        openat(dir, name, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (u->fd >= 0)
        fchmod(u->fd, u->plan->mode < 0 ? UPLOAD_MODE : (mode_t)u->plan->mode);
    else if (errno != EEXIST)
        path_fail(e, path);
    close(dir);
    u->created = u->fd >= 0;
    return u->created;
}

static bool open_append(struct upload *u, int root, size_t *made, struct err *e)
{
    const struct condition *condition = &u->plan->condition;
    for (int i = 0; i < APPEND_TRIES; i++) {
        struct stat st;
        *e = (struct err){0};
        if (open_there(u, root, &st, e))
            return condition_holds(condition, &st, e);
        if (e->status || !condition_holds(condition, NULL, e))
            return false;
        if (make_empty(u, root, made, e))
            return true;
        if (e->status)
            return false;
    }
    return fail(e, 409, "%.200s: a link is there that leads to nothing", u->plan->path);
}

struct upload *upload_open(int root, const struct upload_plan *plan, size_t *made, struct err *e)
{
    struct upload *u = xcalloc(1, sizeof *u);
    *u = (struct upload){.plan = plan, .dir = -1, .fd = -1};
    *made = 0;
    bool opened = false;
    if (!*plan->path)
        fail(e, 409, "this is the workspace itself");
    else
        opened = plan->append ? open_append(u, root, made, e) : open_new(u, root, made, e);
    if (opened)
        return u;
    upload_free(u);
    return NULL;
}

bool upload_write(struct upload *u, struct bytes data, struct err *e)
{
    while (data.len) {
        ssize_t put = write(u->fd, data.data, data.len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return path_fail(e, u->plan->path);
        data.data += put;
        data.len -= (size_t)put;
    }
    return true;
}

bool upload_copy(struct upload *u, int from_fd, int64_t most, int64_t *put, struct err *e)
{
    char piece[COPY_PIECE];
    ssize_t got = copy_file_range(from_fd, NULL, u->fd, NULL, (size_t)most, 0);
    if (got < 0 && errno != ENOSPC && errno != EDQUOT) { /* not between these two */
        size_t want = most < COPY_PIECE ? (size_t)most : COPY_PIECE;
        while ((got = read(from_fd, piece, want)) < 0 && errno == EINTR)
            continue;
        if (got > 0 && !upload_write(u, (struct bytes){piece, (size_t)got}, e))
            return false;
    }
    *put = got;
    return got >= 0 || path_fail(e, u->plan->path);
}

/* Gives the file a name; false with EEXIST where there is one. */
static bool link_to(const struct upload *u, const char *name)
{
    char self[64];
    if (u->named)
        return linkat(u->dir, u->beside, u->dir, name, 0) == 0;
    snprintf(self, sizeof self, "/proc/self/fd/%d", u->fd);
    return linkat(AT_FDCWD, self, u->dir, name, AT_SYMLINK_FOLLOW) == 0;
}

static bool replace(struct upload *u, const struct stat *there)
{
    mode_t mode = u->plan->mode >= 0                 ? (mode_t)u->plan->mode
                  : there && S_ISREG(there->st_mode) ? there->st_mode & 0777
                                                     : UPLOAD_MODE;
    const struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, u->plan->modified};
    if (fchmod(u->fd, mode) < 0 || (u->plan->dated && futimens(u->fd, times) < 0))
        return false;
    if (!there && link_to(u, u->name)) {
        u->created = true;
        return true;
    }
    if (!there && (errno != EEXIST || u->plan->condition.absent))
        return false;
    if (there && fdatasync(u->fd) < 0)
        return false;
    if (!u->named && !(u->named = link_to(u, u->beside)))
        return false;
    if (renameat(u->dir, u->beside, u->dir, u->name) < 0)
        return false;
    u->named = false;
    return true;
}

static bool take_place(struct upload *u, struct upload_result *out, struct err *e)
{
    struct stat st;
    const struct stat *there;
    if (!look(u, &st, &there, e) || !condition_holds(&u->plan->condition, there, e))
        return false;
    if (!replace(u, there)) {
        if (errno == EEXIST && u->plan->condition.absent)
            return fail(e, 412, "If-None-Match: something is there already");
        return path_fail(e, u->plan->path);
    }
    out->replaced_bytes = there && S_ISREG(st.st_mode) && st.st_nlink == 1 ? st.st_size : 0;
    return true;
}

bool upload_commit(struct upload *u, struct upload_result *out, struct err *e)
{
    struct stat st;
    *out = (struct upload_result){0};
    if (!u->plan->append) {
        pthread_mutex_lock(&commit_lock);
        bool taken = take_place(u, out, e);
        pthread_mutex_unlock(&commit_lock);
        if (!taken)
            return false;
    }
    out->created = u->created;
    if (fstat(u->fd, &st) < 0)
        return path_fail(e, u->plan->path);
    entry_etag(&st, out->etag);
    return true;
}

void upload_touched(const struct upload *u, int root, size_t made, struct touched *t)
{
    const char *path = u->plan->path;
    int file = path_reopen(u->fd, O_RDONLY | O_NONBLOCK);
    if (file >= 0) /* one for writing would keep the file from being executed */
        touched_fd(t, file);
    else if (t && fsync(u->fd) != 0) /* its mode lets nobody read it */
        touched_at(t, u->fd);
    if (u->dir < 0 && !u->created)
        return;
    if (u->dir < 0) {
        touched_parent(t, root, path, made);
        return;
    }
    touched_at(t, u->dir); /* wherever it was moved to meanwhile */
    if (made) {
        scoped(string) char *folder = xstrndup(path, (size_t)(u->name - 1 - path));
        touched_parent(t, root, folder, made - 1);
    }
}
