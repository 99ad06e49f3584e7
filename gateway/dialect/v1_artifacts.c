/* /v1/artifacts: what executions displayed.
 *
 * An artifact is {"id", "mime_type", "size_bytes", "sha256", "kernel_id", "execution_id", "number",
 * "created", "content_url"}, named by its id or by its sha256; one that could not be kept has
 * sha256 and content_url null and "problem". A list is {"artifacts": [], "next": "cursor" or null};
 * ?after=cursor gives what follows. */
#include <stdio.h>
#include <string.h>

#include "gateway/core/artifact.h"
#include "gateway/dialect/v1.h"
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

static json_t *model(const struct exchange *x, const struct artifact *a)
{
    scoped(string) char *url =
        a->sha256[0] ? xasprintf("%s/v1/artifacts/%s/content", exchange_base_url(x), a->id) : NULL;
    json_t *m = json_pack("{s:s, s:s, s:I, s:o, s:s, s:o, s:I, s:s, s:o}", "id", a->id, "mime_type",
                          a->mime_type, "size_bytes", (json_int_t)a->size_bytes, "sha256",
                          text_or_null(a->sha256), "kernel_id", a->kernel_id, "execution_id",
                          text_or_null(a->execution_id), "number", (json_int_t)a->number, "created",
                          a->created, "content_url", text_or_null(url));
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

void v1_artifacts_list(struct exchange *x, void *core)
{
    struct err e = {0};
    struct artifact_query query = {
        .kernel_id = exchange_query(x, "kernel"),
        .execution_id = exchange_query(x, "execution"),
        .limit = LIMIT_DEFAULT,
    };
    if (!v1_query_number(x, "limit", 1, LIMIT_MOST, &query.limit, &e) ||
        !v1_query_number(x, "after", 0, INT64_MAX, &query.after, &e)) {
        exchange_fail(x, &e);
        return;
    }
    struct page *page = xmalloc(sizeof(*page));
    *page = (struct page){x, query.limit};
    query.limit++;
    artifacts_list(core, exchange_principal(x), &query, on_page, page);
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
    bool is_text = strcmp(list->mime_type, "text/html") == 0;
    exchange_add_header(x, "X-Content-Type-Options", "nosniff");
    exchange_add_header(x, "Content-Security-Policy", CONTENT_POLICY);
    exchange_add_header(x, "Referrer-Policy", "no-referrer");
    exchange_add_header(x, "Cache-Control", "private, max-age=31536000, immutable");
    exchange_reply_file(x, path, is_text ? "text/html; charset=utf-8" : list->mime_type, etag);
}

void v1_artifact_content(struct exchange *x, void *core)
{
    struct content *content = xmalloc(sizeof(*content));
    *content = (struct content){x, core};
    query_one(x, core, on_content, content);
}
