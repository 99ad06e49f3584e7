/* Artifacts: what runs displayed and the files that they left, of all, of a sandbox, of one run.
 *
 * An artifact is {"id", "kind": "display|file", "mime_type", "size_bytes", "sha256", "path",
 * "width", "height", "sandbox_id", "kernel_id", "execution_id", "command_id", "number", "created",
 * "content_url"}, named by its id or by its sha256; one that could not be kept has sha256 and
 * content_url null and "problem". A list is {"artifacts": [], "next": "cursor" or null};
 * ?after=cursor gives what follows. */
#include <stdio.h>
#include <string.h>

#include "gateway/core/artifact.h"
#include "gateway/dialect/v1_files.h"
#include "gateway/dialect/v1_artifacts.h"
#include "protocol/memory.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MOST    1000

/* What a kernel displayed is shown as a picture or a page without powers: no script, no origin,
 * nothing fetched. */
#define CONTENT_POLICY                                                                             \
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; "      \
    "frame-ancestors 'self'"

static json_t *text_or_null(const char *text)
{
    return text && *text ? json_string(text) : json_null();
}

static json_t *size_or_null(int64_t pixels)
{
    return pixels ? json_integer(pixels) : json_null();
}

static json_t *model(const struct exchange *x, const struct artifact *a)
{
    scoped(string) char *url =
        a->sha256[0] ? xasprintf("%s/v1/artifacts/%s/content", exchange_base_url(x), a->id) : NULL;
    json_t *m = json_pack(
        "{s:s, s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:s, s:o}", "id", a->id,
        "kind", a->path ? "file" : "display", "mime_type", a->mime_type, "size_bytes",
        (json_int_t)a->size_bytes, "sha256", text_or_null(a->sha256), "path",
        a->path ? v1_lossy_text(a->path) : json_null(), "width", size_or_null(a->width), "height",
        size_or_null(a->height), "sandbox_id", text_or_null(a->sandbox_id), "kernel_id",
        text_or_null(a->kernel_id), "execution_id", text_or_null(a->execution_id), "command_id",
        text_or_null(a->command_id), "number", (json_int_t)a->number, "created", a->created,
        "content_url", text_or_null(url));
    if (a->problem)
        json_object_set_new(m, "problem", json_string(a->problem));
    return m;
}

/* The request, and one row more than the page, which tells whether there is a next. */
struct page {
    struct exchange *x;
    int64_t limit;
};

static void on_page(void *user, const struct artifact *list, size_t count, const struct err *e)
{
    struct page *page = user;
    if (e) {
        exchange_fail(page->x, e);
        free(page);
        return;
    }
    size_t shown = count > (size_t)page->limit ? (size_t)page->limit : count;
    json_t *models = json_array();
    for (size_t i = 0; i < shown; i++)
        json_array_append_new(models, model(page->x, &list[i]));
    char next[24] = "";
    if (shown < count)
        snprintf(next, sizeof(next), "%lld", (long long)list[shown - 1].position);
    exchange_reply_json(page->x, 200,
                        json_pack("{s:o, s:o}", "artifacts", models, "next", text_or_null(next)));
    free(page);
}

static bool read_kind(const char *text, enum artifact_kind *out, struct err *e)
{
    static const char *const words[] = {[ARTIFACT_DISPLAY] = "display", [ARTIFACT_FILE] = "file"};
    *out = ARTIFACT_ANY;
    for (size_t i = 1; text && i < countof(words); i++)
        if (strcmp(words[i], text) == 0)
            *out = (enum artifact_kind)i;
    return !text || *out || fail(e, 400, "kind: must be display or file");
}

bool v1_artifacts_query(const struct exchange *x, struct artifact_query *out, struct err *e)
{
    *out = (struct artifact_query){.kernel_id = exchange_query(x, "kernel"),
                                   .sandbox_id = exchange_query(x, "sandbox"),
                                   .execution_id = exchange_query(x, "execution"),
                                   .command_id = exchange_query(x, "command"),
                                   .mime_type = exchange_query(x, "mime_type"),
                                   .limit = LIMIT_DEFAULT};
    return read_kind(exchange_query(x, "kind"), &out->kind, e) &&
           v1_query_number(x, "limit", 1, LIMIT_MOST, &out->limit, e) &&
           v1_query_number(x, "after", 0, INT64_MAX, &out->after, e);
}

void v1_artifacts_reply(struct exchange *x, struct core *c, const struct artifact_query *query)
{
    struct artifact_query own = *query;
    struct page *page = xmalloc(sizeof(*page));
    *page = (struct page){x, query->limit};
    own.limit++;
    artifacts_list(c, exchange_principal(x), &own, on_page, page);
}

void v1_artifacts_list(struct exchange *x, void *core)
{
    struct err e = {0};
    struct artifact_query query;
    if (v1_artifacts_query(x, &query, &e))
        v1_artifacts_reply(x, core, &query);
    else
        exchange_fail(x, &e);
}

static void answer_for_sandbox(struct exchange *x, struct core *core,
                               void (*answer)(struct exchange *x, struct core *c,
                                              const struct artifact_query *query))
{
    struct err e = {0};
    struct artifact_query query;
    const struct sandbox *s =
        sandboxes_find_any(core, exchange_principal(x), exchange_param(x, "id"), &e);
    if (!s || !v1_artifacts_query(x, &query, &e)) {
        exchange_fail(x, &e);
        return;
    }
    query.sandbox_id = sandbox_id(s);
    answer(x, core, &query);
}

void v1_sandbox_artifacts_list(struct exchange *x, void *core)
{
    answer_for_sandbox(x, core, v1_artifacts_reply);
}

void v1_sandbox_artifacts_tar(struct exchange *x, void *core)
{
    answer_for_sandbox(x, core, v1_artifacts_send_tar);
}

static void query_one(struct exchange *x, struct core *c,
                      void (*done)(void *user, const struct artifact *list, size_t count,
                                   const struct err *e),
                      void *user)
{
    const struct artifact_query query = {.id = exchange_param(x, "id"), .limit = 1};
    artifacts_list(c, exchange_principal(x), &query, done, user);
}

static bool found(struct exchange *x, size_t count, const struct err *e)
{
    struct err missing;
    if (e || count == 0) {
        fail(&missing, 404, "there is no artifact %.100s", exchange_param(x, "id"));
        exchange_fail(x, e ? e : &missing);
        return false;
    }
    return true;
}

static void on_show(void *user, const struct artifact *list, size_t count, const struct err *e)
{
    struct exchange *x = user;
    if (found(x, count, e))
        exchange_reply_json(x, 200, model(x, list));
}

void v1_artifact_show(struct exchange *x, void *core)
{
    query_one(x, core, on_show, x);
}

/* As ?download= says, or else as the file was called. */
static const char *download_name(const struct exchange *x, const struct artifact *a)
{
    const char *name = exchange_query(x, "download");
    const char *slash = a->path ? strrchr(a->path, '/') : NULL;
    return *name ? name : slash ? slash + 1 : a->path ? a->path : a->id;
}

struct content {
    struct exchange *x;
    struct core *core;
};

static void on_content(void *user, const struct artifact *list, size_t count, const struct err *e)
{
    struct content *content = user;
    struct exchange *x = content->x;
    scoped(string) char *path = count ? artifact_path(content->core, list) : NULL;
    free(content);
    if (!found(x, count, e))
        return;
    if (!path) {
        struct err gone;
        fail(&gone, 410, "the artifact was not kept: %s", list->problem ? list->problem : "");
        exchange_fail(x, &gone);
        return;
    }
    scoped(string) char *etag = xasprintf("\"%s\"", list->sha256);
    bool is_text = strncmp(list->mime_type, "text/", 5) == 0 && !strchr(list->mime_type, ';');
    scoped(string) char *type =
        xasprintf("%s%s", list->mime_type, is_text ? "; charset=utf-8" : "");
    if (exchange_query(x, "download"))
        v1_files_add_disposition(x, download_name(x, list), "");
    exchange_add_header(x, "X-Content-Type-Options", "nosniff");
    exchange_add_header(x, "Content-Security-Policy", CONTENT_POLICY);
    exchange_add_header(x, "Referrer-Policy", "no-referrer");
    exchange_add_header(x, "Cache-Control", "private, max-age=31536000, immutable");
    exchange_reply_file(x, path, type, etag);
}

void v1_artifact_content(struct exchange *x, void *core)
{
    struct content *content = xmalloc(sizeof(*content));
    *content = (struct content){x, core};
    query_one(x, core, on_content, content);
}

void v1_artifact_delete(struct exchange *x, void *core)
{
    artifact_remove(core, exchange_principal(x), exchange_param(x, "id"), v1_removed, x);
}
