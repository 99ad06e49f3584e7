/* /v1/sandboxes/{id}/files: what lies in a sandbox's workspace.
 *
 * An entry is {"name", "path", "url", "kind": "file|folder|symlink|other", "size_bytes",
 * "modified", "mode": "0644", "etag", "target"}: etag is null but of a file, target but of a
 * symlink, and all from size_bytes on where only the name may be read. Bytes of names that are not
 * UTF-8 are U+FFFD in name, path and target; url has them all. A folder is {"path", "files":
 * [entries by name], "next": null or what ?after= takes}. */
#include "gateway/dialect/v1_files.h"

#include <stdio.h>
#include <string.h>

#include "gateway/dialect/media_type.h"
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

static json_t *text_of(const char *bytes)
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
    json_t *model =
        json_pack("{s:o, s:o, s:s, s:s, s:n, s:n, s:n, s:n, s:n}", "name", text_of(entry->name),
                  "path", text_of(path), "url", url, "kind", kinds[entry->kind], "size_bytes",
                  "modified", "mode", "etag", "target");
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
        json_object_set_new(model, "target", text_of(entry->target));
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
    if (l->more && l->count) {
        scoped(buffer) struct buffer cursor = {0};
        url_encode_path(&cursor, bytes_of(l->entries[l->count - 1].name));
        next = json_string(buffer_text(&cursor));
    }
    exchange_reply_json(
        x, 200,
        json_pack("{s:o, s:o, s:o}", "path", text_of(found->path), "files", files, "next", next));
}

/* filename for those that know no other, with nothing in it that has to be quoted. */
static void add_disposition(struct exchange *x, const char *name)
{
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
    found->fd = -1;
    add_disposition(x, found->entry.name);
    exchange_add_header(x, "Content-Security-Policy", CONTENT_POLICY);
    exchange_add_header(x, "Cache-Control", "private, no-cache");
    exchange_reply_descriptor(x, fd, media_type_of(found->entry.name), found->entry.etag);
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
    return v1_files_flag(x, "stat", &request->look, e);
}

static void read_path(struct exchange *x, struct core *c, const char *path)
{
    struct err e = {0};
    scoped(buffer) struct buffer after = {0};
    struct file_request request = {.path = path};
    struct sandbox *s = v1_files_sandbox(x, c);
    if (!s)
        return;
    if (read_query(x, &request, &after, &e))
        file_read(s, &request, on_read, x);
    else
        exchange_fail(x, &e);
}

static void show_root(struct exchange *x, void *core)
{
    read_path(x, core, "");
}

static void show(struct exchange *x, void *core)
{
    read_path(x, core, exchange_param(x, "path"));
}

void v1_files_reply_changed(struct exchange *x, bool created, const char *path, const char *etag)
{
    if (etag && *etag)
        exchange_add_header(x, "ETag", etag);
    if (created) {
        scoped(string) char *url = v1_files_url(x, path);
        exchange_add_header(x, "Location", url);
    }
    exchange_reply_empty(x, created ? 201 : 204);
}

static void on_folder(void *user, bool created, const struct err *e)
{
    struct exchange *x = user;
    if (e)
        exchange_fail(x, e);
    else
        v1_files_reply_changed(x, created, exchange_param(x, "path"), NULL);
}

static bool check_no_body(const struct exchange *x, struct err *e)
{
    return exchange_body_length(x) == 0 || fail(e, 400, "this request takes no body");
}

static void make_folder(struct exchange *x, struct core *c)
{
    struct err e = {0};
    struct file_change change = {.what = CHANGE_MAKE_FOLDER, .path = exchange_param(x, "path")};
    struct sandbox *s = v1_files_sandbox(x, c);
    if (!s)
        return;
    if (!check_no_body(x, &e) || !v1_files_condition(x, &change.condition, &e))
        exchange_fail(x, &e);
    else
        file_change(s, &change, on_folder, x);
}

static void put(struct exchange *x, void *core)
{
    struct err e = {0};
    bool folder;
    if (!v1_files_flag(x, "folder", &folder, &e))
        exchange_fail(x, &e);
    else if (folder)
        make_folder(x, core);
    else
        v1_files_receive(x, core, false);
}

static void on_moved(void *user, bool created, const struct err *e)
{
    struct exchange *x = user;
    if (e)
        exchange_fail(x, e);
    else
        v1_files_reply_changed(x, created, exchange_query(x, "move_to"), NULL);
}

static void move(struct exchange *x, struct core *c, const char *to)
{
    struct err e = {0};
    struct file_change change = {.what = CHANGE_MOVE, .path = exchange_param(x, "path"), .to = to};
    struct sandbox *s = v1_files_sandbox(x, c);
    if (!s)
        return;
    if (!check_no_body(x, &e) || !v1_files_flag(x, "overwrite", &change.overwrite, &e))
        exchange_fail(x, &e);
    else
        file_change(s, &change, on_moved, x);
}

static void post(struct exchange *x, void *core)
{
    struct err e = {0};
    bool append;
    const char *to = exchange_query(x, "move_to");
    if (!v1_files_flag(x, "append", &append, &e) ||
        (append == (to != NULL) &&
         !fail(&e, 400, "either append=1 or move_to=PATH is needed, to say what shall be done")))
        exchange_fail(x, &e);
    else if (append)
        v1_files_receive(x, core, true);
    else
        move(x, core, to);
}

static void on_removed(void *user, bool created, const struct err *e)
{
    struct exchange *x = user;
    (void)created;
    if (e)
        exchange_fail(x, e);
    else
        exchange_reply_empty(x, 204);
}

static void remove_path(struct exchange *x, void *core)
{
    struct err e = {0};
    struct file_change change = {.what = CHANGE_REMOVE, .path = exchange_param(x, "path")};
    struct sandbox *s = v1_files_sandbox(x, core);
    if (!s)
        return;
    if (!v1_files_flag(x, "recursive", &change.recursive, &e) ||
        !v1_files_condition(x, &change.condition, &e))
        exchange_fail(x, &e);
    else
        file_change(s, &change, on_removed, x);
}

static const struct route rows[] = {
    {
        .method = GET,
        .pattern = "/v1/sandboxes/{id}/files",
        .handler = show_root,
        .summary = "What is in a sandbox's workspace",
        .errors = {400, 403, 404, 503},
        .error_form = ERRORS_PROBLEM,
        .doc = &v1_files_list_doc,
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
        .handler = put,
        .summary = "Write a file, whole or not at all; ?folder=1: make a folder",
        .errors = {400, 403, 404, 408, 409, 412, 413, 503, 507},
        .error_form = ERRORS_PROBLEM,
        .kind = ROUTE_STREAM,
        .doc = &v1_file_put_doc,
    },
    {
        .method = POST,
        .pattern = "/v1/sandboxes/{id}/files/{path*}",
        .handler = post,
        .summary = "?append=1: add to the end of a file; ?move_to=PATH: move or rename",
        .errors = {400, 403, 404, 408, 409, 412, 413, 503, 507},
        .error_form = ERRORS_PROBLEM,
        .kind = ROUTE_STREAM,
        .doc = &v1_file_post_doc,
    },
    {
        .method = DELETE,
        .pattern = "/v1/sandboxes/{id}/files/{path*}",
        .handler = remove_path,
        .summary = "Remove a file, or with ?recursive=1 a folder",
        .errors = {400, 403, 404, 409, 412, 503},
        .error_form = ERRORS_PROBLEM,
        .doc = &v1_file_delete_doc,
    },
};

const struct route_table v1_file_routes = {rows, countof(rows)};
