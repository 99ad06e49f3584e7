/* The spill file: written at its end, forgotten from its start by punching holes, cut to nothing
 * when it is all forgotten. */
#include "kernel/host/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define PUNCH_BYTES (4 * 1024 * 1024)

struct spill {
    char *directory;
    int fd; /* -1: not made yet */
    int64_t end;
    int64_t punched;
};

struct spill *spill_new(const char *directory)
{
    struct spill *spill = xcalloc(1, sizeof *spill);
    spill->directory = xstrdup(directory);
    spill->fd = -1;
    return spill;
}

void spill_free(struct spill *spill)
{
    if (!spill)
        return;
    if (spill->fd >= 0)
        close(spill->fd);
    free(spill->directory);
    free(spill);
}

/* File systems without O_TMPFILE get a name that is removed at once. */
static int open_nameless(const char *directory)
{
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    scoped(string) char *path = xasprintf("%s/.spill-XXXXXX", directory);
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

bool spill_write(struct spill *spill, struct bytes data, int64_t *offset, struct err *e)
{
    if (spill->fd < 0)
        spill->fd = open_nameless(spill->directory);
    if (spill->fd < 0)
        return fail_errno(e, 503, "cannot make a file in %s", spill->directory);
    for (size_t done = 0; done < data.len;) {
        ssize_t wrote =
            pwrite(spill->fd, data.data + done, data.len - done, spill->end + (int64_t)done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return fail_errno(e, 503, "cannot write the unacknowledged output");
        done += (size_t)wrote;
    }
    *offset = spill->end;
    spill->end += (int64_t)data.len;
    return true;
}

bool spill_read(const struct spill *spill, int64_t offset, char *out, size_t len, struct err *e)
{
    for (size_t done = 0; done < len;) {
        ssize_t got = pread(spill->fd, out + done, len - done, offset + (int64_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return fail_errno(e, 500, "cannot read the unacknowledged output back");
        done += (size_t)got;
    }
    return true;
}

void spill_forget(struct spill *spill, int64_t offset)
{
    if (spill->fd < 0)
        return;
    if (offset >= spill->end) {
        if (spill->end > 0 && ftruncate(spill->fd, 0) == 0)
            spill->end = spill->punched = 0;
        return;
    }
    if (offset - spill->punched < PUNCH_BYTES)
        return;
    /* Where a file system cannot punch, the file shrinks when all of it is forgotten. */
    if (fallocate(spill->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, spill->punched,
                  offset - spill->punched) == 0)
        spill->punched = offset;
}

int64_t spill_end(const struct spill *spill)
{
    return spill->end;
}
