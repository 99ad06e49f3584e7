/* /v1/sandboxes/{id}/files: what lies in a sandbox's workspace.
 *
 * An entry is {"name", "path", "url", "kind": "file|folder|symlink|other", "size_bytes",
 * "modified", "mode": "0644", "etag", "target"}: etag is null but of a file, target but of a
 * symlink, and all from size_bytes on where only the name may be read. Bytes of names that are not
 * UTF-8 are U+FFFD in name, path and target; url has them all. A folder is {"path", "files":
 * [entries by name], "next": null or what ?after= takes}; so is all below it (?recursive=1,
 * ?glob=), in the order of a walk. Changes are in v1_files_change.c, bodies in v1_uploads.c. */
#include "gateway/dialect/v1_files.h"

#include <stdio.h>
#include <string.h>

#include "gateway/core/media_type.h"
#include "gateway/dialect/v1_docs.h"
#include "gateway/net/route.h"
#include "gateway/net/url.h"
#include "protocol/ids.h"
#include "protocol/memory.h"
#include "protocol/utf8.h"

#define LIMIT_DEFAULT 1000
#define LIMIT_MOST    10000

/* What a sandbox wrote is shown without powers: no script, no origin, nothing fetched. */
#define CONTENT_POLICY "sandbox; default-src 'none'; frame-ancestors 'self'"

struct sandbox *v1_files_sandbox(struct exchange *x, struct core *c)
{
    struct err e = {0};
    struct sandbox *s = sandboxes_find(c, exchange_principal(x), exchange_param(x, "id"), &e);
    if (!s)
        exchange_fail(x, &e);
    return s;
}

bool v1_files_flag(const struct exchange *x, const char *name, bool *out, struct err *e)
{
    static const struct {
        const char *text;
        bool value;
    } words[] = {{"", true}, {"1", true}, {"true", true}, {"0", false}, {"false", false}};
    const char *text = exchange_query(x, name);
    *out = false;
    if (!text)
        return true;
    for (size_t i = 0; i < countof(words); i++)
        if (strcmp(words[i].text, text) == 0) {
            *out = words[i].value;
            return true;
        }
    return fail(e, 400, "%s: must be 1 or 0", name);
}

bool v1_files_condition(const struct exchange *x, struct condition *out, struct err *e)
{
    const char *none = exchange_header(x, "if-none-match");
    out->absent = none != NULL;
    out->match = (char *)exchange_header(x, "if-match");
    return !none || strcmp(none, "*") == 0 ||
           fail(e, 400, "If-None-Match: only * is understood here");
}

json_t *v1_lossy_text(const char *bytes)
{
    scoped(buffer) struct buffer text = {0};
    utf8_clean(&text, bytes_of(bytes));
    return json_stringn(text.data ? text.data : "", text.len);
}

char *v1_files_url(const struct exchange *x, const char *path)
{
    scoped(buffer) struct buffer url = {0};
    size_t len;
    path += strspn(path, "/");
    buffer_printf(&url, "%s/v1/sandboxes/%s/files", exchange_base_url(x), exchange_param(x, "id"));
    if (*path)
        buffer_add_text(&url, "/");
    url_encode_path(&url, bytes_of(path));
    buffer_text(&url);
    return buffer_take(&url, &len);
}

static json_t *entry_model(const struct exchange *x, const struct entry *entry, const char *path)
{
    static const char *const kinds[] = {"file", "folder", "symlink", "other"};
    char modified[TIME_TEXT], mode[8];
    scoped(string) char *url = v1_files_url(x, path);
    const char *slash = strrchr(entry->name, '/'); /* a tree's are paths */
    json_t *model = json_pack("{s:o, s:o, s:s, s:s, s:n, s:n, s:n, s:n, s:n}", "name",
                              v1_lossy_text(slash ? slash + 1 : entry->name), "path",
                              v1_lossy_text(path), "url", url, "kind", kinds[entry->kind],
                              "size_bytes", "modified", "mode", "etag", "target");
    if (!entry->known)
        return model;
    time_text(entry->modified, modified);
    snprintf(mode, sizeof mode, "%04o", entry->mode);
    json_object_set_new(model, "size_bytes", json_integer(entry->size_bytes));
    json_object_set_new(model, "modified", json_string(modified));
    json_object_set_new(model, "mode", json_string(mode));
    if (*entry->etag)
        json_object_set_new(model, "etag", json_string(entry->etag));
    if (entry->target)
        json_object_set_new(model, "target", v1_lossy_text(entry->target));
    return model;
}

static void reply_listing(struct exchange *x, const struct file_found *found)
{
    const struct listing *l = &found->listing;
    json_t *files = json_array(), *next = json_null();
    for (size_t i = 0; i < l->count; i++) {
        const char *name = l->entries[i].name;
        scoped(string) char *path =
            *found->path ? xasprintf("%s/%s", found->path, name) : xstrdup(name);
        json_array_append_new(files, entry_model(x, &l->entries[i], path));
    }
    if (l->next) {
        scoped(buffer) struct buffer cursor = {0};
        url_encode_path(&cursor, bytes_of(l->next));
        next = json_string(buffer_text(&cursor));
    }
    exchange_reply_json(x, 200,
                        json_pack("{s:o, s:o, s:o}", "path", v1_lossy_text(found->path), "files",
                                  files, "next", next));
}

/* filename for those that know no other, with nothing in it that has to be quoted. */
void v1_files_add_disposition(struct exchange *x, const char *path, const char *ending)
{
    const char *slash = strrchr(path, '/');
    scoped(string) char *name = xasprintf("%s%s",
                                          slash   ? slash + 1
                                          : *path ? path
                                                  : "workspace",
                                          ending);
    scoped(buffer) struct buffer clean = {0}, value = {0};
    utf8_clean(&clean, bytes_of(name));
    buffer_add_text(&value, "attachment; filename=\"");
    for (size_t i = 0; i < clean.len; i++) {
        char c = clean.data[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     (c && strchr(" -._()", c));
        buffer_add(&value, plain ? &c : "_", 1);
    }
    buffer_add_text(&value, "\"; filename*=UTF-8''");
    url_encode_path(&value, buffer_view(&clean));
    exchange_add_header(x, "Content-Disposition", buffer_text(&value));
}

static void reply_content(struct exchange *x, struct file_found *found)
{
    int fd = found->fd;
    struct sandbox_use *use = take(&found->use);
    found->fd = -1;
    v1_files_add_disposition(x, found->entry.name, "");
    exchange_add_header(x, "Content-Security-Policy", CONTENT_POLICY);
    exchange_add_header(x, "Cache-Control", "private, no-cache");
    exchange_reply_descriptor(x, fd, media_type_of(found->entry.name), found->entry.etag,
                              sandbox_use_free, use);
}

static void on_read(void *user, struct file_found *found, const struct err *e)
{
    struct exchange *x = user;
    if (e)
        exchange_fail(x, e);
    else if (found->fd >= 0)
        reply_content(x, found);
    else if (found->listing.entries)
        reply_listing(x, found);
    else
        exchange_reply_json(x, 200, entry_model(x, &found->entry, found->path));
}

static bool read_query(const struct exchange *x, struct file_request *request, struct buffer *after,
                       struct err *e)
{
    const char *cursor = exchange_query(x, "after"), *limit = exchange_query(x, "limit");
    request->limit = LIMIT_DEFAULT;
    if (cursor) {
        struct bytes raw = bytes_of(cursor);
        if (url_decode_bytes(raw, false, buffer_reserve(after, raw.len + 1)) < 0)
            return fail(e, 400, "after: must be what \"next\" said");
        request->after = after->data;
    }
    if (limit) {
        size_t len = strlen(limit);
        if (len == 0 || len > 5 || strspn(limit, "0123456789") != len)
            return fail(e, 400, "limit: must be a number");
        request->limit = strtoul(limit, NULL, 10);
    }
    if (request->limit < 1 || request->limit > LIMIT_MOST)
        return fail(e, 400, "limit: out of range (1 to %d)", LIMIT_MOST);
    request->glob = exchange_query(x, "glob");
    if (!v1_files_flag(x, "stat", &request->look, e) ||
        !v1_files_flag(x, "recursive", &request->tree, e))
        return false;
    return !request->look || !(request->glob || request->tree) ||
           fail(e, 400, "stat goes with neither recursive nor glob");
}

const char *v1_files_path(const struct exchange *x)
{
    const char *path = exchange_path(x) + strlen("/v1/sandboxes/") +
                       strlen(exchange_param(x, "id")) + strlen("/files");
    return path + (*path == '/');
}

static void show(struct exchange *x, void *core)
{
    struct err e = {0};
    scoped(buffer) struct buffer after = {0};
    struct file_request request = {.path = v1_files_path(x)};
    struct sandbox *s = v1_files_sandbox(x, core);
    const char *tar = exchange_query(x, "tar");
    bool watch = false;
    if (!s)
        return;
    if (!v1_files_flag(x, "watch", &watch, &e))
        exchange_fail(x, &e);
    else if (watch)
        v1_files_watch(x, core);
    else if (tar)
        v1_files_pack(x, core, tar);
    else if (read_query(x, &request, &after, &e))
        file_read(s, &request, on_read, x);
    else
        exchange_fail(x, &e);
}

static const struct route rows[] = {
    {
        .method = GET,
        .pattern = "/v1/sandboxes/{id}/files",
        .handler = show,
        .summary = "What is in a sandbox's workspace",
        .errors = {400, 403, 404, 409, 503},
        .error_form = ERRORS_PROBLEM,
        .doc = &v1_files_list_doc,
    },
    {
        .method = PUT,
        .pattern = "/v1/sandboxes/{id}/files",
        .handler = v1_files_put_root,
        .summary = "?tar=1: unpack a tar into a sandbox's workspace",
        .errors = {400, 403, 404, 408, 409, 413, 503, 507},
        .error_form = ERRORS_PROBLEM,
        .kind = ROUTE_STREAM,
        .doc = &v1_files_unpack_doc,
    },
    {
        .method = GET,
        .pattern = "/v1/sandboxes/{id}/files/{path*}",
        .handler = show,
        .summary = "The bytes of a file, the list of a folder, or ?stat=1: what it is",
        .errors = {400, 403, 404, 409, 503},
        .error_form = ERRORS_PROBLEM,
        .doc = &v1_file_show_doc,
    },
    {
        .method = PUT,
        .pattern = "/v1/sandboxes/{id}/files/{path*}",
        .handler = v1_files_put,
        .summary = "Write a file, whole or not at all; ?folder=1, ?tar=1: make or fill a folder",
        .errors = {400, 403, 404, 408, 409, 412, 413, 503, 507},
        .error_form = ERRORS_PROBLEM,
        .kind = ROUTE_STREAM,
        .doc = &v1_file_put_doc,
    },
    {
        .method = POST,
        .pattern = "/v1/sandboxes/{id}/files/{path*}",
        .handler = v1_files_post,
        .summary =
            "?append=1: add to the end of a file; ?move_to=PATH, ?copy_to=PATH: move or copy",
        .errors = {400, 403, 404, 408, 409, 412, 413, 503, 507},
        .error_form = ERRORS_PROBLEM,
        .kind = ROUTE_STREAM,
        .doc = &v1_file_post_doc,
    },
    {
        .method = PATCH,
        .pattern = "/v1/sandboxes/{id}/files/{path*}",
        .handler = v1_files_patch,
        .summary = "Change the permissions of a file or folder",
        .errors = {400, 403, 404, 409, 412, 413, 503},
        .error_form = ERRORS_PROBLEM,
        .doc = &v1_file_patch_doc,
    },
    {
        .method = DELETE,
        .pattern = "/v1/sandboxes/{id}/files/{path*}",
        .handler = v1_files_delete,
        .summary = "Remove a file, or with ?recursive=1 a folder",
        .errors = {400, 403, 404, 409, 412, 503},
        .error_form = ERRORS_PROBLEM,
        .doc = &v1_file_delete_doc,
    },
};

const struct route_table v1_file_routes = {rows, countof(rows)};
