/* The steps of the ladder, one timer after the other. Used by execution.c and deliver.c.
 *
 * Invariant: the timer runs only between ladder_begin() and ladder_end(), and a step is taken only
 * while the interpreter that runs the execution is not leaving for another reason. */
#include "kernel/host/deadline.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "kernel/host/kernel.h"
#include "protocol/json.h"
#include "sandbox/limits.h"

#define NUMBER_MOST 40 /* digits of a deadline */

static void interrupt_it(struct kernel *k)
{
    k->ladder.step = STEP_INTERRUPT;
    interpreter_interrupt(k->interpreter, kernel_running_number(k));
    timer_start(k->ladder.timer, k->limits.interrupt_grace_ms);
}

static void kill_it(struct kernel *k)
{
    k->ladder.step = STEP_KILL;
    interpreter_kill_tree(k->interpreter);
}

static void dump_stacks(struct kernel *k)
{
    if (!k->dump_signal) {
        kill_it(k);
        return;
    }
    char grace[SECONDS_TEXT];
    seconds_text(k->limits.interrupt_grace_ms, grace);
    scoped(string) char *line =
        xasprintf("warmcell: this still runs %s after it was interrupted; its stacks:\n", grace);
    publish_stream(&k->publisher, k->running->number, k->running->header, "stderr", bytes_of(line));
    publish_flush(&k->publisher);
    k->ladder.step = STEP_DUMP;
    interpreter_signal(k->interpreter, k->dump_signal);
    timer_start(k->ladder.timer, k->limits.dump_grace_ms);
}

static bool can_step(const struct kernel *k)
{
    return k->running && k->interpreter && k->phase == PHASE_READY;
}

static void on_due(void *data)
{
    static void (*const steps[])(struct kernel * k) = {
        [STEP_NONE] = interrupt_it, [STEP_INTERRUPT] = dump_stacks, [STEP_DUMP] = kill_it};
    struct kernel *k = data;
    if (k->ladder.step == STEP_NONE)
        k->ladder.cause = CAUSE_DEADLINE;
    if (can_step(k) && k->ladder.step != STEP_KILL)
        steps[k->ladder.step](k);
}

void ladder_begin(struct kernel *k, const struct request *request)
{
    int64_t most = k->limits.execution_ms, wanted = request->deadline_ms;
    int64_t deadline = most && (!wanted || most < wanted) ? most : wanted;
    k->ladder = (struct ladder){.timer = k->ladder.timer, .deadline_ms = deadline};
    if (!deadline)
        return;
    if (!k->ladder.timer)
        k->ladder.timer = loop_timer(k->loop, on_due, k);
    timer_start(k->ladder.timer, deadline + 1); /* milliseconds are cut off: never too early */
}

void ladder_climb(struct kernel *k, enum cause cause)
{
    if (k->ladder.step != STEP_NONE || !can_step(k))
        return;
    if (!k->ladder.timer)
        k->ladder.timer = loop_timer(k->loop, on_due, k);
    k->ladder.cause = cause;
    interrupt_it(k);
}

void ladder_end(struct kernel *k)
{
    if (k->ladder.timer)
        timer_stop(k->ladder.timer);
}

void ladder_close(struct kernel *k)
{
    timer_close(k->ladder.timer);
}

bool ladder_takes_stacks(struct kernel *k, size_t bytes)
{
    if (k->ladder.step != STEP_DUMP || !k->running)
        return false;
    k->ladder.stack_dumped = true;
    k->ladder.stack_bytes += bytes;
    return k->ladder.stack_bytes <= LADDER_STACK_BYTES;
}

bool ladder_ended_it(const struct kernel *k, const struct interpreter_end *end)
{
    if (k->ladder.step == STEP_NONE || !k->running || end->oom || !WIFSIGNALED(end->wait_status))
        return false;
    int number = WTERMSIG(end->wait_status);
    return (k->ladder.step == STEP_KILL && number == SIGKILL) || number == SIGINT ||
           (k->dump_signal && number == k->dump_signal);
}

bool run_limits_read(json_t *object, struct run_limits *out, struct err *e)
{
    struct limits all = {.execution_ms = out->execution_ms,
                         .output_bytes = out->output_bytes,
                         .idle_ms = out->idle_ms,
                         .life_ms = out->life_ms};
    if (!object)
        return true;
    if (!limits_read(object, &all, e))
        return false;
    out->execution_ms = all.execution_ms;
    out->output_bytes = all.output_bytes;
    out->idle_ms = all.idle_ms;
    out->life_ms = all.life_ms;
    return true;
}

bool seconds_read(struct bytes text, int64_t *out_ms)
{
    char digits[NUMBER_MOST + 1] = {0};
    if (text.len == 0 || text.len > NUMBER_MOST)
        return false;
    memcpy(digits, text.data, text.len);
    if (strspn(digits, "0123456789.eE+-") != text.len)
        return false;
    char *end;
    double seconds = strtod(digits, &end);
    if (*end || !(seconds >= 0.001) || !(seconds * 1000 <= (double)DEADLINE_MOST_MS))
        return false;
    *out_ms = (int64_t)(seconds * 1000 + 0.5);
    return true;
}

bool deadline_read(struct bytes raw, int64_t *out_ms, struct err *e)
{
    struct slice slices[] = {{.name = "deadline_s"}};
    *out_ms = 0;
    if (!raw.len)
        return true;
    if (!json_slice_is_object(raw))
        return fail(e, 400, "metadata.warmcell: must be an object");
    if (!json_slices(raw, slices, 1, e))
        return fail(e, 400, "metadata.warmcell: deadline_s is there twice");
    struct bytes value = slices[0].value;
    if (!value.len || bytes_is(value, "null") || seconds_read(value, out_ms))
        return true;
    return fail(e, 400,
                "metadata.warmcell.deadline_s: must be a number of seconds from 0.001 to %lld",
                (long long)DEADLINE_MOST_MS / 1000);
}
