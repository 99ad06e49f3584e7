/* Single executions by their msg_id: which there are, and taking one back. */
#include "kernel/host/cancel.h"

#include "kernel/host/execution.h"
#include "kernel/host/kernel.h"
#include "protocol/json.h"

#define ORDER_LIMIT_BYTES (64u * 1024)

/* Of the raw header; given; NULL: it has none. */
static char *id_of(const struct request *request)
{
    struct slice id = {.name = "msg_id"};
    size_t len;
    return json_slices(request->header, &id, 1, NULL) && id.value.len
               ? json_slice_string(id.value, &len)
               : NULL;
}

static bool is_execution(const struct request *request, const char *msg_id)
{
    scoped(string) char *id = request && request->execution ? id_of(request) : NULL;
    return id && strcmp(id, msg_id) == 0;
}

/* Takes it out of the queue; given; NULL: it is not there. */
static struct request *take_waiting(struct queue *queue, const char *msg_id)
{
    struct queue stay = {0};
    struct request *found = NULL;
    for (struct request *request; (request = queue_next(queue));)
        if (!found && is_execution(request, msg_id))
            found = request;
        else
            queue_add(&stay, request);
    *queue = stay;
    return found;
}

void kernel_cancel(struct kernel *k, const char *msg_id)
{
    if (is_execution(k->running, msg_id)) {
        kernel_interrupt(k);
        return;
    }
    scoped(request) struct request *request = take_waiting(&k->queue, msg_id);
    if (!request)
        return;
    publish_status(&k->publisher, request->header, "busy");
    execution_cancelled(k, request);
    publish_status(&k->publisher, request->header, "idle");
    if (k->running)
        publish_status(&k->publisher, k->running->header, "busy");
}

void cancel_order(struct kernel *k, struct bytes json, struct outcome outcome)
{
    struct err e;
    const char *msg_id = NULL;
    scoped(json) json_t *order = json_parse_object(json, "CANCEL", ORDER_LIMIT_BYTES, &e);
    if (!order || !field_str(order, "msg_id", REQUIRED, &msg_id, &e)) {
        outcome_tell(&outcome, false, e.status, e.text);
        return;
    }
    kernel_cancel(k, msg_id);
    outcome_tell(&outcome, true, 200, "");
}

static void add(json_t *list, const struct request *request)
{
    scoped(string) char *id = request && request->execution ? id_of(request) : NULL;
    json_t *text = id ? json_string(id) : NULL;
    if (text)
        json_array_append_new(list, text);
}

json_t *kernel_executions(const struct kernel *k)
{
    json_t *list = json_array();
    add(list, k->running);
    for (const struct request *r = k->doomed.first; r; r = r->next)
        add(list, r);
    for (const struct request *r = k->queue.first; r; r = r->next)
        add(list, r);
    return list;
}
