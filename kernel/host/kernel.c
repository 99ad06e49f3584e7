/* Requests, from their arrival to `idle`.
 *
 * Invariants: at most one request is with the interpreter or the history thread (k->running);
 * `busy` goes out when it gets there and `idle` after it has been answered; what the host answers
 * by itself in between is followed by another `busy` of the running one, so that clients never see
 * it idle. */
#include "kernel/host/kernel.h"

#include <assert.h>

#include "kernel/host/execution.h"
#include "kernel/host/report.h"
#include "protocol/json.h"

#define REQUESTS_REMEMBERED 1024

enum lane {
    AT_ONCE,        /* answered by the host even while a cell runs */
    IN_TURN,        /* answered by the host when its turn comes */
    TO_INTERPRETER, /* sent to the interpreter when its turn comes */
};

struct handler {
    const char *msg_type;
    enum lane lane;
    bool has_reply;
    bool (*answer)(struct kernel *k, struct request *request);
};

static const struct handler handlers[] = {
    {"execute_request", TO_INTERPRETER, true, NULL},
    {"inspect_request", TO_INTERPRETER, true, NULL},
    {"complete_request", TO_INTERPRETER, true, NULL},
    {"is_complete_request", TO_INTERPRETER, true, NULL},
    {"comm_info_request", TO_INTERPRETER, true, NULL},
    {"comm_open", TO_INTERPRETER, false, NULL},
    {"comm_msg", TO_INTERPRETER, false, NULL},
    {"comm_close", TO_INTERPRETER, false, NULL},
    {"history_request", IN_TURN, true, answer_history},
    {"kernel_info_request", AT_ONCE, true, answer_kernel_info},
    {"connect_request", AT_ONCE, true, answer_connect},
    {"interrupt_request", AT_ONCE, true, answer_interrupt},
    {"shutdown_request", AT_ONCE, true, answer_shutdown},
    {"usage_request", AT_ONCE, true, answer_usage},
};

static const struct handler unknown_type = {"", AT_ONCE, false, NULL};

static const struct handler *handler_of(const char *msg_type)
{
    for (size_t i = 0; i < countof(handlers); i++)
        if (strcmp(handlers[i].msg_type, msg_type) == 0)
            return &handlers[i];
    return &unknown_type;
}

static bool flush_text(void *data)
{
    publish_flush(data);
    return false;
}

void kernel_open(struct kernel *k, struct loop *loop, const struct kernel_plan *plan)
{
    *k = (struct kernel){
        .backend.class = &kernel_backend, .loop = loop, .plan = *plan, .limits = plan->limits};
    k->end.last.wait_status = -1;
    k->generation = plan->generation;
    publisher_init(&k->publisher, plan->username);
    k->requests = request_table_new(REQUESTS_REMEMBERED);
    k->usage = usage_new();
    k->kernel_info = kernel_info_content(plan->python_version);
    loop_before_sleep(loop, flush_text, &k->publisher);
}

void kernel_close(struct kernel *k)
{
    interpreter_free(take(&k->interpreter));
    branch_fail(k, "the kernel ended");
    transfer_fail(k, "the kernel ended");
    history_free(k->history);
    queue_clear(&k->queue);
    queue_clear(&k->doomed);
    queue_clear(&k->leaving);
    request_release(k->running);
    request_table_free(k->requests);
    publisher_free(&k->publisher);
    usage_free(k->usage);
    timer_close(k->end_timer);
    timer_close(k->hello_timer);
    timer_close(k->again_timer);
    free(k->kernel_info);
    ladder_close(k);
    lifetime_close(k);
    buffer_free(&k->held_error);
    free(k->interrupt_error);
    free(k->input_id);
    free(k->adopted);
    free(k->broken);
    free(k->end.reason);
    free(k->past_reason);
}

void kernel_answer_error(struct kernel *k, const struct request *request, const char *name,
                         const char *text)
{
    if (!request->handler->has_reply)
        return;
    if (request->execution) {
        execution_refused(k, request, name, text);
        return;
    }
    struct buffer content = {0};
    buffer_add_text(&content, "{\"status\":\"error\",\"ename\":");
    json_quote(&content, bytes_of(name));
    buffer_add_text(&content, ",\"evalue\":");
    json_quote(&content, bytes_of(text));
    buffer_add_text(&content, ",\"traceback\":[");
    scoped(string) char *line = xasprintf("%s: %s", name, text);
    json_quote(&content, bytes_of(line));
    buffer_printf(&content, "],\"execution_count\":%lld}", (long long)k->execution_count);
    publish_reply(&k->publisher, request, &(struct body){.content = buffer_view(&content)});
    buffer_free(&content);
}

/* busy, an error reply, idle: for a request that is not run. */
static void refuse(struct kernel *k, const struct request *request, const char *name,
                   const char *text)
{
    publish_status(&k->publisher, request->header, "busy");
    kernel_answer_error(k, request, name, text);
    publish_status(&k->publisher, request->header, "idle");
}

static void still_busy(struct kernel *k)
{
    if (k->running)
        publish_status(&k->publisher, k->running->header, "busy");
}

static void answer_at_once(struct kernel *k, struct request *request)
{
    publish_status(&k->publisher, request->header, "busy");
    if (request->handler->answer && !request->handler->answer(k, request))
        return;
    publish_status(&k->publisher, request->header, "idle");
    still_busy(k);
}

static void send_to_interpreter(struct kernel *k, struct request *request)
{
    size_t count = 4 + request->buffer_count;
    struct bytes few[8];
    struct bytes *parts = count <= countof(few) ? few : xmalloc(count * sizeof *parts);
    parts[0] = bytes_of(request->msg_type);
    parts[1] = request->header;
    parts[2] = request->metadata;
    parts[3] = request->content;
    for (size_t i = 0; i < request->buffer_count; i++)
        parts[4 + i] = request->buffers[i];
    interpreter_send(k->interpreter, &(struct link_frame){.kind = LINK_REQUEST,
                                                          .number = request->number,
                                                          .parts = parts,
                                                          .part_count = count});
    if (parts != few)
        free(parts);
    request_drop_payload(request);
}

/* Makes it the running one. The interpreter works already while `busy` is being published. */
static void run(struct kernel *k, struct request *request)
{
    k->running = request;
    k->replied = false;
    request->number = ++k->last_number;
    request_table_add(k->requests, request);
    if (request->handler->lane == TO_INTERPRETER) {
        publish_flush(&k->publisher);
        k->text_number = request->number;
        send_to_interpreter(k, request);
        if (request->execution)
            execution_begin(k);
        publish_status(&k->publisher, request->header, "busy");
        return;
    }
    publish_status(&k->publisher, request->header, "busy");
    if (request->handler->answer(k, request))
        kernel_finish(k);
}

void kernel_dispatch(struct kernel *k)
{
    while (!k->running && !k->dooming && !k->branch && !k->transfer && k->queue.first) {
        struct request *first = k->queue.first;
        bool to_interpreter = first->handler->lane == TO_INTERPRETER;
        if (first->reason || (k->phase == PHASE_BROKEN && to_interpreter)) {
            scoped(request) struct request *request = queue_next(&k->queue);
            if (request->reason) {
                refuse(k, request, "BadMessage", request->reason);
            } else {
                refuse(k, request, "KernelDied", k->broken);
                kernel_broken_told(k);
            }
            continue;
        }
        if (first->handler->lane == AT_ONCE ? k->phase == PHASE_STARTING
                                            : to_interpreter && k->phase != PHASE_READY)
            return;
        if (to_interpreter && interpreter_has_ended(k->interpreter))
            return; /* it waits for the next one, which comes when this end has been told */
        struct request *next = queue_next(&k->queue);
        if (next->handler->lane == AT_ONCE) {
            answer_at_once(k, next);
            request_release(next);
        } else {
            run(k, next);
        }
    }
}

void kernel_finish(struct kernel *k)
{
    struct request *request = take(&k->running);
    ladder_end(k);
    lifetime_worked(k);
    input_forget(k);
    publish_status(&k->publisher, request->header, "idle");
    request_release(request);
    kernel_abort_doomed(k);
    if (kernel_renews(k)) /* before the next one could begin: that is for the new interpreter */
        kernel_leave(k, PHASE_RESTARTING);
    kernel_dispatch(k);
}

void kernel_doom_queue(struct kernel *k)
{
    k->dooming = true;
    for (size_t i = 0; i < k->publisher.frontend_count; i++)
        k->publisher.frontends[i]->class->drain(k->publisher.frontends[i]);
    k->dooming = false;
    queue_move(&k->queue, "execute_request", &k->doomed);
}

void kernel_abort_doomed(struct kernel *k)
{
    for (struct request *request; (request = queue_next(&k->doomed));) {
        publish_status(&k->publisher, request->header, "busy");
        execution_aborted(k, request);
        publish_status(&k->publisher, request->header, "idle");
        request_release(request);
    }
}

/* What the host itself must know of an execution. */
static bool read_execution(struct request *request, struct bytes warmcell, struct bytes stop,
                           struct err *e)
{
    request->stop_on_error = json_slice_bool(stop, true);
    return deadline_read(warmcell, &request->deadline_ms, e);
}

/* Reads what is ours of its metadata and content. NULL: it can be run; else why not. Given to the
 * caller. */
static char *what_is_wrong(struct request *request, const struct message *m,
                           const struct header *header)
{
    struct slice warmcell = {.name = "warmcell"}, stop = {.name = "stop_on_error"};
    const struct {
        const char *name;
        struct bytes json;
        struct slice *slice;
    } parts[] = {{"metadata", m->metadata, &warmcell}, {"content", m->content, &stop}};
    struct err e;
    for (size_t i = 0; i < countof(parts); i++)
        if (parts[i].json.len &&
            !json_slices(parts[i].json, parts[i].slice, request->execution, &e))
            return xasprintf("%s: %s", parts[i].name, e.text);
    if (request->execution && !read_execution(request, warmcell.value, stop.value, &e))
        return xstrdup(e.text);
    if (header->subshell_id)
        return xstrdup("subshell_id: this kernel has no such subshell");
    return NULL;
}

static bool type_usable(const char *msg_type)
{
    size_t len = strlen(msg_type);
    return len > 0 && len <= 60 && strspn(msg_type, "abcdefghijklmnopqrstuvwxyz_0123456789") == len;
}

/* Before a driver for another language has said which, kernel_info would be a wrong answer. */
static bool must_wait(const struct kernel *k, const struct request *request)
{
    return request->handler->answer == answer_kernel_info && !k->plan.python_version &&
           k->phase == PHASE_STARTING && !k->ever_ready;
}

static struct bytes object_or_empty(struct bytes json)
{
    return json.len == 0 || bytes_is(json, "null") ? bytes_of("{}") : json;
}

void kernel_take(void *kernel, struct frontend *from, const struct message *m)
{
    struct kernel *k = kernel;
    struct err e;
    if (m->channel == CHANNEL_STDIN) {
        input_take(k, m);
        return;
    }
    struct header header __attribute__((cleanup(header_scoped))) = {0};
    if (!header_parse(m->header, &header, &e)) {
        report_dropped("a message on %s was dropped: %s", channel_name(m->channel), e.text);
        return;
    }
    if (!type_usable(header.msg_type) || m->channel == CHANNEL_IOPUB) {
        report_dropped("a message on %s was dropped: its type or channel is not one of requests",
                       channel_name(m->channel));
        return;
    }
    struct message whole = *m;
    whole.metadata = object_or_empty(m->metadata);
    whole.content = object_or_empty(m->content);
    struct request *request = request_new(from, &whole, header.msg_type);
    request->handler = handler_of(header.msg_type);
    request->execution = request->handler == &handlers[0];
    request->arrived_us = monotonic_us();
    request->reason = what_is_wrong(request, &whole, &header);
    if (request->handler->lane == AT_ONCE && !must_wait(k, request)) {
        if (request->reason) {
            refuse(k, request, "BadMessage", request->reason);
            still_busy(k);
        } else {
            answer_at_once(k, request);
        }
        request_release(request);
        return;
    }
    queue_add(&k->queue, request);
    kernel_dispatch(k);
}

void kernel_relief(void *kernel)
{
    struct kernel *k = kernel;
    if (k->interpreter && !kernel_congested(k))
        interpreter_resume(k->interpreter);
}

uint64_t kernel_running_number(const struct kernel *k)
{
    return k->running ? k->running->number : 0;
}

void kernel_interrupt(struct kernel *k)
{
    if (!k->interpreter || k->phase != PHASE_READY)
        return;
    k->interrupt_asked = true;
    interpreter_interrupt(k->interpreter, kernel_running_number(k));
}
