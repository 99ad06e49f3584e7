/* `warmcell cp`: one file in or out, of any size. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/sandbox.h"
#include "gateway/cli/transfer.h"
#include "gateway/net/url.h"
#include "protocol/json.h"

/* The path behind "SANDBOX:"; NULL: the word names a local file. "./a:b" is one, too. */
static const char *remote_path(const char *word)
{
    const char *colon = strchr(word, ':'), *slash = strchr(word, '/');
    return colon && colon != word && (!slash || slash > colon) ? colon + 1 : NULL;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* "SANDBOX:path" as a path of the API. A path in /workspace may be said whole; one that is empty or
 * ends in a slash gets the name of `from`. */
static char *api_path(const struct cli *c, const char *word, const char *from, struct err *e)
{
    static const char workspace[] = "/workspace";
    char id[SANDBOX_ID_TEXT];
    const char *path = remote_path(word);
    scoped(string) char *name = xstrndup(word, (size_t)(path - 1 - word));
    scoped(buffer) struct buffer out = {0};
    if (!cli_sandbox_find(c->target, name, id, e))
        return NULL;
    if (strncmp(path, workspace, strlen(workspace)) == 0 &&
        (path[strlen(workspace)] == '/' || !path[strlen(workspace)]))
        path += strlen(workspace);
    else if (*path == '/') {
        fail(e, CLI_USAGE, "%.200s: only files below /workspace can be reached", word);
        return NULL;
    }
    path += strspn(path, "/");
    buffer_printf(&out, "/v1/sandboxes/%s/files/", id);
    url_encode_path(&out, bytes_of(path));
    if (from && (!*path || path[strlen(path) - 1] == '/'))
        url_encode_path(&out, bytes_of(base_name(from)));
    return buffer_take(&out, NULL);
}

/* Where a file goes: into a folder by its own name. */
static char *local_place(const char *word, const char *from)
{
    struct stat about;
    bool folder = strcmp(word, "-") != 0 && stat(word, &about) == 0 && S_ISDIR(about.st_mode);
    return folder ? xasprintf("%s/%s", word, base_name(from)) : xstrdup(word);
}

/* What a folder is answered with is its list, which nobody means. */
static bool check_file(const struct cli *c, const char *path, const char *word, struct err *e)
{
    const char *kind = "";
    scoped(string) char *query = xasprintf("%s?stat=1", path);
    scoped(json) json_t *entry = call_json(c->target, "GET", query, NULL, e);
    if (!entry || !field_str(entry, "kind", OPTIONAL, &kind, e))
        return false;
    return strcmp(kind, "folder") != 0 ||
           fail(e, CLI_FAILED, "%.200s is a folder; copy its files one by one, or as a tar file",
                word);
}

static bool cp_run(struct cli *c, struct err *e)
{
    const char *from = c->words[0], *to = c->words[1];
    const char *remote_from = remote_path(from), *remote_to = remote_path(to);
    int64_t bytes = 0;
    if (!remote_from == !remote_to)
        return fail(e, CLI_USAGE, "one of the two must be SANDBOX:PATH, the other a file here");
    if (remote_from && !*base_name(remote_from))
        return fail(e, CLI_USAGE, "%.200s: names no file", from);
    if (remote_to && strcmp(from, "-") == 0 && !*base_name(remote_to))
        return fail(e, CLI_USAGE, "%.200s: what comes from stdin needs a name", to);
    scoped(string) char *path = remote_to ? api_path(c, to, from, e) : api_path(c, from, NULL, e);
    scoped(string) char *local = remote_to ? xstrdup(from) : local_place(to, remote_from);
    bool ok = path && (remote_to ? transfer_up(c->target, local, path, &bytes, e)
                                 : check_file(c, path, from, e) &&
                                       transfer_down(c->target, path, local, &bytes, e));
    if (!ok)
        return false;
    if (c->json && strcmp(local, "-") != 0)
        printf("{\"bytes\": %lld}\n", (long long)bytes);
    return true;
}

const struct verb cli_cp = {
    .name = "cp",
    .words = "FILE|- SANDBOX:PATH | SANDBOX:PATH FILE|-",
    .help = "copy a file into a sandbox's workspace, or out of it; it appears whole or not at all",
    CLI_PLAIN,
    .min_words = 2,
    .max_words = 2,
    .run = cp_run,
};
