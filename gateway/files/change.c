/* Each step goes from a folder that is held open to a name in it: what is put in its place
 * meanwhile is not followed. */
#include "gateway/files/change.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/files/path.h"
#include "protocol/ids.h"
#include "protocol/memory.h"

bool change_make_folder(int root, const char *path, bool absent, size_t *made, struct err *e)
{
    const char *name;
    scoped(string) char *inside = xasprintf("%s/.", path); /* its parent is the folder itself */
    *made = 0;
    int fd = path_open_parent(root, *path ? inside : ".", true, &name, made, e);
    if (fd < 0)
        return false;
    close(fd);
    return *made > 0 || !absent || fail(e, 412, "If-None-Match: something is there already");
}

/* RENAME_NOREPLACE; where the file system does not know it, a look before. */
static int rename_new(int from_dir, const char *from, int to_dir, const char *to)
{
    struct stat st;
    int status = renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE);
    if (status == 0 || errno != EINVAL)
        return status;
    if (fstatat(to_dir, to, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return -1;
    }
    return errno == ENOENT ? renameat(from_dir, from, to_dir, to) : -1;
}

static bool fail_move(const char *from, const char *to, struct err *e)
{
    if (errno == EEXIST || errno == ENOTEMPTY)
        return fail(e, 409, "%.150s: something is there already", to);
    if (errno == EINVAL)
        return fail(e, 409, "%.150s: cannot be moved into itself", from);
    if (errno == EISDIR || errno == ENOTDIR)
        return fail(e, 409, "%.150s: a folder and what is none cannot replace each other", to);
    return path_fail(e, from);
}

bool change_move(int root, const char *from, const char *to, bool overwrite, bool *replaced,
                 size_t *made, struct err *e)
{
    const char *from_name, *to_name;
    struct stat st;
    *replaced = false;
    *made = 0;
    if (!*from || !*to)
        return fail(e, 409, "the workspace itself stays where it is");
    if (path_is_below(to, from)) /* the system says EINVAL */
        return fail(e, 409, "%.150s: cannot be moved into itself", from);
    int from_dir = path_open_parent(root, from, false, &from_name, NULL, e);
    if (from_dir < 0)
        return false;
    if (fstatat(from_dir, from_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        path_fail(e, from);
        close(from_dir);
        return false;
    }
    int to_dir = path_open_parent(root, to, true, &to_name, made, e);
    bool moved = to_dir >= 0;
    if (moved && rename_new(from_dir, from_name, to_dir, to_name) != 0) {
        *replaced = overwrite && errno == EEXIST;
        moved = *replaced && renameat(from_dir, from_name, to_dir, to_name) == 0;
        if (!moved)
            fail_move(from, to, e);
    }
    if (to_dir >= 0)
        close(to_dir);
    close(from_dir);
    return moved;
}

bool change_make_link(int root, const char *path, const char *target, bool overwrite, size_t *made,
                      struct err *e)
{
    char id[UUID_TEXT], beside[UUID_TEXT + 16];
    const char *name;
    struct stat st;
    int dir = path_open_parent(root, path, true, &name, made, e);
    if (dir < 0)
        return false;
    uuid_make(id);
    snprintf(beside, sizeof beside, PATH_BESIDE "%s", id);
    bool there = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0, good = false;
    if (there && (!overwrite || S_ISDIR(st.st_mode)))
        fail(e, 409, "%.200s: something is there already", path);
    else if (!there && symlinkat(target, dir, name) == 0)
        good = true;
    else if (symlinkat(target, dir, beside) != 0)
        path_fail(e, path);
    else if (!(good = (overwrite ? renameat(dir, beside, dir, name)
                                 : rename_new(dir, beside, dir, name)) == 0)) {
        path_fail(e, path);
        unlinkat(dir, beside, 0);
    }
    close(dir);
    return good;
}

bool change_mode(int root, const char *path, mode_t mode, const struct condition *condition,
                 struct err *e)
{
    struct stat st;
    char self[64];
    int fd = path_open(root, path, true, e);
    if (fd < 0)
        return false;
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    bool ok = fstat(fd, &st) == 0 || path_fail(e, path);
    ok = ok && (!condition || condition_holds(condition, &st, e));
    ok = ok && (chmod(self, mode) == 0 || path_fail(e, path));
    close(fd);
    return ok;
}

/* Of a folder, what could not be removed first. */
struct removal {
    int error; /* errno; 0: all is gone */
    bool too_deep;
};

static void remove_entry(int dir, const char *name, int depth, struct removal *r);

static void empty_folder(int fd, int depth, struct removal *r) /* fd: taken */
{
    DIR *handle = fdopendir(fd);
    struct dirent *entry;
    while (handle && (entry = readdir(handle)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            remove_entry(dirfd(handle), entry->d_name, depth, r);
    if (handle)
        closedir(handle);
    else
        close(fd);
}

static void remove_entry(int dir, const char *name, int depth, struct removal *r)
{
    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
        return;
    int error = errno;
    if (error == EISDIR || error == EPERM) { /* EPERM: POSIX's word for a folder */
        if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
            return;
        error = errno == ENOTDIR ? error : errno;
    }
    if (error == ENOTEMPTY && depth >= REMOVE_DEPTH_MOST) {
        r->too_deep = true;
    } else if (error == ENOTEMPTY) {
        int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0)
            empty_folder(fd, depth + 1, r);
        else
            error = errno;
        if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
            return;
        error = fd >= 0 ? errno : error;
    }
    r->error = r->error ? r->error : error;
}

static bool remove_folder(int dir, const char *name, const char *path, struct err *e)
{
    struct removal r = {0};
    remove_entry(dir, name, 0, &r);
    if (!r.error)
        return true;
    if (r.too_deep)
        return fail(e, 409, "%.200s: folders in it are more than %d deep", path, REMOVE_DEPTH_MOST);
    errno = r.error;
    return path_fail(e, path);
}

bool change_remove(int root, const char *path, bool recursive, const struct condition *condition,
                   struct err *e)
{
    const char *name;
    struct stat st;
    if (!*path)
        return fail(e, 409, "the workspace itself cannot be removed");
    int dir = path_open_parent(root, path, false, &name, NULL, e);
    if (dir < 0)
        return false;
    bool there = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    bool removed = false;
    if (!there)
        path_fail(e, path);
    else if (!condition_holds(condition, &st, e))
        removed = false;
    else if (!S_ISDIR(st.st_mode))
        removed = unlinkat(dir, name, 0) == 0 || path_fail(e, path);
    else if (!recursive)
        fail(e, 409, "%.200s: this is a folder; ?recursive=1 removes it with all in it", path);
    else
        removed = remove_folder(dir, name, path, e);
    close(dir);
    return removed;
}
