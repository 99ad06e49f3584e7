#include "gateway/cli/remote.h"

#include "gateway/cli/cli.h"
#include "gateway/cli/sandbox.h"
#include "gateway/net/url.h"
#include "protocol/json.h"

const char *remote_path(const char *word)
{
    const char *colon = strchr(word, ':'), *slash = strchr(word, '/');
    return colon && colon != word && (!slash || slash > colon) ? colon + 1 : NULL;
}

char *remote_inner_path(const char *path, struct err *e)
{
    static const char workspace[] = "/workspace";
    size_t len = strlen(workspace);
    if (strncmp(path, workspace, len) == 0 && (path[len] == '/' || !path[len]))
        path += len;
    else if (*path == '/') {
        fail(e, CLI_USAGE, "%.200s: only files below /workspace can be reached", path);
        return NULL;
    }
    return xstrdup(path + strspn(path, "/"));
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *remote_api_path(const struct target *t, const char *word, const char *from, struct err *e)
{
    char id[SANDBOX_ID_TEXT];
    const char *path = remote_path(word);
    scoped(string) char *name = path ? xstrndup(word, (size_t)(path - 1 - word)) : xstrdup(word);
    scoped(buffer) struct buffer out = {0};
    if (!cli_sandbox_find(t, name, id, e))
        return NULL;
    scoped(string) char *inner = remote_inner_path(path ? path : "", e);
    if (!inner)
        return NULL;
    buffer_printf(&out, "/v1/sandboxes/%s/files/", id);
    url_encode_path(&out, bytes_of(inner));
    if (from && (!*inner || inner[strlen(inner) - 1] == '/'))
        url_encode_path(&out, bytes_of(base_name(from)));
    return buffer_take(&out, NULL);
}

bool remote_is_folder(const struct target *t, const char *api_path, bool *folder, struct err *e)
{
    const char *kind = "";
    scoped(string) char *query = xasprintf("%s?stat=1", api_path);
    scoped(json) json_t *entry = call_json(t, "GET", query, NULL, e);
    if (!entry || !field_str(entry, "kind", OPTIONAL, &kind, e))
        return false;
    *folder = strcmp(kind, "folder") == 0;
    return true;
}
