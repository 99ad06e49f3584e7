/* What one execution changed and displayed: .../executions/{execution}/changes and /artifacts; and
 * how the changes of any run are answered with.
 *
 * A change is {"path", "what": "added|changed|deleted", "before": {"sha256", "size_bytes"} or null,
 * "after": likewise, "artifact_id", "content_url", "shared", "outside"} and, where bytes were not
 * kept, "problem". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/core/settling.h"
#include "gateway/dialect/v1_files.h"
#include "gateway/dialect/v1_artifacts.h"
#include "gateway/dialect/v1_executions.h"
#include "protocol/json.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MOST    1000

/* A request for what belongs to one execution. */
struct asking {
    struct exchange *exchange;
    struct core *core;
    struct execution *execution;     /* owned, once it was found */
    bool settled;                    /* waits until it is */
    void (*reply)(struct asking *a); /* frees it, now or later */
};

static void asking_free(struct asking *a)
{
    execution_release(a->execution);
    free(a);
}

static void on_settled(void *user, const struct err *e)
{
    struct asking *a = user;
    if (e) {
        exchange_fail(a->exchange, e);
        asking_free(a);
    } else {
        a->reply(a);
    }
}

static void on_found(void *user, struct execution *x, const struct err *e)
{
    struct asking *a = user;
    if (!x) {
        exchange_fail(a->exchange, e);
        asking_free(a);
        return;
    }
    a->execution = execution_keep(x);
    if (a->settled)
        execution_await(x, EXECUTION_SETTLED, on_settled, a);
    else
        a->reply(a);
}

static void find(struct exchange *x, struct core *core, void (*reply)(struct asking *a))
{
    struct err e = {0};
    struct asking asking = {.exchange = x, .core = core, .reply = reply};
    struct sandbox *s =
        sandboxes_find_any(core, exchange_principal(x), exchange_param(x, "id"), &e);
    if (!s || !v1_settled_wanted(x, &asking.settled, &e)) {
        exchange_fail(x, &e);
        return;
    }
    struct asking *a = xmalloc(sizeof(*a));
    *a = asking;
    executions_find(s, exchange_param(x, "execution"), on_found, a);
}

/* --- artifacts */

static void reply_query(struct asking *a, void (*answer)(struct exchange *x, struct core *c,
                                                         const struct artifact_query *query))
{
    struct err e = {0};
    struct artifact_query query;
    if (v1_artifacts_query(a->exchange, &query, &e)) {
        query.sandbox_id = execution_sandbox_id(a->execution);
        query.execution_id = execution_id(a->execution);
        answer(a->exchange, a->core, &query);
    } else {
        exchange_fail(a->exchange, &e);
    }
    asking_free(a);
}

static void reply_artifacts(struct asking *a)
{
    reply_query(a, v1_artifacts_reply);
}

static void reply_tar(struct asking *a)
{
    reply_query(a, v1_artifacts_send_tar);
}

void v1_execution_artifacts_tar(struct exchange *x, void *core)
{
    find(x, core, reply_tar);
}

void v1_execution_artifacts(struct exchange *x, void *core)
{
    find(x, core, reply_artifacts);
}

/* --- changes, of any run */

struct page {
    struct exchange *exchange;
    char *settled; /* owned; NULL: it is not */
    int64_t limit;
};

static void page_free(struct page *page)
{
    free(page->settled);
    free(page);
}

static json_t *text_or_null(const char *text)
{
    return text && *text ? json_string(text) : json_null();
}

static json_t *side(const char *sha256, int64_t bytes)
{
    return bytes < 0 ? json_null()
                     : json_pack("{s:o, s:I}", "sha256", text_or_null(sha256), "size_bytes",
                                 (json_int_t)bytes);
}

static json_t *model(const struct exchange *x, const struct workspace_change *change)
{
    scoped(string) char *url =
        change->artifact_id[0]
            ? xasprintf("%s/v1/artifacts/%s/content", exchange_base_url(x), change->artifact_id)
            : NULL;
    json_t *m = json_pack(
        "{s:o, s:s, s:o, s:o, s:o, s:o, s:b, s:b}", "path", v1_lossy_text(change->path), "what",
        change->what, "before", side(change->before_sha256, change->before_bytes), "after",
        side(change->sha256, change->size_bytes), "artifact_id", text_or_null(change->artifact_id),
        "content_url", text_or_null(url), "shared", (change->flags & WORKSPACE_CHANGE_SHARED) != 0,
        "outside", (change->flags & WORKSPACE_CHANGE_OUTSIDE) != 0);
    if (change->problem)
        json_object_set_new(m, "problem", json_string(change->problem));
    return m;
}

static void on_changes(void *user, const struct workspace_change *list, size_t count,
                       const struct err *e)
{
    struct page *page = user;
    struct exchange *x = page->exchange;
    if (e) {
        page_free(page);
        exchange_fail(x, e);
        return;
    }
    size_t shown = count > (size_t)page->limit ? (size_t)page->limit : count;
    json_t *changes = json_array(),
           *reply = page->settled ? json_loads(page->settled, 0, NULL) : NULL;
    for (size_t i = 0; i < shown; i++)
        json_array_append_new(changes, model(x, &list[i]));
    char next[24] = "";
    if (shown < count)
        snprintf(next, sizeof(next), "%lld", (long long)list[shown - 1].position);
    reply = reply ? reply : json_pack("{s:n, s:n, s:n}", "settled", "artifacts", "files_changed");
    json_object_set_new(reply, "changes", changes);
    json_object_set_new(reply, "next", text_or_null(next));
    page_free(page);
    exchange_reply_json(x, 200, reply);
}

void v1_changes_reply(struct exchange *x, struct core *c, const char *sandbox_id,
                      const char *run_id, const char *settled)
{
    struct err e = {0};
    struct workspace_change_query query = {.sandbox_id = sandbox_id, .run_id = run_id};
    int64_t limit = LIMIT_DEFAULT;
    if (!v1_query_number(x, "limit", 1, LIMIT_MOST, &limit, &e) ||
        !v1_query_number(x, "after", 0, INT64_MAX, &query.after, &e)) {
        exchange_fail(x, &e);
        return;
    }
    struct page *page = xmalloc(sizeof(*page));
    *page = (struct page){x, settled ? xstrdup(settled) : NULL, limit};
    query.limit = limit + 1;
    settling_changes(c, &query, on_changes, page);
}

static void reply_changes(struct asking *a)
{
    v1_changes_reply(a->exchange, a->core, execution_sandbox_id(a->execution),
                     execution_id(a->execution), execution_settled(a->execution));
    asking_free(a);
}

void v1_execution_changes(struct exchange *x, void *core)
{
    find(x, core, reply_changes);
}
