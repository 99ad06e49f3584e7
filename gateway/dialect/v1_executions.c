/* /v1/sandboxes/{id}/executions: run and wait, stream, detach; list, show, events, cancel, input.
 *
 * The record of an execution is core's (core/execution.h); here it gets its outputs. */
#include "gateway/dialect/v1_executions.h"

#include <stdio.h>
#include <string.h>

#include "gateway/dialect/v1.h"
#include "gateway/net/trace.h"
#include "protocol/json.h"
#include "protocol/memory.h"

#define BODY_LIMIT_BYTES  (16 * 1024 * 1024)
#define LIMIT_DEFAULT     100
#define LIMIT_MOST        1000
#define PAGE_DEFAULT      1000
#define PAGE_MOST         10000
#define PAGE_LIMIT_BYTES  (4 * 1024 * 1024)
#define INPUT_LIMIT_BYTES (1024 * 1024)

void v1_reply_text(struct exchange *x, int status, struct buffer *text)
{
    exchange_add_header(x, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'self'");
    exchange_reply(x, status, "application/json", buffer_view(text));
}

static struct sandbox *find_sandbox(struct exchange *x, struct core *c)
{
    struct err e = {0};
    struct sandbox *s = sandboxes_find_any(c, exchange_principal(x), exchange_param(x, "id"), &e);
    if (!s)
        exchange_fail(x, &e);
    return s;
}

static void reply_record(struct exchange *x, int status, const struct execution *execution)
{
    scoped(buffer) struct buffer text = {0};
    execution_write(execution, true, &text);
    v1_reply_text(x, status, &text);
}

/* --- create */

struct creating {
    struct exchange *exchange;
    struct execution *execution; /* owned, once there is one */
    bool detach, settled;
    enum v1_stream form;
    uint64_t after;
};

static void creating_free(struct creating *c)
{
    execution_release(c->execution);
    free(c);
}

static bool failed(struct creating *c, const struct err *e)
{
    if (!e)
        return false;
    exchange_fail(c->exchange, e);
    creating_free(c);
    return true;
}

static void on_stored(void *user, const struct err *e)
{
    struct creating *c = user;
    if (failed(c, e))
        return;
    if (c->detach)
        reply_record(c->exchange, 202, c->execution);
    else
        v1_stream_reply(c->exchange, c->execution, c->form, c->after, c->settled);
    creating_free(c);
}

static void on_ended(void *user, const struct err *e)
{
    struct creating *c = user;
    if (failed(c, e))
        return;
    scoped(buffer) struct buffer text = {0};
    v1_execution_write_whole(c->execution, V1_OUTPUTS_BYTES, c->settled, &text);
    v1_reply_text(c->exchange, 200, &text);
    creating_free(c);
}

static void on_created(void *user, struct execution *execution, const struct err *e)
{
    struct creating *c = user;
    if (failed(c, e))
        return;
    c->execution = execution_keep(execution);
    scoped(string) char *location =
        xasprintf("%s/v1/sandboxes/%s/executions/%s", exchange_base_url(c->exchange),
                  execution_sandbox_id(execution), execution_id(execution));
    exchange_add_header(c->exchange, "Location", location);
    if (c->detach || c->form != STREAM_NONE)
        execution_await(execution, EXECUTION_STORED, on_stored, c);
    else
        execution_await(execution, c->settled ? EXECUTION_SETTLED : EXECUTION_ENDED, on_ended, c);
}

void v1_execution_request_begin(const struct exchange *x, struct execution_request *out)
{
    *out =
        (struct execution_request){.store_history = true,
                                   .key = exchange_header(x, "idempotency-key"),
                                   .body = exchange_body(x),
                                   .traceparent = trace_parent(exchange_header(x, "traceparent"))};
}

bool v1_execution_request_read(json_t *body, struct execution_request *r, bool *detach,
                               struct err *e)
{
    json_t *argv = json_object_get(body, "argv");
    r->argv = json_is_null(argv) ? NULL : argv;
    return field_str(body, "code", REQUIRED, &r->code, e) &&
           field_str(body, "context", OPTIONAL, &r->context, e) &&
           field_int(body, "deadline_ms", OPTIONAL, 1, EXECUTION_DEADLINE_MOST_MS, &r->deadline_ms,
                     e) &&
           field_object(body, "env", OPTIONAL, &r->env, e) &&
           field_str(body, "cwd", OPTIONAL, &r->cwd, e) &&
           field_object(body, "labels", OPTIONAL, &r->labels, e) &&
           field_bool(body, "stop_on_error", OPTIONAL, &r->stop_on_error, e) &&
           field_bool(body, "store_history", OPTIONAL, &r->store_history, e) &&
           field_bool(body, "silent", OPTIONAL, &r->silent, e) &&
           field_bool(body, "allow_input", OPTIONAL, &r->allow_input, e) &&
           field_bool(body, "detach", OPTIONAL, detach, e);
}

void v1_executions_create(struct exchange *x, void *core)
{
    struct err e = {0};
    struct sandbox *s = find_sandbox(x, core);
    if (!s)
        return;
    struct execution_request request;
    struct creating creating = {.exchange = x, .form = v1_stream_wanted(x)};
    v1_execution_request_begin(x, &request);
    scoped(json) json_t *body = v1_body_within(x, BODY_LIMIT_BYTES);
    if (!body)
        return;
    if (json_object_get(body, "items")) {
        v1_batch_create(x, core, body);
        return;
    }
    if (!v1_execution_request_read(body, &request, &creating.detach, &e) ||
        !v1_events_after(x, &creating.after, &e) || !v1_settled_wanted(x, &creating.settled, &e)) {
        exchange_fail(x, &e);
        return;
    }
    struct creating *c = xmalloc(sizeof(*c));
    *c = creating;
    executions_create(s, &request, on_created, c);
}

/* --- list and show */

static void on_listed(void *user, struct execution *const *list, size_t count, bool more,
                      const struct err *e)
{
    struct exchange *x = user;
    if (e) {
        exchange_fail(x, e);
        return;
    }
    scoped(buffer) struct buffer text = {0};
    buffer_add_text(&text, "{\"executions\":[");
    for (size_t i = 0; i < count; i++) {
        buffer_add_text(&text, i ? "," : "");
        execution_write(list[i], false, &text);
    }
    if (more)
        buffer_printf(&text, "],\"next\":\"%lld\"}",
                      (long long)execution_position(list[count - 1]));
    else
        buffer_add_text(&text, "],\"next\":null}");
    v1_reply_text(x, 200, &text);
}

void v1_executions_list(struct exchange *x, void *core)
{
    struct err e = {0};
    struct sandbox *s = find_sandbox(x, core);
    struct execution_filter filter = {.context = exchange_query(x, "context"),
                                      .status = exchange_query(x, "status"),
                                      .limit = LIMIT_DEFAULT};
    if (!s)
        return;
    if (filter.status && !execution_status_known(filter.status))
        fail(&e, 400, "status: \"%.40s\" is none", filter.status);
    else if (v1_query_number(x, "limit", 1, LIMIT_MOST, &filter.limit, &e))
        v1_query_number(x, "after", 0, INT64_MAX, &filter.after, &e);
    if (e.status)
        exchange_fail(x, &e);
    else
        executions_list(s, &filter, on_listed, x);
}

static void on_show(void *user, struct execution *execution, const struct err *e)
{
    struct exchange *x = user;
    struct err bad = {0};
    bool outputs;
    if (!execution || !v1_wanted(x, "outputs", &outputs, &bad)) {
        exchange_fail(x, execution ? &bad : e);
        return;
    }
    if (!outputs) {
        reply_record(x, 200, execution);
        return;
    }
    scoped(buffer) struct buffer text = {0};
    v1_execution_write_whole(execution, V1_OUTPUTS_BYTES, true, &text);
    v1_reply_text(x, 200, &text);
}

static void find(struct exchange *x, struct core *c,
                 void (*done)(void *user, struct execution *execution, const struct err *e))
{
    struct sandbox *s = find_sandbox(x, c);
    if (s)
        executions_find(s, exchange_param(x, "execution"), done, x);
}

void v1_execution_show(struct exchange *x, void *core)
{
    find(x, core, on_show);
}

/* --- events */

struct page {
    struct buffer text;
    const struct execution *execution;
    int64_t left;
    uint64_t last;
    bool some, ended;
};

static bool add_event(void *user, const struct execution_event *event)
{
    struct page *page = user;
    buffer_add_text(&page->text, page->some ? "," : "");
    page->some = true;
    if (event->is_last)
        v1_event_write_end(page->execution, &page->text);
    else
        v1_event_write(event, &page->text);
    page->last = event->number;
    page->ended = event->is_last;
    return --page->left > 0 && page->text.len < PAGE_LIMIT_BYTES;
}

/* What stands behind the end, if it is there. True: it is, or was given before. */
static bool add_settled(struct page *page, uint64_t after)
{
    uint64_t number = execution_events_count(page->execution) + 1;
    if (!page->ended || !execution_settled(page->execution))
        return false;
    if (after >= number)
        return true;
    if (page->left == 0)
        return false;
    buffer_add_text(&page->text, page->some ? "," : "");
    v1_event_write_settled(page->execution, &page->text);
    page->last = number;
    return true;
}

static void reply_page(struct exchange *x, struct execution *execution, uint64_t after,
                       bool with_settled)
{
    struct err e = {0};
    struct page page = {.execution = execution, .left = PAGE_DEFAULT, .last = after};
    if (!v1_query_number(x, "limit", 1, PAGE_MOST, &page.left, &e)) {
        exchange_fail(x, &e);
        return;
    }
    buffer_add_text(&page.text, "{\"events\":[");
    page.ended = execution_ended(execution) && after >= execution_events_count(execution);
    if (execution_events_read(execution, after, add_event, &page, &e)) {
        bool settled = with_settled && add_settled(&page, after);
        buffer_printf(&page.text, "],\"after\":%llu,\"ended\":%s", (unsigned long long)page.last,
                      page.ended ? "true" : "false");
        if (with_settled)
            buffer_printf(&page.text, ",\"settled\":%s", settled ? "true" : "false");
        buffer_add_text(&page.text, "}");
        v1_reply_text(x, 200, &page.text);
    } else {
        exchange_fail(x, &e);
    }
    buffer_free(&page.text);
}

static void on_events(void *user, struct execution *execution, const struct err *e)
{
    struct exchange *x = user;
    uint64_t after = 0;
    struct err bad = {0};
    bool settled = false;
    enum v1_stream form = v1_stream_wanted(x);
    if (!execution || !v1_events_after(x, &after, &bad) || !v1_settled_wanted(x, &settled, &bad))
        exchange_fail(x, execution ? &bad : e);
    else if (form == STREAM_NONE)
        reply_page(x, execution, after, settled);
    else
        v1_stream_reply(x, execution, form, after, settled);
}

void v1_execution_events(struct exchange *x, void *core)
{
    find(x, core, on_events);
}

static void on_output(void *user, struct execution *execution, const struct err *e)
{
    struct exchange *x = user;
    const char *name = exchange_query(x, "stream");
    bool of_stderr = name && strcmp(name, "stderr") == 0;
    struct err bad;
    if (!execution) {
        exchange_fail(x, e);
    } else if (name && !of_stderr && strcmp(name, "stdout") != 0) {
        fail(&bad, 400, "stream: must be stdout or stderr");
        exchange_fail(x, &bad);
    } else {
        v1_stream_reply(x, execution, of_stderr ? STREAM_STDERR : STREAM_STDOUT, 0, false);
    }
}

void v1_execution_output(struct exchange *x, void *core)
{
    find(x, core, on_output);
}

/* --- cancel and input */

struct cancelling {
    struct exchange *exchange;
    struct execution *execution;
};

static void on_cancelled(void *user, const struct err *e)
{
    struct cancelling *c = user;
    if (e)
        exchange_fail(c->exchange, e);
    else
        reply_record(c->exchange, execution_ended(c->execution) ? 200 : 202, c->execution);
    execution_release(c->execution);
    free(c);
}

static void on_cancel(void *user, struct execution *execution, const struct err *e)
{
    if (!execution) {
        exchange_fail(user, e);
        return;
    }
    struct cancelling *c = xmalloc(sizeof(*c));
    *c = (struct cancelling){user, execution_keep(execution)};
    execution_cancel(execution, on_cancelled, c);
}

void v1_execution_cancel(struct exchange *x, void *core)
{
    find(x, core, on_cancel);
}

static void on_input(void *user, struct execution *execution, const struct err *e)
{
    struct exchange *x = user;
    struct err bad = {0};
    const char *value = NULL;
    scoped(json) json_t *body = execution ? v1_body_within(x, INPUT_LIMIT_BYTES) : NULL;
    if (!execution)
        exchange_fail(x, e);
    if (!body)
        return;
    if (!field_str(body, "value", REQUIRED, &value, &bad) ||
        !execution_answer_input(execution, value, &bad))
        exchange_fail(x, &bad);
    else
        exchange_reply_empty(x, 204);
}

void v1_execution_input(struct exchange *x, void *core)
{
    find(x, core, on_input);
}
