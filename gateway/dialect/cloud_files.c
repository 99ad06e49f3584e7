/* /api/v1/files: list, put, delete; all of it below /workspace.
 *
 * Paths are resolved by core as everywhere: none leads out, whatever links code inside makes. */
#include <string.h>

#include "gateway/core/bundle.h"
#include "gateway/core/file.h"
#include "gateway/dialect/cloud_session.h"
#include "gateway/dialect/v1_docs.h"
#include "gateway/dialect/v1_files.h"
#include "gateway/net/url.h"
#include "protocol/ids.h"
#include "protocol/json.h"
#include "protocol/memory.h"

#define WORKSPACE "/workspace" /* what the folder is called inside */
#define LIST_MOST 10000        /* entries of one answer */

/* *out: what path names below the workspace. 400. */
static bool inside(const char *path, const char **out, struct err *e)
{
    size_t len = strlen(WORKSPACE);
    *out = path;
    if (*path != '/')
        return true;
    if (strncmp(path, WORKSPACE, len) != 0 || (path[len] && path[len] != '/'))
        return fail(e, 400, "path: must be in %s", WORKSPACE);
    *out = path + len + strspn(path + len, "/");
    return true;
}

/* Of the query; path NULL: of the workspace. */
static struct sandbox *find_by_query(struct exchange *x, struct core *c, const char **path,
                                     struct err *e)
{
    const char *id = exchange_query(x, "sandbox_id"), *asked = exchange_query(x, "path");
    if (!id)
        fail(e, 400, "sandbox_id required");
    else if (inside(asked ? asked : "", path, e))
        return cloud_sandbox_find(x, c, id, e);
    return NULL;
}

/* --- list */

static json_t *entry_model(const struct entry *entry, const char *folder)
{
    char modified[TIME_TEXT];
    const char *slash = strrchr(entry->name, '/');
    scoped(string) char *path = xasprintf("%s%s%s%s%s", WORKSPACE, *folder ? "/" : "", folder,
                                          *entry->name ? "/" : "", entry->name);
    time_text(entry->modified, modified);
    return json_pack("{s:o, s:o, s:I, s:b, s:o}", "name",
                     v1_lossy_text(slash ? slash + 1 : entry->name), "path", v1_lossy_text(path),
                     "size", (json_int_t)entry->size_bytes, "is_dir",
                     (int)(entry->kind == ENTRY_FOLDER), "mod_time",
                     entry->known ? json_string(modified) : json_null());
}

/* A file's is what it lies in. */
static json_t *file_model(const struct file_found *found)
{
    scoped(string) char *folder = xstrdup(found->path);
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
    return entry_model(&found->entry, slash ? folder : "");
}

static void on_listed(void *user, struct file_found *found, const struct err *e)
{
    struct exchange *x = user;
    if (e) {
        exchange_fail(x, e);
        return;
    }
    json_t *files = json_array(), *next = json_null();
    for (size_t i = 0; i < found->listing.count; i++)
        json_array_append_new(files, entry_model(&found->listing.entries[i], found->path));
    if (found->entry.kind != ENTRY_FOLDER)
        json_array_append_new(files, file_model(found));
    if (found->listing.next) {
        scoped(buffer) struct buffer cursor = {0};
        url_encode_path(&cursor, bytes_of(found->listing.next));
        json_decref(next);
        next = json_string(buffer_text(&cursor));
    }
    exchange_reply_json(x, 200, json_pack("{s:o, s:o}", "files", files, "next", next));
}

void cloud_files_list(struct exchange *x, void *core)
{
    struct err e = {0};
    scoped(buffer) struct buffer after = {0};
    struct file_request request = {.limit = LIST_MOST};
    const char *cursor = exchange_query(x, "after");
    struct sandbox *s = find_by_query(x, core, &request.path, &e);
    if (s && cursor) {
        struct bytes raw = bytes_of(cursor);
        if (url_decode_bytes(raw, false, buffer_reserve(&after, raw.len + 1)) < 0) {
            fail(&e, 400, "after: must be what \"next\" said");
            s = NULL;
        }
        request.after = after.data;
    }
    if (s)
        file_read(s, &request, on_listed, x);
    else
        exchange_fail(x, &e);
}

/* --- put */

struct putting {
    struct exchange *x;
    struct buffer content;
    struct file_upload *upload;
};

static void finish(struct putting *p, const struct err *e)
{
    struct exchange *x = p->x;
    buffer_free(&p->content);
    free(p);
    if (e)
        exchange_fail(x, e);
    else
        exchange_reply_json(x, 200, json_pack("{s:b}", "success", 1));
}

static void on_committed(void *user, const struct upload_result *result, const struct err *e)
{
    (void)result;
    finish(user, e);
}

static void on_written(void *user, const struct err *e)
{
    struct putting *p = user;
    if (!e) {
        file_upload_commit(p->upload, on_committed, p);
        return;
    }
    file_upload_abort(p->upload);
    finish(p, e);
}

static void on_opened(void *user, struct file_upload *upload, const struct err *e)
{
    struct putting *p = user;
    p->upload = upload;
    if (e)
        finish(p, e);
    else if (p->content.len)
        file_upload_write(upload, buffer_view(&p->content), on_written, p);
    else
        on_written(p, NULL);
}

/* A text, or {"base64": "…"}. 400. */
static bool read_content(json_t *value, struct buffer *out, struct err *e)
{
    struct base64 state = {0};
    json_t *coded = json_object_get(value, "base64"), *text = coded ? coded : value;
    struct bytes bytes = {json_string_value(text), json_string_length(text)};
    if (!json_is_string(text))
        return fail(e, 400, "content: must be a string, or an object with base64");
    if (!coded)
        buffer_add_bytes(out, bytes);
    else if (!base64_decode(&state, bytes, out) || !base64_whole(&state))
        return fail(e, 400, "content: base64: is not base64");
    return true;
}

void cloud_file_put(struct exchange *x, void *core)
{
    struct err e = {0};
    const char *id = NULL, *asked = NULL, *path = NULL;
    scoped(buffer) struct buffer content = {0};
    const struct settings *settings = core_all_settings(core);
    scoped(json) json_t *body =
        json_parse_object(exchange_body(x), "body", (size_t)settings->net.body_limit_bytes, &e);
    bool good = body && field_str(body, "sandbox_id", REQUIRED, &id, &e) &&
                field_str(body, "path", REQUIRED, &asked, &e) && inside(asked, &path, &e) &&
                read_content(json_object_get(body, "content"), &content, &e) &&
                v1_files_check_length((int64_t)content.len, settings->core.file_limit_bytes, &e);
    struct sandbox *s = good ? cloud_sandbox_find(x, core, id, &e) : NULL;
    if (!s) {
        exchange_fail(x, &e);
        return;
    }
    struct upload_plan plan = {.path = xstrdup(path), .mode = -1};
    struct putting *p = xcalloc(1, sizeof(*p));
    p->x = x;
    p->content = content;
    content = (struct buffer){0};
    file_upload_open(s, &plan, (int64_t)p->content.len, on_opened, p);
}

/* --- delete */

static void on_removed(void *user, bool created, const struct err *e)
{
    (void)created;
    if (e)
        exchange_fail(user, e);
    else
        exchange_reply_json(user, 200, json_pack("{s:b}", "success", 1));
}

void cloud_file_delete(struct exchange *x, void *core)
{
    struct err e = {0};
    struct file_change change = {.what = CHANGE_REMOVE};
    if (!exchange_query(x, "path"))
        fail(&e, 400, "path required");
    struct sandbox *s = !e.status && v1_files_flag(x, "recursive", &change.recursive, &e)
                            ? find_by_query(x, core, &change.path, &e)
                            : NULL;
    if (s)
        file_change(s, &change, on_removed, x);
    else
        exchange_fail(x, &e);
}

/* --- what the rows say of themselves */

#define PATH_RULE "Below `/workspace`, with or without that in front."

static const struct doc_schema entry_schema = {
    .name = "CloudFile",
    .whole = true,
    .fields = FIELDS(TEXT("name", "Its name."), TEXT("path", "From `/workspace` on."),
                     INTEGER("size", "Bytes."), BOOLEAN("is_dir", "It is a folder."),
                     TEXT("mod_time", "When it was changed last; null where that cannot be seen.",
                          .format = "date-time", .null = true)),
};

static const struct doc_schema list_schema = {
    .name = "CloudFiles",
    .whole = true,
    .fields = FIELDS(LIST("files", &entry_schema, "By name; of a file itself."), V1_NEXT),
};

static const struct doc_schema put_schema = {
    .name = "CloudFilePut",
    .fields = FIELDS(TEXT("sandbox_id", "What was acquired.", .must = true),
                     TEXT("path", PATH_RULE " Folders on the way are made.", .must = true),
                     ANY("content", "A text, or `{\"base64\": text}`.", .must = true)),
};

const struct doc cloud_files_list_doc = {
    .tag = CLOUD_TAG,
    .about = "At most 10,000 in one answer.",
    .query = FIELDS(TEXT("sandbox_id", "What was acquired.", .must = true), TEXT("path", PATH_RULE),
                    V1_AFTER),
    .replies = {REPLY(200, "What is in a folder.", .schema = &list_schema)},
};

const struct doc cloud_file_put_doc = {
    .tag = CLOUD_TAG,
    .about = "Whole or not at all; what was there is replaced.",
    .body = &put_schema,
    .body_must = true,
    .replies = {REPLY(200, "It is written.", .schema = &cloud_success_schema)},
};

const struct doc cloud_file_delete_doc = {
    .tag = CLOUD_TAG,
    .query = FIELDS(TEXT("sandbox_id", "What was acquired.", .must = true),
                    TEXT("path", PATH_RULE, .must = true),
                    TEXT("recursive", "`1`: a folder with all that is in it.", .words = "0 1")),
    .replies = {REPLY(200, "It is gone.", .schema = &cloud_success_schema)},
};
