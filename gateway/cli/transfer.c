/* One piece at a time in memory, whatever the length. Used by cp and by run. */
#include "gateway/cli/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/follow.h"
#include "gateway/cli/progress.h"

#define PIECE_BYTES (256 * 1024)

static bool receive_all(struct call *c, int fd, int64_t *bytes, struct err *e)
{
    struct progress progress = {0};
    struct bytes piece;
    do {
        if (!call_next(c, &piece, e) || !follow_write(fd, piece, e))
            return false;
        *bytes += (int64_t)piece.len;
        progress_show(&progress, *bytes);
    } while (piece.len);
    progress_end(&progress);
    return true;
}

static bool save(struct call *c, const char *local, int64_t *bytes, struct err *e)
{
    scoped(string) char *partial = xasprintf("%s.%d.part", local, (int)getpid());
    int fd = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return fail_errno(e, CLI_FAILED, "%.200s cannot be written", local);
    bool ok = receive_all(c, fd, bytes, e);
    ok = (close(fd) == 0 || fail_errno(e, CLI_FAILED, "%.200s cannot be written", local)) && ok;
    if (ok && rename(partial, local) != 0)
        ok = fail_errno(e, CLI_FAILED, "%.200s cannot be written", local);
    if (!ok)
        unlink(partial);
    return ok;
}

bool transfer_down(const struct target *t, const char *path, const char *local, int64_t *bytes,
                   struct err *e)
{
    int64_t count = 0;
    const struct call_request request = {.method = "GET", .path = path};
    scoped(call) struct call *c = call_send(t, &request, e);
    bool ok = c && call_accepted(c, e) &&
              (strcmp(local, "-") == 0 ? receive_all(c, STDOUT_FILENO, &count, e)
                                       : save(c, local, &count, e));
    if (bytes)
        *bytes = count;
    return ok;
}

/* The body from fd. left: bytes that were promised; CALL_BODY_FOLLOWS_CHUNKED: to its end. Ends
 * early when the gateway takes no more. */
static bool send_body(struct call *c, int fd, int64_t left, int64_t *bytes, struct err *e)
{
    static char piece[PIECE_BYTES];
    struct progress progress = {0};
    bool chunked = left == CALL_BODY_FOLLOWS_CHUNKED;
    while (chunked || left > 0) {
        size_t want = chunked || left > PIECE_BYTES ? PIECE_BYTES : (size_t)left;
        ssize_t got = read(fd, piece, want);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_errno(e, CLI_FAILED, "cannot read what is to be sent");
        if (got == 0 && !chunked)
            return fail(e, CLI_FAILED, "the file became shorter while it was sent");
        if (got == 0)
            break;
        e->status = 0;
        if (!call_write(c, (struct bytes){piece, (size_t)got}, e))
            return e->status == 0;
        *bytes += got;
        left -= chunked ? 0 : got;
        progress_show(&progress, *bytes);
    }
    progress_end(&progress);
    return call_finish(c, e);
}

static int open_local(const char *local, struct stat *about, struct err *e)
{
    int fd = strcmp(local, "-") == 0 ? dup(STDIN_FILENO) : open(local, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, about) != 0) {
        fail_errno(e, CLI_FAILED, "%.200s cannot be read", local);
    } else if (S_ISDIR(about->st_mode)) {
        fail(e, CLI_FAILED, "%.200s is a folder; copy its files one by one, or as a tar file",
             local);
    } else {
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

bool transfer_up(const struct target *t, const char *local, const char *path, int64_t *bytes,
                 struct err *e)
{
    struct stat about;
    struct bytes piece;
    int64_t count = 0;
    int fd = open_local(local, &about, e);
    if (fd < 0)
        return false;
    off_t at = lseek(fd, 0, SEEK_CUR);
    const struct call_request request = {
        .method = "PUT",
        .path = path,
        .content_type = "application/octet-stream",
        .body_follows = true,
        .length_bytes = S_ISREG(about.st_mode) && at >= 0 && at <= about.st_size
                            ? about.st_size - at
                            : CALL_BODY_FOLLOWS_CHUNKED,
    };
    scoped(call) struct call *c = call_send(t, &request, e);
    bool ok = c && send_body(c, fd, request.length_bytes, &count, e) && call_accepted(c, e) &&
              call_next(c, &piece, e);
    close(fd);
    if (bytes)
        *bytes = count;
    return ok;
}
