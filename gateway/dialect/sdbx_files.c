/* /api/sandboxes/{id}/files: a small file as JSON (read, write, delete), and what is in a folder.
 *
 * A path is one of the workspace: "/workspace/a/b", or relative to it; "." is the workspace. An
 * entry is {"path", "name", "isDirectory", "size", "createdAt", "modifiedAt"}, names in both cases;
 * "path" is as the folder was named. */
#include <string.h>

#include "gateway/core/bundle.h"
#include "gateway/core/file_whole.h"
#include "gateway/dialect/sdbx.h"
#include "gateway/dialect/v1_commands.h"
#include "gateway/dialect/v1_files.h"
#include "protocol/json.h"
#include "protocol/utf8.h"

#define LIST_MOST 10000

/* The same below the workspace, borrowed; NULL: 400. "." and ".." elsewhere are for core to refuse.
 */
static const char *below(const char *path, struct err *e)
{
    size_t len = strlen(SDBX_WORKSPACE);
    if (strcmp(path, ".") == 0)
        return "";
    if (strncmp(path, "./", 2) == 0)
        return path + 2 + strspn(path + 2, "/");
    if (*path != '/')
        return path;
    path += strspn(path, "/") - 1;
    if (strncmp(path, SDBX_WORKSPACE, len) != 0 || (path[len] && path[len] != '/')) {
        fail(e, 400, "path: must lie in " SDBX_WORKSPACE);
        return NULL;
    }
    return path + len + strspn(path + len, "/");
}

/* What ?path= names; NULL: 400. */
static const char *path_of(const struct exchange *x, struct err *e)
{
    const char *path = exchange_query(x, "path");
    if (path && *path)
        return below(path, e);
    fail(e, 400, "path: is required in the query");
    return NULL;
}

/* --- read */

static bool is_base64(const struct exchange *x, bool *out, struct err *e)
{
    const char *encoding = exchange_query(x, "encoding");
    *out = encoding && strcmp(encoding, "base64") == 0;
    return !encoding || *out || strcmp(encoding, "utf-8") == 0 || strcmp(encoding, "utf8") == 0 ||
           fail(e, 400, "encoding: must be \"utf-8\" or \"base64\"");
}

static void on_content(void *user, struct bytes content, const struct err *e)
{
    struct exchange *x = user;
    struct err why = e ? *e : (struct err){0};
    scoped(buffer) struct buffer coded = {0};
    bool base64 = false;
    is_base64(x, &base64, NULL);
    if (!e && !base64 && !utf8_valid(content))
        fail(&why, 422, "the file is not UTF-8 text: ask for it with encoding=base64");
    if (why.status) {
        exchange_fail(x, &why);
        return;
    }
    if (base64)
        v1_base64(&coded, content);
    struct bytes text = base64 ? buffer_view(&coded) : content;
    exchange_reply_json(x, 200,
                        json_pack("{s:o, s:s}", "content",
                                  json_stringn(text.data ? text.data : "", text.len), "encoding",
                                  base64 ? "base64" : "utf-8"));
}

void sdbx_file_read(struct exchange *x, void *core)
{
    struct err e = {0};
    bool base64;
    struct sandbox *s = sdbx_sandbox(x, core);
    const char *path = s ? path_of(x, &e) : NULL;
    if (!s)
        return;
    if (path && is_base64(x, &base64, &e))
        file_whole_read(s, path, SDBX_FILE_BYTES, on_content, x);
    else
        exchange_fail(x, &e);
}

/* --- write */

struct writing {
    struct exchange *x;
    struct core *core;
    json_t *body;          /* owned; content may borrow from it */
    struct buffer decoded; /* or from this */
    struct bytes content;
};

static void end(struct writing *w)
{
    json_decref(w->body);
    buffer_free(&w->decoded);
    free(w);
}

static void on_written(void *user, const struct err *e)
{
    struct writing *w = user;
    if (e)
        exchange_fail(w->x, e);
    else
        exchange_reply_json(w->x, 200, json_pack("{s:s}", "path", exchange_query(w->x, "path")));
    end(w);
}

static void write_it(struct writing *w)
{
    struct err e = {0};
    struct sandbox *s = sdbx_sandbox(w->x, w->core); /* the one before may have ended meanwhile */
    if (s)
        file_whole_write(s, path_of(w->x, &e), w->content, on_written, w);
    else
        end(w);
}

static void on_folder(void *user, struct file_found *found, const struct err *e)
{
    struct writing *w = user;
    (void)found;
    if (e) {
        exchange_fail(w->x, e);
        end(w);
    } else {
        write_it(w);
    }
}

static bool read_content(struct writing *w, bool *parents, struct err *e)
{
    struct base64 state = {0};
    const char *encoding = NULL;
    json_t *content = json_object_get(w->body, "content");
    if (!json_is_string(content))
        return fail(e, 400, content ? "content: must be a string" : "content: is required");
    w->content = (struct bytes){json_string_value(content), json_string_length(content)};
    if (!field_bool(w->body, "createParents", OPTIONAL, parents, e) ||
        !field_str(w->body, "encoding", OPTIONAL, &encoding, e))
        return false;
    if (!encoding || strcmp(encoding, "utf-8") == 0 || strcmp(encoding, "utf8") == 0)
        return true;
    if (strcmp(encoding, "base64") != 0)
        return fail(e, 400, "encoding: must be \"utf-8\" or \"base64\"");
    if (!base64_decode(&state, w->content, &w->decoded) || !base64_whole(&state))
        return fail(e, 400, "content: is not base64");
    w->content = buffer_view(&w->decoded);
    return true;
}

/* Without createParents the folder must be there. */
static void check_folder(struct sandbox *s, const char *path, struct writing *w)
{
    const char *slash = strrchr(path, '/');
    scoped(string) char *folder = xstrndup(path, slash ? (size_t)(slash - path) : 0);
    file_read(s, &(struct file_request){.path = folder, .limit = 1}, on_folder, w);
}

void sdbx_file_write(struct exchange *x, void *core)
{
    struct err e = {0};
    bool parents = true;
    struct sandbox *s = sdbx_sandbox(x, core);
    const char *path = s ? path_of(x, &e) : NULL;
    if (!s)
        return;
    struct writing *w = xcalloc(1, sizeof *w);
    *w = (struct writing){.x = x, .core = core};
    if (!path) {
        exchange_fail(x, &e);
        end(w);
    } else if (!(w->body = sdbx_body(x))) {
        end(w);
    } else if (!read_content(w, &parents, &e)) {
        exchange_fail(x, &e);
        end(w);
    } else if (parents) {
        write_it(w);
    } else {
        check_folder(s, path, w);
    }
}

/* --- delete */

static void on_deleted(void *user, bool created, const struct err *e)
{
    (void)created;
    sdbx_removed(user, e);
}

void sdbx_file_delete(struct exchange *x, void *core)
{
    struct err e = {0};
    struct sandbox *s = sdbx_sandbox(x, core);
    const char *path = s ? path_of(x, &e) : NULL;
    if (path)
        file_change(s, &(struct file_change){.what = CHANGE_REMOVE, .path = path}, on_deleted, x);
    else if (s)
        exchange_fail(x, &e);
}

/* --- list */

static json_t *entry_model(const struct entry *entry, const char *folder)
{
    size_t len = strlen(folder);
    while (len && folder[len - 1] == '/')
        len--;
    bool here = strcmp(folder, ".") == 0;
    scoped(string) char *path =
        here ? xstrdup(entry->name) : xasprintf("%.*s/%s", (int)len, folder, entry->name);
    json_t *m = json_pack("{s:o, s:o, s:o}", "path", v1_lossy_text(path), "name",
                          v1_lossy_text(entry->name), "size",
                          entry->known ? json_integer(entry->size_bytes) : json_null());
    sdbx_set(m, "isDirectory", json_boolean(entry->kind == ENTRY_FOLDER));
    sdbx_set(m, "createdAt", json_null()); /* nobody keeps it */
    if (entry->known)
        sdbx_set_time(m, "modifiedAt", entry->modified);
    else
        sdbx_set(m, "modifiedAt", json_null());
    return m;
}

static const char *folder_of(const struct exchange *x)
{
    const char *path = exchange_query(x, "path");
    return path && *path ? path : ".";
}

static void on_listed(void *user, struct file_found *found, const struct err *e)
{
    struct exchange *x = user;
    struct err why = {0};
    if (!e && found->entry.kind != ENTRY_FOLDER)
        fail(&why, 409, "path: this is not a folder");
    if (e || why.status) {
        exchange_fail(x, e ? e : &why);
        return;
    }
    json_t *files = json_array();
    for (size_t i = 0; i < found->listing.count; i++)
        json_array_append_new(files, entry_model(&found->listing.entries[i], folder_of(x)));
    exchange_reply_json(x, 200,
                        json_pack("{s:o, s:s, s:b}", "files", files, "directory", folder_of(x),
                                  "truncated", (int)(found->listing.next != NULL)));
}

void sdbx_files_list(struct exchange *x, void *core)
{
    struct err e = {0};
    struct sandbox *s = sdbx_sandbox(x, core);
    const char *path = s ? below(folder_of(x), &e) : NULL;
    if (path)
        file_read(s, &(struct file_request){.path = path, .limit = LIST_MOST}, on_listed, x);
    else if (s)
        exchange_fail(x, &e);
}
