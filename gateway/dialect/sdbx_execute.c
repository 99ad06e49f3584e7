/* POST /api/sandboxes/{id}/execute: a run, awaited, or as lines as it comes.
 *
 * The body is {"code", "language", "envVars", "contextId", "timeoutMs"}: envVars hold for this run
 * alone, timeoutMs ends it in the gateway. */
#include <string.h>

#include "gateway/dialect/sdbx.h"
#include "gateway/dialect/sdbx_result.h"
#include "gateway/dialect/v1.h"
#include "protocol/json.h"

struct running {
    struct exchange *x;
    struct execution *execution; /* owned, once there is one */
    bool lines;
};

static void end(struct running *r)
{
    execution_release(r->execution);
    free(r);
}

static bool failed(struct running *r, const struct err *e)
{
    if (!e)
        return false;
    exchange_fail(r->x, e);
    end(r);
    return true;
}

static void on_ready(void *user, const struct err *e)
{
    struct running *r = user;
    scoped(buffer) struct buffer text = {0};
    if (failed(r, e))
        return;
    if (r->lines) {
        v1_stream_reply_as(r->x, r->execution, &sdbx_words);
    } else {
        sdbx_write_whole(r->execution, &text);
        v1_reply_text(r->x, 200, &text);
    }
    end(r);
}

static void on_created(void *user, struct execution *x, const struct err *e)
{
    struct running *r = user;
    if (failed(r, e))
        return;
    r->execution = execution_keep(x);
    execution_await(x, r->lines ? EXECUTION_STORED : EXECUTION_ENDED, on_ready, r);
}

struct choice {
    const char *language;
    const char *context; /* the first one of that language; NULL: none yet */
};

static void choose(void *user, struct kernel *k)
{
    struct choice *c = user;
    if (!c->context && strcmp(context_language(k), c->language) == 0)
        c->context = kernel_id(k);
}

/* Without a context it is the first one of the language; without that, the sandbox's own. */
static bool choose_context(const struct sandbox *s, const char *language,
                           struct execution_request *q, struct err *e)
{
    struct choice choice = {.language = sdbx_language(language)};
    if (q->context || !choice.language)
        return true;
    contexts_each(s, choose, &choice);
    q->context = choice.context;
    return q->context || fail(e, 400,
                              "language: the sandbox has no context of %.40s: make one, if this "
                              "gateway speaks it",
                              language);
}

static bool read_body(json_t *body, const char **language, struct execution_request *q,
                      struct err *e)
{
    return field_str(body, "code", REQUIRED, &q->code, e) &&
           field_str(body, "language", OPTIONAL, language, e) &&
           field_object(body, "envVars", OPTIONAL, &q->env, e) &&
           field_str(body, "contextId", OPTIONAL, &q->context, e) &&
           field_int(body, "timeoutMs", OPTIONAL, 1, SDBX_TIMEOUT_MOST_MS, &q->deadline_ms, e);
}

/* What was asked for as the context was made. */
static const char *cwd_of(const struct sandbox *s, const char *context)
{
    char label[LABEL_NAME_LIMIT + 1];
    struct kernel *k = contexts_named(s, context);
    if (!k)
        return NULL;
    sdbx_cwd_label(kernel_id(k), label);
    return json_string_value(json_object_get(sandbox_labels(s), label));
}

void sdbx_execute(struct exchange *x, void *core)
{
    struct err e = {0};
    const char *language = NULL;
    struct execution_request request;
    struct sandbox *s = sdbx_sandbox(x, core);
    scoped(json) json_t *body = s ? sdbx_body(x) : NULL;
    if (!body)
        return;
    v1_execution_request_begin(x, &request);
    if (!read_body(body, &language, &request, &e) || !choose_context(s, language, &request, &e)) {
        exchange_fail(x, &e);
        return;
    }
    request.cwd = cwd_of(s, request.context);
    struct running *r = xmalloc(sizeof *r);
    *r = (struct running){.x = x, .lines = v1_stream_wanted(x) == STREAM_LINES};
    executions_create(s, &request, on_created, r);
}
