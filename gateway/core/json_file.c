/* Writes JSON files with few calls: they lie in the way of requests.
 *
 * A rename onto another file makes some file systems (ext4) send the data to the disk first and
 * wait; to exchange the two and remove the old one does not, and is as whole. */
#include "gateway/core/json_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "protocol/memory.h"

static bool write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t wrote = write(fd, text, len);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return false;
        text += wrote;
        len -= (size_t)wrote;
    }
    return true;
}

bool json_file_write(const char *path, const json_t *value, struct err *e)
{
    scoped(string) char *text = json_dumps(value, JSON_COMPACT);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool written = text && fd >= 0 && write_all(fd, text, strlen(text));
    int cause = errno;
    if (fd >= 0)
        close(fd);
    errno = cause;
    return written || fail_errno(e, 503, "the file %.150s cannot be written", path);
}

bool json_file_replace(const char *path, const json_t *value, struct err *e)
{
    scoped(string) char *fresh = xasprintf("%s.new", path);
    if (!json_file_write(fresh, value, e))
        return false;
    if (renameat2(AT_FDCWD, fresh, AT_FDCWD, path, RENAME_EXCHANGE) == 0) {
        unlink(fresh);
        return true;
    }
    /* there is none yet, or this file system cannot exchange */
    return rename(fresh, path) == 0 || fail_errno(e, 503, "the file %.150s cannot be put", path);
}
