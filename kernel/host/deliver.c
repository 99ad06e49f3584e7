/* From the interpreter to the clients: each frame kind has its row.
 *
 * What the interpreter writes is the user's: a frame that makes no sense is passed over with a line
 * on stderr, and can neither end nor confuse the host. */
#include "kernel/host/kernel.h"

#include "kernel/host/execution.h"
#include "kernel/host/report.h"
#include "protocol/json.h"
#include "protocol/utf8.h"

#define TYPE_LIMIT 60

static struct bytes part(const struct link_frame *frame, size_t n)
{
    return n < frame->part_count ? frame->parts[n] : (struct bytes){0};
}

static struct body body_from(const struct link_frame *frame, size_t first)
{
    struct body body = {.metadata = part(frame, first), .content = part(frame, first + 1)};
    if (frame->part_count > first + 2) {
        body.buffers = frame->parts + first + 2;
        body.buffer_count = frame->part_count - first - 2;
    }
    return body;
}

/* Output was withheld: the execution that runs is ended; of one that ran before (a thread or task
 * of its goes on) the client is told. */
static void output_withheld(struct kernel *k, uint64_t number, struct request *request,
                            struct allowance *output)
{
    if (request && request == k->running && request->execution) {
        ladder_climb(k, CAUSE_OUTPUT_LIMIT);
        return;
    }
    if (!allowance_must_tell(output))
        return;
    scoped(string) char *line = xasprintf(
        "\nwarmcell: the output limit of %lld bytes is passed; %llu bytes so far were not "
        "delivered\n",
        (long long)k->limits.output_bytes, (unsigned long long)output->withheld);
    publish_stream(&k->publisher, number, request ? request->header : (struct bytes){0}, "stderr",
                   bytes_of(line));
}

/* Publishes text as far as its request may put out more; all of it when it is free. It is made
 * valid before it is counted: a byte that is no UTF-8 reaches the clients as three. */
static void put_text(struct kernel *k, uint64_t number, const char *name, struct bytes text,
                     bool is_free)
{
    scoped(buffer) struct buffer clean = {0};
    if (!utf8_valid(text)) {
        utf8_clean(&clean, text);
        text = buffer_view(&clean);
    }
    struct request *request = request_table_find(k->requests, number);
    struct allowance *output = request ? &request->output : &k->unowned;
    uint64_t limit = is_free ? 0 : (uint64_t)k->limits.output_bytes;
    size_t passed = allowance_text(output, limit, text);
    if (passed)
        publish_stream(&k->publisher, number, request ? request->header : (struct bytes){0}, name,
                       (struct bytes){text.data, passed});
    if (passed < text.len)
        output_withheld(k, number, request, output);
}

static void on_stream(struct kernel *k, const struct link_frame *frame)
{
    const char *name = bytes_is(part(frame, 0), "stderr") ? "stderr" : "stdout";
    if (part(frame, 1).len)
        put_text(k, frame->number, name, part(frame, 1), false);
}

static bool ends_with(const char *text, const char *ending)
{
    size_t len = strlen(text), tail = strlen(ending);
    return len >= tail && strcmp(text + len - tail, ending) == 0;
}

/* Types that only the host may say: each request and each reply has a kind of frame of its own. */
static bool reserved(const char *msg_type)
{
    static const char *const names[] = {"status", "iopub_welcome", "stream"};
    for (size_t i = 0; i < countof(names); i++)
        if (strcmp(names[i], msg_type) == 0)
            return true;
    return ends_with(msg_type, "_reply") || ends_with(msg_type, "_request");
}

static void note_count(struct kernel *k, struct bytes content)
{
    struct slice slices[] = {{.name = "execution_count"}};
    if (!json_slices(content, slices, 1, NULL) || slices[0].value.len == 0 ||
        slices[0].value.len > 18)
        return;
    char digits[20] = {0};
    memcpy(digits, slices[0].value.data, slices[0].value.len);
    k->execution_count = strtoll(digits, NULL, 10);
}

static void put_message(struct kernel *k, uint64_t number, const char *msg_type, struct body body)
{
    struct request *request = request_table_find(k->requests, number);
    struct allowance *output = request ? &request->output : &k->unowned;
    bool of_running = request && request == k->running && request->execution;
    if (strcmp(msg_type, "execute_input") == 0)
        note_count(k, body.content);
    else if (of_running && strcmp(msg_type, "error") == 0 && execution_holds_error(k, body.content))
        return;
    size_t bytes = body.content.len;
    for (size_t i = 0; i < body.buffer_count; i++)
        bytes += body.buffers[i].len;
    if (allowance_message(output, (uint64_t)k->limits.output_bytes, msg_type, bytes))
        publish(&k->publisher, request ? request->header : (struct bytes){0}, msg_type, &body);
    else
        output_withheld(k, number, request, output);
}

static void on_publish(struct kernel *k, const struct link_frame *frame)
{
    char msg_type[TYPE_LIMIT + 1];
    struct bytes type = part(frame, 0);
    if (type.len == 0 || type.len > TYPE_LIMIT)
        return;
    memcpy(msg_type, type.data, type.len);
    msg_type[type.len] = '\0';
    if (strspn(msg_type, "abcdefghijklmnopqrstuvwxyz_") != type.len || reserved(msg_type)) {
        report_dropped("the interpreter published a type that is not its to publish");
        return;
    }
    put_message(k, frame->number, msg_type, body_from(frame, 1));
}

static bool is_running(const struct kernel *k, const struct link_frame *frame)
{
    if (k->running && k->running->number == frame->number)
        return true;
    report_dropped("the interpreter answered request %llu, which does not run",
                   (unsigned long long)frame->number);
    return false;
}

static void on_reply(struct kernel *k, const struct link_frame *frame)
{
    if (!is_running(k, frame))
        return;
    struct body body = body_from(frame, 0);
    bool abort_queue = frame->flags & LINK_FLAG_ABORT_QUEUE;
    if (k->running->execution) {
        execution_reply(k, &body, abort_queue);
    } else {
        if (abort_queue)
            kernel_doom_queue(k);
        publish_reply(&k->publisher, k->running, &body);
    }
    k->replied = true;
    k->quick_deaths = 0; /* it works: a crash that a cell causes is no crash loop */
    kernel_finish(k);
    if (k->told_to_end && !k->plan.renews)
        kernel_leave(k, PHASE_ENDING);
}

/* An execution without its reply would go on with neither its deadline nor its limit of output. */
static void on_done(struct kernel *k, const struct link_frame *frame)
{
    if (!is_running(k, frame))
        return;
    if (k->running->execution) {
        report("the interpreter called an execution done that it owes a reply, and is killed");
        interpreter_kill(k->interpreter);
        return;
    }
    kernel_finish(k);
}

static void on_input_request(struct kernel *k, const struct link_frame *frame)
{
    input_ask(k, frame->number, part(frame, 0));
}

static void on_history(struct kernel *k, const struct link_frame *frame)
{
    char digits[20] = {0};
    struct bytes line = part(frame, 0);
    if (!k->history || line.len == 0 || line.len >= sizeof digits)
        return;
    memcpy(digits, line.data, line.len);
    history_add(k->history, strtoll(digits, NULL, 10), part(frame, 1), part(frame, 2));
}

static void on_exit_wanted(struct kernel *k, const struct link_frame *frame)
{
    struct slice slices[] = {{.name = "keepkernel"}};
    if (json_slices(part(frame, 0), slices, 1, NULL) && json_slice_bool(slices[0].value, false))
        return;
    k->told_to_end = true;
    if (k->running)
        return; /* it is answered first */
    if (kernel_renews(k))
        kernel_leave(k, PHASE_RESTARTING);
    else if (k->phase != PHASE_RESTARTING || !k->plan.renews)
        kernel_leave(k, PHASE_ENDING);
}

static void on_branched(struct kernel *k, const struct link_frame *frame)
{
    branch_answered(k, frame);
}

static void on_saved(struct kernel *k, const struct link_frame *frame)
{
    transfer_answered(k, frame);
}

static void on_ready(struct kernel *k, const struct link_frame *frame)
{
    kernel_ready(k, part(frame, 0));
}

static const struct {
    enum link_kind kind;
    void (*accept)(struct kernel *k, const struct link_frame *frame);
} kinds[] = {
    {LINK_STREAM, on_stream},    {LINK_PUBLISH, on_publish}, {LINK_REPLY, on_reply},
    {LINK_DONE, on_done},        {LINK_HISTORY, on_history}, {LINK_INPUT_REQUEST, on_input_request},
    {LINK_SAVED, on_saved},      {LINK_READY, on_ready},     {LINK_BRANCHED, on_branched},
    {LINK_EXIT, on_exit_wanted},
};

void kernel_on_frame(void *kernel, const struct link_frame *frame)
{
    struct kernel *k = kernel;
    for (size_t i = 0; i < countof(kinds); i++)
        if (kinds[i].kind == frame->kind) {
            kinds[i].accept(k, frame);
            return;
        }
    report("the interpreter sent a frame of unknown kind %u and is killed", frame->kind);
    interpreter_kill(k->interpreter);
}

void kernel_on_text(void *kernel, const char *name, struct bytes text)
{
    struct kernel *k = kernel;
    bool stacks = strcmp(name, "stderr") == 0 && ladder_takes_stacks(k, text.len);
    put_text(k, k->text_number, name, text, stacks);
}

bool kernel_congested(void *kernel)
{
    const struct kernel *k = kernel;
    return publisher_congested(&k->publisher);
}
