/* POST …/executions with "items": several codes in one call, each an execution of its own.
 *
 * In sequence, each is asked for when the one before it has ended, so that what others ask of the
 * contexts is not held up by those that are not to run after a failure. In parallel, all are asked
 * for at once; those of one context still run one after the other.
 *
 * Invariant: the reply is made when no item is open any more. */
#include <stdio.h>
#include <string.h>

#include "gateway/core/sandbox.h"
#include "gateway/dialect/v1_executions.h"
#include "protocol/json.h"

#define ITEMS_LIMIT   100
#define KEY_LIMIT     (EXECUTION_KEY_LIMIT - 3) /* "/99" is added */
#define KEY_TEXT      (EXECUTION_KEY_LIMIT + 32)
#define OUTPUTS_BYTES (8 * 1024 * 1024) /* of all items, shared out evenly */

struct item {
    struct batch *batch;
    struct execution *execution; /* owned; NULL: it was refused, or never asked for */
    struct err problem;          /* status != 0 */
};

struct batch {
    struct exchange *exchange;
    struct core *core;
    json_t *items_asked; /* owned: an array, which the requests borrow from */
    char *sandbox;       /* id */
    bool parallel, stop_on_error;
    size_t count, asked, open;
    bool failed, asking;
    struct item items[ITEMS_LIMIT];
};

static void batch_free(struct batch *b)
{
    for (size_t i = 0; i < b->count; i++)
        execution_release(b->items[i].execution);
    json_decref(b->items_asked);
    free(b->sandbox);
    free(b);
}

static void write_item(const struct item *item, size_t outputs_bytes, struct buffer *out)
{
    if (item->execution && !item->problem.status) {
        v1_execution_write_whole(item->execution, outputs_bytes, false, out);
    } else if (item->problem.status) {
        buffer_printf(out, "{\"problem\":{\"status\":%d,\"detail\":", item->problem.status);
        json_quote(out, bytes_of(item->problem.text));
        buffer_add_text(out, "}}");
    } else {
        buffer_add_text(out, "null");
    }
}

static void reply(struct batch *b)
{
    scoped(buffer) struct buffer text = {0};
    buffer_printf(&text, "{\"ok\":%s,\"items\":[", b->failed ? "false" : "true");
    for (size_t i = 0; i < b->count; i++) {
        buffer_add_text(&text, i ? "," : "");
        write_item(&b->items[i], OUTPUTS_BYTES / b->count, &text);
    }
    buffer_add_text(&text, "]}");
    v1_reply_text(b->exchange, 200, &text);
    batch_free(b);
}

static void go_on(struct batch *b);

static void item_over(struct item *item, bool ok)
{
    item->batch->open--;
    item->batch->failed |= !ok;
    go_on(item->batch);
}

static void on_ended(void *user, const struct err *e)
{
    struct item *item = user;
    if (e)
        item->problem = *e;
    item_over(item, !e && strcmp(execution_status(item->execution), "ok") == 0);
}

static void on_created(void *user, struct execution *execution, const struct err *e)
{
    struct item *item = user;
    if (!execution) {
        item->problem = *e;
        item_over(item, false);
        return;
    }
    item->execution = execution_keep(execution);
    execution_await(execution, EXECUTION_ENDED, on_ended, item);
}

/* The request of one item; key has room for one of its own: so each is found again with the batch.
 */
static bool read_item(const struct batch *b, size_t index, struct execution_request *out,
                      char key[KEY_TEXT], struct err *e)
{
    struct err wrong;
    bool detach = false;
    json_t *item = json_array_get(b->items_asked, index);
    v1_execution_request_begin(b->exchange, out);
    if (out->key && strlen(out->key) > KEY_LIMIT)
        return fail(e, 400, "Idempotency-Key: longer than %d bytes", KEY_LIMIT);
    if (out->key) {
        snprintf(key, KEY_TEXT, "%s/%zu", out->key, index);
        out->key = key;
    }
    if (!json_is_object(item))
        return fail(e, 400, "items[%zu]: must be an object", index);
    if (!v1_execution_request_read(item, out, &detach, &wrong))
        return fail(e, wrong.status, "items[%zu]: %s", index, wrong.text);
    return !detach || fail(e, 400, "items[%zu]: detach: an item is awaited", index);
}

static void ask(struct batch *b, size_t index)
{
    struct item *item = &b->items[index];
    struct err e = {0};
    char key[KEY_TEXT];
    struct execution_request request = {0};
    struct sandbox *s =
        sandboxes_find_any(b->core, exchange_principal(b->exchange), b->sandbox, &e);
    b->open++;
    if (s && read_item(b, index, &request, key, &e))
        executions_create(s, &request, on_created, item);
    else
        on_created(item, NULL, &e);
}

/* Asks for what can be asked for now; replies when nothing is left. May free b. */
static void go_on(struct batch *b)
{
    if (b->asking)
        return;
    b->asking = true;
    while (b->asked < b->count && (b->parallel || !b->open) && !(b->failed && b->stop_on_error))
        ask(b, b->asked++);
    b->asking = false;
    if (!b->open)
        reply(b);
}

/* What would hold for one execution, and for no item. */
static bool check_whole(json_t *body, struct err *e)
{
    const char *name;
    json_t *value;
    json_object_foreach(body, name, value)
    {
        if (strcmp(name, "items") != 0 && strcmp(name, "parallel") != 0 &&
            strcmp(name, "stop_on_error") != 0 && strcmp(name, "detach") != 0 &&
            !json_is_null(value))
            return fail(e, 400, "%.40s: not beside items: each of them has its own", name);
    }
    return true;
}

static bool read_batch(struct batch *b, json_t *body, struct err *e)
{
    char key[KEY_TEXT];
    struct execution_request request;
    b->items_asked = json_incref(json_object_get(body, "items"));
    b->count = json_array_size(b->items_asked);
    if (b->count < 1 || b->count > ITEMS_LIMIT) {
        b->count = 0;
        return fail(e, 400, "items: must be a list of 1 to %d", ITEMS_LIMIT);
    }
    for (size_t i = 0; i < b->count; i++) {
        b->items[i].batch = b;
        if (!read_item(b, i, &request, key, e))
            return false;
    }
    return field_bool(body, "parallel", OPTIONAL, &b->parallel, e) &&
           field_bool(body, "stop_on_error", OPTIONAL, &b->stop_on_error, e) &&
           check_whole(body, e) &&
           (!json_is_true(json_object_get(body, "detach")) ||
            fail(e, 400, "detach: a batch is awaited")) &&
           (v1_stream_wanted(b->exchange) == STREAM_NONE ||
            fail(e, 400, "Accept: a batch is answered as a whole"));
}

void v1_batch_create(struct exchange *x, struct core *c, json_t *body)
{
    struct err e = {0};
    struct batch *b = xcalloc(1, sizeof(*b));
    b->exchange = x;
    b->core = c;
    b->sandbox = xstrdup(exchange_param(x, "id"));
    if (read_batch(b, body, &e)) {
        go_on(b);
        return;
    }
    batch_free(b);
    exchange_fail(x, &e);
}
