/* `warmcell backup FILE|-`: all that a gateway has stored, while it runs. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/cli/call.h"
#include "gateway/cli/cli.h"
#include "gateway/cli/follow.h"

struct backup_options {
    struct cli_options common;
    bool force;
};

static const struct option rows[] = {
    CLI_ROWS,
    {"force", OPTION_BOOL, offsetof(struct backup_options, force), NULL,
     .help = "replace FILE where it is there", .flag_only = true},
};

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

static bool may_write(const char *path, bool force, struct err *e)
{
    struct stat about;
    if (lstat(path, &about) != 0)
        return true; /* or open says why not */
    if (!S_ISREG(about.st_mode))
        return fail(e, CLI_FAILED, "%.200s is there, and is no file that could be replaced", path);
    return force || fail(e, CLI_FAILED,
                         "%.200s is there; name another file, or replace it with --force", path);
}

static bool to_stdout(const struct cli *c, struct err *e)
{
    struct bytes piece;
    const struct call_request request = {.method = "GET", .path = "/v1/backup"};
    if (isatty(STDOUT_FILENO))
        return fail(e, CLI_USAGE, "a tar is nothing for a terminal; name a file, or a pipe");
    scoped(call) struct call *call = call_send(c->target, &request, e);
    if (!call || !call_accepted(call, e))
        return false;
    do {
        if (!call_next(call, &piece, e) || !follow_write(STDOUT_FILENO, piece, e))
            return false;
    } while (piece.len);
    return true;
}

static bool to_file(const struct cli *c, const char *path, struct err *e)
{
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

static bool backup_run(struct cli *c, struct err *e)
{
    const struct backup_options *o = c->options;
    const char *path = c->words[0];
    if (strcmp(path, "-") == 0)
        return to_stdout(c, e);
    return may_write(path, o->force, e) && to_file(c, path, e);
}

const struct verb cli_backup = {
    .name = "backup",
    .words = "FILE|-",
    .help = "write all that the gateway has stored to a tar, while it runs; unpacked into an empty "
            "folder it is one for --state-dir",
    .options = rows,
    .option_count = countof(rows),
    .options_size = sizeof(struct backup_options),
    .min_words = 1,
    .max_words = 1,
    .run = backup_run,
};
