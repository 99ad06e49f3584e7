/* `warmcell backup FILE`: all that a gateway has stored, while it runs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/cli/call.h"
#include "gateway/cli/cli.h"

static bool write_all(int fd, struct bytes data)
{
    while (data.len) {
        ssize_t wrote = write(fd, data.data, data.len);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return false;
        data = (struct bytes){data.data + wrote, data.len - (size_t)wrote};
    }
    return true;
}

static bool receive(struct call *call, int fd, const char *path, struct err *e)
{
    struct bytes piece;
    do {
        if (!call_next(call, &piece, e))
            return false;
        if (!write_all(fd, piece))
            return fail_errno(e, CLI_FAILED, "cannot write %.200s", path);
    } while (piece.len);
    return fsync(fd) == 0 || errno == EINVAL ||
           fail_errno(e, CLI_FAILED, "cannot write %.200s", path);
}

static bool backup_run(struct cli *c, struct err *e)
{
    const char *path = c->words[0];
    scoped(string) char *partial = xasprintf("%s.partial", path);
    const struct call_request request = {.method = "GET", .path = "/v1/backup"};
    scoped(call) struct call *call = call_send(c->target, &request, e);
    if (!call || !call_accepted(call, e))
        return false;
    int fd = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_errno(e, CLI_FAILED, "cannot write %.200s", partial);
    bool good = receive(call, fd, partial, e);
    close(fd);
    if (good && rename(partial, path) == 0)
        return true;
    if (good)
        fail_errno(e, CLI_FAILED, "cannot write %.200s", path);
    unlink(partial);
    return false;
}

const struct verb cli_backup = {
    .name = "backup",
    .words = "FILE",
    .help = "write all that the gateway has stored to a tar, while it runs; unpacked into an empty "
            "folder it is one for --state-dir",
    CLI_PLAIN,
    .min_words = 1,
    .max_words = 1,
    .run = backup_run,
};
