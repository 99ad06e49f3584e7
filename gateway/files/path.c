/* Every way into a workspace. The kernel keeps us below the folder; what it would refuse although
 * it stays inside, an absolute link to /workspace, is spelled out by following the links in text
 * and asking the kernel again: that text is a wish, and decides nothing. */
#include "gateway/files/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocol/bytes.h"

#define LINKS_MOST 40 /* as the kernel */
#define TRIES_MOST 64 /* EAGAIN: a folder was renamed while ".." of a link was looked up */

char *path_clean(const char *text, struct err *e)
{
    scoped(buffer) struct buffer out = {0};
    while (*text) {
        size_t len = strcspn(text, "/");
        struct bytes name = {text, len};
        if (bytes_is(name, ".") || bytes_is(name, "..")) {
            fail(e, 400, "a path must not have a %.*s in it", (int)len, text);
            return NULL;
        }
        if (len > NAME_MAX) {
            fail(e, 400, "a name in the path is longer than %d bytes", NAME_MAX);
            return NULL;
        }
        if (len && out.len)
            buffer_add_text(&out, "/");
        buffer_add_bytes(&out, name);
        text += len + (text[len] == '/');
    }
    if (out.len >= PATH_MAX) {
        fail(e, 400, "the path is longer than %d bytes", PATH_MAX - 1);
        return NULL;
    }
    return xstrdup(buffer_text(&out));
}

bool path_is_below(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    return strncmp(path, folder, len) == 0 && path[len] == '/';
}

int path_root(const char *folder, struct err *e)
{
    int fd = open(folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
        path_fail(e, "");
    else if (fd < 0)
        fail(e, 404, "the sandbox has no workspace any more");
    return fd;
}

bool path_fail(struct err *e, const char *path)
{
    static const struct {
        int error, status;
        const char *text;
    } rows[] = {
        {ENOENT, 404, "there is no such file or folder"},
        {ENOTDIR, 409, "something on the way is not a folder"},
        {EACCES, 403, "the sandbox itself may not do this"},
        {EPERM, 403, "the sandbox itself may not do this"},
        {EROFS, 403, "this cannot be changed"},
        {EXDEV, 403, "a link leads out of the workspace"},
        {ELOOP, 403, "there are too many links, or one that cannot be followed"},
        {ENAMETOOLONG, 400, "a name is too long"},
        {EINVAL, 400, "this is not possible with such a name"},
        {EEXIST, 409, "something is there already"},
        {EISDIR, 409, "this is a folder"},
        {ENOTEMPTY, 409, "the folder is not empty"},
        {EBUSY, 409, "this is in use"},
        {ETXTBSY, 409, "this program is running"},
        {EFBIG, 413, "the file system takes no file of this size"},
        {ENOSPC, 507, "no space is left on the disk"},
        {EDQUOT, 507, "no space is left on the disk"},
        {EAGAIN, 503, "the folders on the way are being moved about"},
        {EMFILE, 503, "too many files are open"},
        {ENFILE, 503, "too many files are open"},
        {ENOMEM, 503, "memory is short"},
        {ENOSYS, 501, "this system has no openat2"},
    };
    int error = errno;
    for (size_t i = 0; i < countof(rows); i++)
        if (rows[i].error == error)
            return fail(e, rows[i].status, "%.200s: %s", *path ? path : ".", rows[i].text);
    errno = error;
    return fail_errno(e, 500, "%.200s", *path ? path : ".");
}

static int open_beneath(int root, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    long fd = -1;
    for (int i = 0; i < TRIES_MOST; i++) {
        fd = syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return (int)fd;
}

/* What a link at prefix with this target and rest behind it stands for; NULL: it leads out. */
static char *spell(struct bytes prefix, const char *target, const char *rest)
{
    size_t inside = strlen(PATH_WORKSPACE);
    if (*target != '/') {
        const char *slash = memrchr(prefix.data, '/', prefix.len);
        size_t len = slash ? (size_t)(slash + 1 - prefix.data) : 0;
        return xasprintf("%.*s%s%s", (int)len, prefix.data, target, rest);
    }
    if (strncmp(target, PATH_WORKSPACE, inside) != 0 ||
        (target[inside] != '/' && target[inside] != '\0'))
        return NULL;
    target += inside;
    target += strspn(target, "/");
    rest += *target ? 0 : strspn(rest, "/");
    return xasprintf("%s%s", target, rest);
}

/* path with its first link spelled out; NULL with errno 0: there is none; else with why not. */
static char *follow_first(int root, const char *path, bool last)
{
    char target[PATH_MAX];
    for (size_t end = strcspn(path, "/"); *path; end += 1 + strcspn(path + end + 1, "/")) {
        scoped(string) char *prefix = xstrndup(path, end);
        if (!path[end] && !last)
            break;
        int fd = open_beneath(root, prefix, O_PATH | O_NOFOLLOW);
        if (fd < 0)
            return NULL;
        ssize_t len = readlinkat(fd, "", target, sizeof target - 1);
        close(fd);
        if (len >= 0) {
            target[len] = '\0';
            char *out = spell((struct bytes){path, end}, target, path + end);
            errno = out && strlen(out) >= PATH_MAX ? ENAMETOOLONG : EXDEV;
            return out;
        }
        if (!path[end])
            break;
    }
    errno = 0;
    return NULL;
}

/* Opens path by what its links mean inside. */
static int open_spelled(int root, const char *path, int flags)
{
    scoped(string) char *at = xstrdup(path);
    for (int i = 0; i < LINKS_MOST; i++) {
        char *next = follow_first(root, at, !(flags & O_NOFOLLOW));
        if (!next)
            return errno ? -1 : open_beneath(root, at, flags);
        free(at);
        at = next;
        if (errno == ENAMETOOLONG)
            return -1;
    }
    errno = ELOOP;
    return -1;
}

static int open_inside(int root, const char *path, int flags)
{
    int fd = open_beneath(root, path, flags);
    return fd < 0 && errno == EXDEV ? open_spelled(root, path, flags) : fd;
}

int path_open(int root, const char *path, bool follow, struct err *e)
{
    int fd = open_inside(root, path, O_PATH | (follow ? 0 : O_NOFOLLOW));
    if (fd < 0) {
        errno = errno == ENOTDIR ? ENOENT : errno; /* below a file there is nothing */
        path_fail(e, path);
    }
    return fd;
}

/* Makes the folder `name` in dir with PATH_MODE whatever the umask is, and opens it. -1. */
static int make_folder(int dir, const char *name, size_t *made)
{
    bool new = mkdirat(dir, name, 0700) == 0;
    if (!new &&errno != EEXIST)
        return -1;
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && new) {
        fchmod(fd, PATH_MODE);
        *made += 1;
    }
    return fd;
}

static int make_folders(int root, const char *path, size_t *made)
{
    int at = openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (size_t start = 0, end; at >= 0; start = end + 1) {
        end = start + strcspn(path + start, "/");
        scoped(string) char *prefix = xstrndup(path, end);
        int next = open_inside(root, prefix, O_PATH | O_DIRECTORY);
        if (next < 0 && errno == ENOENT)
            next = make_folder(at, prefix + start, made);
        close(at);
        at = next;
        if (!path[end])
            break;
    }
    return at;
}

int path_make_plain(int from, const char *path, size_t *made, struct err *e)
{
    int at = openat(from, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    *made = 0;
    for (const char *part = path; at >= 0 && *part;) {
        size_t len = strcspn(part, "/");
        scoped(string) char *name = xstrndup(part, len);
        int next = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0 && errno == ENOENT)
            next = make_folder(at, name, made);
        close(at);
        at = next;
        part += len + (part[len] == '/');
    }
    if (at < 0 && (errno == ENOTDIR || errno == ELOOP))
        fail(e, 409, "%.200s: a link, or something else that is no folder, is on the way", path);
    else if (at < 0)
        path_fail(e, path);
    return at;
}

int path_open_parent(int root, const char *path, bool make, const char **name, size_t *made,
                     struct err *e)
{
    size_t counted = 0;
    const char *slash = strrchr(path, '/');
    scoped(string) char *parent = xstrndup(path, slash ? (size_t)(slash - path) : 0);
    *name = slash ? slash + 1 : path;
    int fd = open_inside(root, parent, O_PATH | O_DIRECTORY);
    if (fd < 0 && errno == ENOENT && make)
        fd = make_folders(root, parent, &counted);
    if (made)
        *made = counted;
    if (fd < 0) {
        errno = errno == ENOTDIR && !make ? ENOENT : errno;
        path_fail(e, make ? path : parent);
    }
    return fd;
}

int path_reopen(int fd, int flags)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, flags | O_CLOEXEC);
}

int path_filesystem(const char *folder)
{
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = open(folder, flags);
    const char *slash = strrchr(folder, '/');
    if (fd >= 0 || errno != EACCES || !slash)
        return fd;
    scoped(string) char *above = xstrndup(folder, (size_t)(slash - folder));
    return open(above, flags);
}
