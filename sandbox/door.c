/* A socket's file outlives its listener when that is killed; so who comes asks whether anybody
 * listens, under a lock, before it takes the file away. */
#include "sandbox/door.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol/memory.h"

#define BACKLOG 256

static int folder_of(const char *path, struct err *e)
{
    scoped(string) char *copy = xstrdup(path);
    const char *folder = dirname(copy);
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
        fail_errno(e, 503, "cannot make %s", folder);
        return -1;
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        fail_errno(e, 503, "cannot open %s", folder);
    return fd;
}

static bool somebody_listens(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool good = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) == 0;
    bool full = !good && errno == EAGAIN;
    if (fd >= 0)
        close(fd);
    return good || full;
}

static bool listen_at(const struct sockaddr_un *address, struct door *out)
{
    struct stat found;
    mode_t old = umask(0177);
    out->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool good =
        out->fd >= 0 && bind(out->fd, (const struct sockaddr *)address, sizeof *address) == 0 &&
        listen(out->fd, BACKLOG) == 0 &&
        (out->file_fd = openat(out->folder_fd, out->name, O_PATH | O_NOFOLLOW | O_CLOEXEC)) >= 0 &&
        fstat(out->file_fd, &found) == 0;
    umask(old);
    if (!good)
        return false;
    out->device = found.st_dev;
    out->inode = found.st_ino;
    return true;
}

static enum door_state open_locked(const struct sockaddr_un *address, struct door *out,
                                   struct err *e)
{
    if (somebody_listens(address))
        return DOOR_TAKEN;
    unlinkat(out->folder_fd, out->name, 0);
    if (listen_at(address, out))
        return DOOR_OPEN;
    fail_errno(e, 503, "cannot listen on %s", address->sun_path);
    if (out->fd >= 0)
        close(out->fd);
    if (out->file_fd >= 0)
        close(out->file_fd);
    return DOOR_FAILED;
}

enum door_state door_open(const char *path, struct door *out, struct err *e)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *out = (struct door){.fd = -1, .folder_fd = -1, .file_fd = -1};
    if (strlen(path) >= sizeof address.sun_path) {
        fail(e, 400, "%s: longer than %zu bytes", path, sizeof address.sun_path - 1);
        return DOOR_FAILED;
    }
    strcpy(address.sun_path, path);
    snprintf(out->name, sizeof out->name, "%s", strrchr(path, '/') + 1);
    out->folder_fd = folder_of(path, e);
    if (out->folder_fd < 0)
        return DOOR_FAILED;
    flock(out->folder_fd, LOCK_EX);
    enum door_state state = open_locked(&address, out, e);
    flock(out->folder_fd, LOCK_UN);
    if (state != DOOR_OPEN)
        close(out->folder_fd);
    return state;
}

void door_close(struct door *d)
{
    struct stat found;
    flock(d->folder_fd, LOCK_EX);
    if (fstatat(d->folder_fd, d->name, &found, AT_SYMLINK_NOFOLLOW) == 0 &&
        found.st_dev == d->device && found.st_ino == d->inode)
        unlinkat(d->folder_fd, d->name, 0);
    close(d->file_fd);
    close(d->folder_fd);
}
