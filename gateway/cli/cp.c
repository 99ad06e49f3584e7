/* `warmcell cp`: a file or a folder in or out, of any size. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/folder.h"
#include "gateway/cli/remote.h"
#include "gateway/cli/transfer.h"

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_folder(const char *local)
{
    struct stat about;
    return strcmp(local, "-") != 0 && stat(local, &about) == 0 && S_ISDIR(about.st_mode);
}

/* Where a file goes: into a folder by its own name. */
static char *local_place(const char *word, const char *from)
{
    return is_folder(word) ? xasprintf("%s/%s", word, base_name(from)) : xstrdup(word);
}

static bool copy_in(const struct cli *c, const char *from, const char *to, int64_t *bytes,
                    struct err *e)
{
    scoped(string) char *path = remote_api_path(c->target, to, from, e);
    if (!path)
        return false;
    return is_folder(from) ? folder_up(c, from, path, bytes, e)
                           : transfer_up(c->target, from, path, bytes, e);
}

static bool copy_out(const struct cli *c, const char *from, const char *to, int64_t *bytes,
                     struct err *e)
{
    bool folder;
    scoped(string) char *path = remote_api_path(c->target, from, NULL, e);
    scoped(string) char *local = local_place(to, remote_path(from));
    if (!path || !remote_is_folder(c->target, path, &folder, e))
        return false;
    if (!folder)
        return transfer_down(c->target, path, local, bytes, e);
    if (strcmp(local, "-") == 0)
        return fail(e, CLI_FAILED, "%.200s is a folder; name one here that it goes into", from);
    return folder_down(c, path, local, bytes, e);
}

/* word without slashes at its end, so that it has a last name; given. */
static char *without_slashes(const char *word)
{
    size_t len = strlen(word);
    while (len > 1 && word[len - 1] == '/')
        len--;
    return xstrndup(word, len);
}

static bool cp_run(struct cli *c, struct err *e)
{
    const char *to = c->words[1];
    scoped(string) char *from = without_slashes(c->words[0]);
    const char *remote_from = remote_path(from), *remote_to = remote_path(to);
    int64_t bytes = 0;
    if (!remote_from == !remote_to)
        return fail(e, CLI_USAGE,
                    "one of the two must be SANDBOX:PATH, the other a file or folder here");
    if (remote_from && !*base_name(remote_from))
        return fail(e, CLI_USAGE, "%.200s: names no file", from);
    if (remote_to && strcmp(from, "-") == 0 && !*base_name(remote_to))
        return fail(e, CLI_USAGE, "%.200s: what comes from stdin needs a name", to);
    if (!(remote_to ? copy_in(c, from, to, &bytes, e) : copy_out(c, from, to, &bytes, e)))
        return false;
    if (c->json && strcmp(remote_to ? from : to, "-") != 0)
        printf("{\"bytes\": %lld}\n", (long long)bytes);
    return true;
}

const struct verb cli_cp = {
    .name = "cp",
    .words = "FILE|FOLDER|- SANDBOX:PATH | SANDBOX:PATH FILE|FOLDER|-",
    .help =
        "copy a file, or a folder with all in it, into a sandbox's workspace, or out of it; each "
        "file appears whole or not at all; links that lead out of the folder are named and skipped",
    CLI_PLAIN,
    .min_words = 2,
    .max_words = 2,
    .run = cp_run,
};
