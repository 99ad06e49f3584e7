/* A name that comes from a sandbox is used for a local file only when it is one plain name: nothing
 * is written outside of the folder. */
#include "gateway/cli/artifacts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/follow.h"
#include "gateway/cli/output.h"
#include "gateway/cli/transfer.h"
#include "gateway/core/bundle.h"
#include "gateway/net/url.h"
#include "protocol/json.h"

#define DEPTH_LIMIT 32

static const struct {
    const char *mime_type, *ending;
    bool is_base64;
} kinds[] = {
    {"image/png", "png", true},       {"image/jpeg", "jpg", true},  {"image/gif", "gif", true},
    {"image/webp", "webp", true},     {"image/bmp", "bmp", true},   {"image/svg+xml", "svg", false},
    {"application/pdf", "pdf", true}, {"text/html", "html", false},
};

static bool make_folder(const char *path, struct err *e)
{
    struct stat there;
    if (mkdir(path, 0777) == 0)
        return true;
    if (errno != EEXIST)
        return fail_errno(e, CLI_FAILED, "the folder %.200s cannot be made", path);
    return (stat(path, &there) == 0 && S_ISDIR(there.st_mode)) ||
           fail(e, CLI_FAILED, "%.200s is there already and is no folder", path);
}

bool artifacts_open(const struct artifacts *a, struct err *e)
{
    scoped(string) char *local = xasprintf("%s/workspace", a->dir);
    return make_folder(a->dir, e) && make_folder(local, e);
}

static bool write_file(const char *path, struct bytes data, struct err *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return fail_errno(e, CLI_FAILED, "%.200s cannot be written", path);
    bool ok = follow_write(fd, data, e);
    return (close(fd) == 0 || fail_errno(e, CLI_FAILED, "%.200s cannot be written", path)) && ok;
}

bool artifacts_save(struct artifacts *a, const json_t *bundle, struct err *e)
{
    if (!a->dir)
        return true;
    for (size_t i = 0; i < countof(kinds); i++) {
        const json_t *value = json_object_get(bundle, kinds[i].mime_type);
        struct bytes data = {json_string_value(value), json_string_length(value)};
        scoped(buffer) struct buffer decoded = {0};
        struct base64 state = {0};
        if (!json_is_string(value))
            continue;
        if (kinds[i].is_base64) {
            if (!base64_decode(&state, data, &decoded) || !base64_whole(&state))
                continue; /* not what its type says */
            data = buffer_view(&decoded);
        }
        scoped(string) char *path =
            xasprintf("%s/%zu-%zu.%s", a->dir, a->cell, ++a->count, kinds[i].ending);
        if (!write_file(path, data, e))
            return false;
        output_note("saved %s", path);
    }
    return true;
}

static bool plain_name(const char *name)
{
    return name && *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static bool fetch_folder(const struct target *t, const char *path, const char *local, int depth,
                         struct err *e);

/* Links and whatever else is no file stays where it is. */
static bool fetch_entry(const struct target *t, json_t *entry, const char *local, int depth,
                        struct err *e)
{
    const char *name = NULL, *kind = "", *url = NULL;
    if (!field_str(entry, "name", REQUIRED, &name, e) ||
        !field_str(entry, "kind", OPTIONAL, &kind, e) ||
        !field_str(entry, "url", REQUIRED, &url, e))
        return false;
    size_t base = strlen(t->base_url);
    if (!plain_name(name) || strncmp(url, t->base_url, base) != 0)
        return fail(e, CLI_FAILED, "the gateway names a file that cannot be saved");
    scoped(string) char *place = xasprintf("%s/%s", local, name);
    if (strcmp(kind, "folder") == 0)
        return fetch_folder(t, url + base, place, depth + 1, e);
    return strcmp(kind, "file") != 0 || transfer_down(t, url + base, place, NULL, e);
}

static bool fetch_folder(const struct target *t, const char *path, const char *local, int depth,
                         struct err *e)
{
    scoped(string) char *after = NULL;
    if (depth > DEPTH_LIMIT)
        return fail(e, CLI_FAILED, "folders in the workspace are nested deeper than %d",
                    DEPTH_LIMIT);
    if (!make_folder(local, e))
        return false;
    do {
        const char *next = NULL;
        json_t *entry;
        size_t i;
        scoped(buffer) struct buffer query = {0};
        buffer_printf(&query, "%s%s", path, after ? "?after=" : "");
        url_encode_path(&query, bytes_of(after));
        scoped(json) json_t *page = call_json(t, "GET", buffer_text(&query), NULL, e);
        if (!page || !field_str(page, "next", OPTIONAL, &next, e))
            return false;
        json_array_foreach(json_object_get(page, "files"), i, entry)
        {
            if (!fetch_entry(t, entry, local, depth, e))
                return false;
        }
        free(after);
        after = next ? xstrdup(next) : NULL;
    } while (after);
    return true;
}

bool artifacts_fetch(const struct artifacts *a, const struct target *t, const char *sandbox,
                     struct err *e)
{
    scoped(string) char *path = xasprintf("/v1/sandboxes/%s/files/", sandbox);
    scoped(string) char *local = xasprintf("%s/workspace", a->dir);
    return fetch_folder(t, path, local, 0, e);
}
