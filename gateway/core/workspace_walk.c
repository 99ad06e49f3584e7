/* A walk through folders that code inside may be changing: each is opened by its name in one that
 * is held open, and is left out when it has gone meanwhile. */
#include "gateway/core/workspace_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "gateway/core/workspace_scan.h"
#include "protocol/bytes.h"

#define PATH_BYTES_MOST (16 * 1024 * 1024) /* of all names together */

struct walk {
    struct workspace_files *out;
    dev_t device;
    size_t names, path_bytes;
    struct buffer path; /* of the folder that it is in, with its last slash */
    bool full;
};

static int64_t ns_of(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void workspace_file_fill(struct workspace_file *file, const struct stat *st)
{
    file->kind = S_ISREG(st->st_mode) ? 'f' : S_ISLNK(st->st_mode) ? 'l' : 'o';
    file->inode = (int64_t)st->st_ino;
    file->size_bytes = st->st_size;
    file->modified_ns = ns_of(st->st_mtim);
    file->changed_ns = ns_of(st->st_ctim);
}

static void walk_folder(struct walk *w, int fd, int depth);

static void walk_entry(struct walk *w, int dir, const char *name, int depth)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    size_t before = w->path.len;
    buffer_add_text(&w->path, name);
    w->path_bytes += w->path.len;
    w->full = ++w->names > WORKSPACE_FILES_MOST || w->path_bytes > PATH_BYTES_MOST;
    if (w->full) {
        w->path.len = before;
        return;
    }
    if (!S_ISDIR(st.st_mode)) {
        workspace_file_fill(workspace_files_add(w->out, xstrndup(w->path.data, w->path.len)), &st);
    } else if (st.st_dev == w->device && depth < WORKSPACE_DEPTH_MOST &&
               strcmp(name, "__pycache__") != 0) {
        int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        buffer_add_text(&w->path, "/");
        if (fd >= 0)
            walk_folder(w, fd, depth + 1);
    }
    w->path.len = before;
}

static void walk_folder(struct walk *w, int fd, int depth) /* fd: taken */
{
    DIR *handle = fdopendir(fd);
    struct dirent *entry;
    if (!handle) {
        close(fd);
        return;
    }
    while (!w->full && (entry = readdir(handle)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            walk_entry(w, dirfd(handle), entry->d_name, depth);
    closedir(handle);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct workspace_file *)a)->path,
                  ((const struct workspace_file *)b)->path);
}

bool workspace_walk(int root, struct workspace_files *out, struct err *e)
{
    struct stat st;
    int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        fail_errno(e, 503, "the workspace cannot be read");
        if (fd >= 0)
            close(fd);
        return false;
    }
    struct walk w = {.out = out, .device = st.st_dev};
    workspace_files_add(out, xstrdup(""))->kind = 'w';
    walk_folder(&w, fd, 1);
    buffer_free(&w.path);
    qsort(out->list, out->count, sizeof(*out->list), by_path);
    return !w.full ||
           fail(e, 413, "the workspace has more than %d names, the most that are looked at",
                WORKSPACE_FILES_MOST);
}
