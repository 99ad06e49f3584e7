/* Executions and their replies.
 *
 * The reply of an execution that a limit has ended is made here, from the interpreter's own where
 * there is one: the traceback shows where the code stood. Content is spliced, not printed again. */
#include "kernel/host/execution.h"

#include <stdio.h>

#include "kernel/host/kernel.h"
#include "protocol/json.h"

#define METADATA_ROOM    500
#define HELD_MOST_BYTES  (1024u * 1024)
#define REPLY_FREE_BYTES (64u * 1024) /* of a reply, beyond the limit of output */

static const char *const outcomes[] = {
    [RUN_OK] = "ok",           [RUN_ERROR] = "error",         [RUN_INTERRUPTED] = "interrupted",
    [RUN_TIMEOUT] = "timeout", [RUN_KILLED] = "killed",       [RUN_OOM] = "oom",
    [RUN_ABORTED] = "aborted", [RUN_CANCELLED] = "cancelled", [RUN_OUTPUT_LIMIT] = "output_limit",
};

/* Why the run did not end by itself; all empty when it did. */
struct limit_end {
    enum run_outcome outcome;
    const char *name;
    char *text; /* owned */
};

void execution_begin(struct kernel *k)
{
    k->running->started_us = monotonic_us();
    k->interrupt_asked = false;
    buffer_clear(&k->held_error);
    ladder_begin(k, k->running);
    spent_begin(&k->spent, k->interpreter);
}

static void add_seconds(struct buffer *out, const char *name, int64_t us)
{
    if (us < 0)
        us = 0;
    buffer_add_text(out, name);
    buffer_add_number(out, (uint64_t)us / 1000000);
    char fraction[] = ".000000";
    for (int64_t n = 6, rest = us % 1000000; n > 0; n--, rest /= 10)
        fraction[n] = (char)('0' + rest % 10);
    buffer_add_text(out, fraction);
}

static void add_ladder(struct buffer *out, const struct ladder *l)
{
    if (l->deadline_ms)
        buffer_printf(out, ",\"deadline_s\":%.3f", (double)l->deadline_ms / 1000);
    if (l->step == STEP_NONE)
        return;
    if (l->cause == CAUSE_DEADLINE)
        buffer_add_text(out, ",\"deadline_passed\":true");
    if (l->ended_by)
        buffer_printf(out, ",\"ended_by\":\"%s\"", l->ended_by);
    buffer_printf(out, ",\"stack_dumped\":%s", l->stack_dumped ? "true" : "false");
}

/* That the interpreter ends because somebody wants it to, which the run itself does not show. */
static void add_cause(struct buffer *out, const struct kernel *k, const struct request *request,
                      enum run_outcome outcome)
{
    bool restarts = k->phase == PHASE_RESTARTING && k->restarted.call;
    enum cause cause = restarts ? CAUSE_RESTART : CAUSE_ASKED;
    const char *reason = !restarts               ? EXECUTION_ASKED_FOR_END
                         : request == k->running ? EXECUTION_RESTARTED
                                                 : "the kernel was restarted before this ran";
    if (outcome == RUN_CANCELLED || !(restarts || (request == k->running && k->told_to_end)))
        return;
    buffer_printf(out, ",\"cause\":\"%s\",\"reason\":\"%s\"", cause_word(cause), reason);
}

/* The metadata of a reply: base, an object or empty, and the member "warmcell" behind its own. */
static void add_metadata(struct buffer *out, struct kernel *k, const struct request *request,
                         struct bytes base, enum run_outcome outcome)
{
    bool retained = (k->phase == PHASE_READY || k->phase == PHASE_STARTING) &&
                    (request != k->running || (k->ladder.step != STEP_KILL && !k->told_to_end));
    int64_t now = monotonic_us();
    int64_t started = request->started_us ? request->started_us : now;
    struct slice own[] = {{.name = "warmcell"}, {.name = "usage"}};
    if (!json_slices(base, own, countof(own), NULL) || own[0].value.len)
        base.len = 0; /* that member is the host's alone */
    else if (request == k->running)
        spent_hear(&k->spent, own[1].value);
    buffer_reserve(out, base.len + METADATA_ROOM);
    while (base.len && base.data[base.len - 1] != '}')
        base.len--;
    bool empty = base.len < 2 || !memchr(base.data, '"', base.len); /* {} or { } */
    buffer_add_bytes(out, empty ? bytes_of("{") : (struct bytes){base.data, base.len - 1});
    buffer_add_text(out, empty ? "\"warmcell\":{\"outcome\":\"" : ",\"warmcell\":{\"outcome\":\"");
    buffer_add_text(out, outcomes[outcome]);
    buffer_add_text(out, retained ? "\",\"state_retained\":true" : "\",\"state_retained\":false");
    buffer_add_text(out, ",\"generation\":");
    buffer_add_number(out, k->generation);
    add_seconds(out, ",\"queue_s\":", started - request->arrived_us);
    add_seconds(out, ",\"run_s\":", now - started);
    buffer_add_text(out, ",\"out_bytes\":");
    buffer_add_number(out, request->output.delivered);
    if (request->output.withheld) {
        buffer_add_text(out, ",\"withheld_bytes\":");
        buffer_add_number(out, request->output.withheld);
    }
    if (request == k->running)
        add_ladder(out, &k->ladder);
    add_cause(out, k, request, outcome);
    buffer_add_text(out, "}}");
}

static void send_reply(struct kernel *k, const struct request *request, struct body body,
                       enum run_outcome outcome)
{
    scoped(buffer) struct buffer metadata = {0};
    add_metadata(&metadata, k, request, body.metadata, outcome);
    body.metadata = buffer_view(&metadata);
    publish_reply(&k->publisher, request, &body);
}

/* ,"traceback":[those of raw, and a line of our own]: raw is a JSON array of strings, or empty. */
static void add_traceback(struct buffer *out, struct bytes raw, const char *name, const char *text)
{
    scoped(string) char *line = xasprintf("%s: %s", name, text);
    bool some = raw.len > 2 && raw.data[0] == '[' && memchr(raw.data, '"', raw.len);
    buffer_add_text(out, ",\"traceback\":");
    buffer_add_bytes(out, some ? (struct bytes){raw.data, raw.len - 1} : bytes_of("["));
    if (some)
        buffer_add_text(out, ",");
    json_quote(out, bytes_of(line));
    buffer_add_text(out, "]");
}

static void add_error(struct buffer *out, struct bytes traceback, const char *name,
                      const char *text)
{
    buffer_add_text(out, "\"ename\":");
    json_quote(out, bytes_of(name));
    buffer_add_text(out, ",\"evalue\":");
    json_quote(out, bytes_of(text));
    add_traceback(out, traceback, name, text);
}

static void publish_error(struct kernel *k, struct bytes traceback, const char *name,
                          const char *text)
{
    scoped(buffer) struct buffer content = {0};
    buffer_add_text(&content, "{");
    add_error(&content, traceback, name, text);
    buffer_add_text(&content, "}");
    publish(&k->publisher, k->running->header, "error",
            &(struct body){.content = buffer_view(&content)});
}

static void reply_error(struct kernel *k, const struct request *request, struct bytes metadata,
                        struct bytes traceback, enum run_outcome outcome, const char *name,
                        const char *text)
{
    scoped(buffer) struct buffer content = {0};
    buffer_add_text(&content, "{\"status\":\"error\",");
    add_error(&content, traceback, name, text);
    buffer_printf(&content, ",\"execution_count\":%lld,\"user_expressions\":{},\"payload\":[]}",
                  (long long)k->execution_count);
    send_reply(k, request, (struct body){.metadata = metadata, .content = buffer_view(&content)},
               outcome);
}

/* "the first 1000 bytes were delivered, 52 were not" */
static char *count_text(const struct allowance *a)
{
    return xasprintf("%llu bytes were delivered, %llu were not", (unsigned long long)a->delivered,
                     (unsigned long long)a->withheld);
}

/* What the ladder did, in the sentence on its cause. */
static const char *done_text(const struct kernel *k)
{
    return k->ladder.step == STEP_KILL ? ", did not end when it was interrupted, and was killed"
                                       : " and was interrupted";
}

char *execution_end_text(const struct kernel *k)
{
    if (k->ladder.cause == CAUSE_DEADLINE) {
        char limit[SECONDS_TEXT];
        seconds_text(k->ladder.deadline_ms, limit);
        return xasprintf("the run passed its deadline of %s%s", limit, done_text(k));
    }
    scoped(string) char *counts = count_text(&k->running->output);
    return xasprintf("the run put out more than its limit of %lld bytes%s: %s",
                     (long long)k->limits.output_bytes, done_text(k), counts);
}

/* The end of a run whose output passed its limit, however it came about. */
static char *cut_text(const struct kernel *k, bool by_interrupt)
{
    if (by_interrupt && k->ladder.cause == CAUSE_OUTPUT_LIMIT)
        return execution_end_text(k);
    scoped(string) char *counts = count_text(&k->running->output);
    return xasprintf("the run put out more than its limit of %lld bytes: %s",
                     (long long)k->limits.output_bytes, counts);
}

static bool names_an_interrupt(const struct kernel *k, struct bytes ename)
{
    size_t len = k->interrupt_error ? strlen(k->interrupt_error) : 0;
    return len ? ename.len == len + 2 && memcmp(ename.data + 1, k->interrupt_error, len) == 0
               : ename.len > 0;
}

/* A limit ends the kernel, not somebody who would know. */
static bool ends_by_itself(const struct kernel *k)
{
    return k->phase == PHASE_ENDING && k->end.reason && k->end.cause != CAUSE_ASKED;
}

char *execution_kernel_end_text(const struct kernel *k)
{
    return xasprintf("the kernel ended while this ran: %s", k->end.reason);
}

bool execution_holds_error(struct kernel *k, struct bytes content)
{
    struct slice slices[] = {{.name = "ename"}};
    if ((k->ladder.step == STEP_NONE && !ends_by_itself(k)) || content.len > HELD_MOST_BYTES ||
        !json_slices(content, slices, 1, NULL) || !names_an_interrupt(k, slices[0].value))
        return false;
    buffer_clear(&k->held_error);
    buffer_add_bytes(&k->held_error, content);
    return true;
}

/* How the run ended by what its reply says. */
static struct limit_end judge(struct kernel *k, struct bytes status, struct bytes ename)
{
    bool failed = !bytes_is(status, "\"ok\"");
    bool by_interrupt = failed && names_an_interrupt(k, ename);
    if (by_interrupt && k->ladder.step != STEP_NONE)
        k->ladder.ended_by = "interrupt";
    if (k->running->output.withheld)
        return (struct limit_end){RUN_OUTPUT_LIMIT, cause_error_name(CAUSE_OUTPUT_LIMIT),
                                  cut_text(k, by_interrupt)};
    if (by_interrupt && k->ladder.step != STEP_NONE)
        return (struct limit_end){RUN_TIMEOUT, cause_error_name(CAUSE_DEADLINE),
                                  execution_end_text(k)};
    if (by_interrupt && ends_by_itself(k))
        return (struct limit_end){RUN_KILLED, cause_error_name(k->end.cause),
                                  execution_kernel_end_text(k)};
    if (by_interrupt && k->interrupt_asked)
        return (struct limit_end){.outcome = RUN_INTERRUPTED};
    return (struct limit_end){.outcome = failed ? RUN_ERROR : RUN_OK};
}

/* A reply is output too: one that is much longer than what is left is not passed on. */
static bool weigh(struct kernel *k, const struct body *body)
{
    size_t bytes = body->content.len;
    for (size_t i = 0; i < body->buffer_count; i++)
        bytes += body->buffers[i].len;
    uint64_t limit = (uint64_t)k->limits.output_bytes;
    if (limit == 0 || bytes <= REPLY_FREE_BYTES || bytes - REPLY_FREE_BYTES <= limit)
        return true;
    k->running->output.withheld += bytes;
    return false;
}

static void add_usage_alone(struct buffer *out, struct bytes metadata)
{
    struct slice usage = {.name = "usage"};
    if (!json_slices(metadata, &usage, 1, NULL) || !usage.value.len)
        return;
    buffer_add_text(out, "{\"usage\":");
    buffer_add_bytes(out, usage.value);
    buffer_add_text(out, "}");
}

void execution_reply(struct kernel *k, const struct body *body, bool abort_queue)
{
    struct slice slices[] = {{.name = "status"}, {.name = "ename"}, {.name = "traceback"}};
    json_slices(body->content, slices, countof(slices), NULL);
    struct bytes traceback = weigh(k, body) ? slices[2].value : (struct bytes){0};
    struct limit_end end = judge(k, slices[0].value, slices[1].value);
    if (abort_queue || (end.name && k->running->stop_on_error))
        kernel_doom_queue(k);
    if (end.name) {
        bool was_ok = bytes_is(slices[0].value, "\"ok\"");
        scoped(buffer) struct buffer usage = {0};
        if (was_ok) /* what else it says is no longer so */
            add_usage_alone(&usage, body->metadata);
        publish_error(k, traceback, end.name, end.text);
        reply_error(k, k->running, was_ok ? buffer_view(&usage) : body->metadata, traceback,
                    end.outcome, end.name, end.text);
    } else {
        if (k->held_error.len)
            publish(&k->publisher, k->running->header, "error",
                    &(struct body){.content = buffer_view(&k->held_error)});
        send_reply(k, k->running, *body, end.outcome);
    }
    free(end.text);
}

void execution_lost(struct kernel *k, enum cause cause, const char *text)
{
    static const enum run_outcome by_cause[] = {[CAUSE_OOM] = RUN_OOM,
                                                [CAUSE_DEADLINE] = RUN_TIMEOUT,
                                                [CAUSE_OUTPUT_LIMIT] = RUN_OUTPUT_LIMIT};
    enum run_outcome outcome =
        cause < countof(by_cause) && by_cause[cause] ? by_cause[cause] : RUN_KILLED;
    const char *name = cause_error_name(cause);
    scoped(string) char *whole = NULL;
    if (cause == CAUSE_DEADLINE || cause == CAUSE_OUTPUT_LIMIT)
        k->ladder.ended_by = "kill";
    if (cause != CAUSE_OUTPUT_LIMIT && k->running->output.withheld) {
        scoped(string) char *counts = count_text(&k->running->output);
        whole = xasprintf("%s; of its output %s", text, counts);
    }
    publish_error(k, (struct bytes){0}, name, whole ? whole : text);
    if (k->replied)
        return;
    scoped(buffer) struct buffer usage = {0};
    spent_tell(&k->spent, &k->end.last, &usage);
    if (k->running->execution)
        reply_error(k, k->running, buffer_view(&usage), (struct bytes){0}, outcome, name,
                    whole ? whole : text);
    else
        kernel_answer_error(k, k->running, name, text);
}

static const char aborted[] = "{\"status\":\"aborted\"}";

void execution_aborted(struct kernel *k, const struct request *request)
{
    send_reply(k, request, (struct body){.content = bytes_of(aborted)}, RUN_ABORTED);
}

void execution_cancelled(struct kernel *k, const struct request *request)
{
    send_reply(k, request, (struct body){.content = bytes_of(aborted)}, RUN_CANCELLED);
}

void execution_refused(struct kernel *k, const struct request *request, const char *name,
                       const char *text)
{
    enum run_outcome outcome = request->reason ? RUN_ERROR : RUN_KILLED;
    reply_error(k, request, (struct bytes){0}, (struct bytes){0}, outcome, name, text);
}
