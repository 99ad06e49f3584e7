/* A short list of descriptors, each of another file.
 *
 * Invariant: what cannot be opened is not passed over: then all of the file system is to be
 * synced. */
#include "gateway/files/touched.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/files/path.h"
#include "protocol/memory.h"

int touched_take(struct touched *t)
{
    return t->count ? t->list[--t->count] : -1;
}

static void take_all(struct touched *t)
{
    int fd;
    while ((fd = touched_take(t)) >= 0)
        close(fd);
    t->all = true;
}

static bool is_listed(const struct touched *t, const struct stat *st)
{
    struct stat other;
    for (size_t i = 0; i < t->count; i++)
        if (fstat(t->list[i], &other) == 0 && other.st_ino == st->st_ino &&
            other.st_dev == st->st_dev)
            return true;
    return false;
}

void touched_fd(struct touched *t, int fd)
{
    if (t && !t->all && t->count < TOUCHED_MOST) {
        t->list[t->count++] = fd;
        return;
    }
    close(fd);
    if (t)
        take_all(t);
}

void touched_at(struct touched *t, int at)
{
    struct stat st;
    if (!t || t->all)
        return;
    bool known = fstat(at, &st) == 0;
    if (known && is_listed(t, &st))
        return;
    /* what is neither cannot be synced by itself, and to open it may do something */
    bool opens = known && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
    int fd = opens ? path_reopen(at, O_RDONLY | O_NONBLOCK) : -1;
    if (fd >= 0)
        touched_fd(t, fd);
    else
        take_all(t);
}

void touched_entry(struct touched *t, int root, const char *path)
{
    struct err e;
    if (!t || t->all)
        return;
    int at = path_open(root, path, true, &e);
    if (at >= 0) {
        touched_at(t, at);
        close(at);
    } else if (e.status == 503) { /* else it is there no more, or leads out */
        take_all(t);
    }
}

/* Cuts the last name off. */
static void go_up(char *path)
{
    char *slash = strrchr(path, '/');
    *(slash ? slash : path) = '\0';
}

void touched_folder(struct touched *t, int root, const char *path, size_t above)
{
    scoped(string) char *at = xstrdup(path);
    for (size_t i = 0; i <= above; i++) {
        touched_entry(t, root, at);
        go_up(at);
    }
}

void touched_parent(struct touched *t, int root, const char *path, size_t above)
{
    scoped(string) char *folder = xstrdup(path);
    go_up(folder);
    touched_folder(t, root, folder, above);
}
