/* The interpreter's life as the clients see it: starting, ready, crashed, restarted, ended.
 *
 * Whatever way it ends, on_end comes once, after everything it wrote was published; there the owed
 * reply is paid, and it is decided what follows: a new interpreter, the host's end, or a kernel
 * that explains itself. */
#include "kernel/host/kernel.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/host/cancel.h"
#include "kernel/host/execution.h"
#include "kernel/host/keeper_client.h"
#include "kernel/host/report.h"
#include "protocol/json.h"
#include "sandbox/family.h"

#define LEAVE_GRACE_MS     2000  /* for exit handlers */
#define QUICK_DEATH_MS     10000 /* sooner after the start, an end counts for the crash loop */
#define QUICK_DEATHS_LIMIT 5
#define HELLO_WAIT_MS      1000
#define KEEPER_WAIT_MS     5000 /* for the next keeper, or sandbox, when the one before ends */
#define KEEPER_RETRY_MS    20
#define ADOPT_LIMIT_BYTES  (16u * 1024 * 1024)
#define BROKEN_LINGER_MS   10000 /* how long a kernel that cannot start waits to be asked why */
#define BROKEN_TOLD_MS     1000  /* and for more questions after the last answer, */
#define BROKEN_ANSWERS_MS  3000  /* but no longer than this after the first: it is to be replaced */
#define EXIT_BROKEN        1
#define EXIT_CRASH_LOOP    3

static void on_end_due(void *data)
{
    struct kernel *k = data;
    k->plan.on_end(k->plan.data);
}

static void set_reason(struct kernel *k, enum cause cause, const char *reason)
{
    k->end.cause = cause;
    free(k->end.reason);
    k->end.reason = xstrdup(reason);
}

static void end_soon(struct kernel *k, int exit_status, int64_t after_ms)
{
    k->end.exit_status = exit_status;
    if (!k->end_timer)
        k->end_timer = loop_timer(k->loop, on_end_due, k);
    timer_start(k->end_timer, after_ms);
}

static void be_broken(struct kernel *k, const char *cause, struct bytes last_words)
{
    struct buffer text = {0};
    buffer_printf(&text, "%s", cause);
    if (last_words.len)
        buffer_printf(&text, "; it wrote: %.*s", (int)last_words.len, last_words.data);
    k->phase = PHASE_BROKEN;
    k->broken = buffer_take(&text, &(size_t){0});
    report("%s", cause);
    outcome_tell(&k->restarted, false, 502, k->broken);
    set_reason(k, CAUSE_START, k->broken);
    k->broken_told_ms = 0;
    end_soon(k, EXIT_BROKEN, BROKEN_LINGER_MS);
    kernel_dispatch(k);
}

static void on_hello_due(void *data)
{
    kernel_hello(data);
}

/* HELLO says the number of the history's session; but a locked file does not hold up the start. */
static void wait_for_session(struct kernel *k)
{
    if (!k->hello_timer)
        k->hello_timer = loop_timer(k->loop, on_hello_due, k);
    timer_start(k->hello_timer, HELLO_WAIT_MS);
    history_begin_session(k->history);
}

void kernel_broken_told(struct kernel *k)
{
    int64_t now = monotonic_ms();
    if (!k->broken_told_ms)
        k->broken_told_ms = now;
    int64_t left = k->broken_told_ms + BROKEN_ANSWERS_MS - now;
    if (k->end_timer)
        timer_start(k->end_timer, left > BROKEN_TOLD_MS ? BROKEN_TOLD_MS : left > 0 ? left : 0);
}

static void start_interpreter(struct kernel *k);

static void on_again(void *data)
{
    struct kernel *k = data;
    if (k->phase == PHASE_STARTING && !k->interpreter)
        start_interpreter(k);
}

/* A keeper that dies takes its sandboxes along, and who had it started begins the next one. And a
 * sandbox that still ends (423), because the host before this one did, will be gone. */
static bool may_come(struct kernel *k, int status)
{
    bool passes = status == 423 || (status == 503 && k->ever_ready);
    if (!passes || !k->plan.keeper || !keeper_client_confines(k->plan.keeper) ||
        monotonic_ms() - k->started_ms > KEEPER_WAIT_MS)
        return false;
    if (!k->again_timer)
        k->again_timer = loop_timer(k->loop, on_again, k);
    timer_start(k->again_timer, KEEPER_RETRY_MS);
    return true;
}

static void start_interpreter(struct kernel *k)
{
    static const struct interpreter_events told = {
        .on_frame = kernel_on_frame,
        .on_text = kernel_on_text,
        .on_end = kernel_on_end,
        .congested = kernel_congested,
    };
    struct interpreter_events events = told;
    struct err e;
    events.data = k;
    k->hello_sent = false;
    k->interpreter =
        k->plan.await_branch && k->generation == k->plan.generation + 1
            ? interpreter_await(k->loop, k->plan.await_branch, k->plan.keeper, &events, &e)
            : interpreter_start(k->loop, k->plan.argv, k->plan.keeper, &events, &e);
    if (k->interpreter && k->history)
        wait_for_session(k);
    else if (k->interpreter)
        kernel_hello(k);
    else if (!may_come(k, e.status))
        be_broken(k, e.text, (struct bytes){0});
}

bool kernel_renews(const struct kernel *k)
{
    return k->told_to_end && k->plan.renews && k->phase == PHASE_READY;
}

static void begin(struct kernel *k)
{
    k->told_to_end = false;
    k->phase = PHASE_STARTING;
    k->started_ms = monotonic_ms();
    k->execution_count = 0;
    k->generation++;
    k->dump_signal = 0;
    k->branches = k->snapshots = false;
    k->spent = (struct spent){0};
    free(take(&k->interrupt_error));
    publish_starting(&k->publisher, k->generation);
    start_interpreter(k);
}

void kernel_start(struct kernel *k)
{
    begin(k);
    lifetime_begin(k);
}

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

void kernel_hello(struct kernel *k)
{
    if (k->hello_sent || !k->interpreter)
        return;
    k->hello_sent = true;
    /* nothing of where the host lives concerns what is confined */
    bool confined = k->plan.keeper && keeper_client_confines(k->plan.keeper);
    char *cwd = confined ? NULL : getcwd(NULL, 0);
    const char *parent = getenv("JPY_PARENT_PID");
    json_t *hello = json_pack("{s:i, s:s, s:{s:o, s:I}, s:o, s:i, s:o}", "version", LINK_VERSION,
                              "session", k->publisher.session, "history", "file",
                              text_or_null(k->history && !confined ? k->plan.history_file : NULL),
                              "session", (json_int_t)k->history_session, "connection_file",
                              text_or_null(confined ? NULL : k->plan.connection_file), "parent_pid",
                              parent ? atoi(parent) : (int)getppid(), "cwd", text_or_null(cwd));
    char *text = hello ? json_dumps(hello, JSON_COMPACT) : xstrdup("{\"version\":1}");
    struct bytes part = bytes_of(text);
    interpreter_send(k->interpreter,
                     &(struct link_frame){.kind = LINK_HELLO, .parts = &part, .part_count = 1});
    free(text);
    free(cwd);
    json_decref(hello);
}

/* How it can be made to show its stacks, and how it names the end of an interrupted run. */
static void note_interrupts(struct kernel *k, json_t *ready)
{
    int64_t number = 0;
    const char *name = NULL;
    if (field_int(ready, "stack_dump_signal", OPTIONAL, SIGRTMIN, SIGRTMAX, &number, NULL))
        k->dump_signal = (int)number;
    if (field_str(ready, "interrupt_error", OPTIONAL, &name, NULL) && name)
        k->interrupt_error = xstrdup(name);
    field_bool(ready, "branches", OPTIONAL, &k->branches, NULL);
    field_bool(ready, "snapshots", OPTIONAL, &k->snapshots, NULL);
    field_bool(ready, "runs_apart", OPTIONAL, &k->spent.apart, NULL);
}

void kernel_ready(struct kernel *k, struct bytes json)
{
    struct err e;
    scoped(json) json_t *ready = json_parse_object(json, "READY", 1024 * 1024, &e);
    int64_t version = 0;
    if (!ready || !field_int(ready, "version", REQUIRED, 0, INT32_MAX, &version, &e) ||
        version != LINK_VERSION) {
        report("the interpreter does not speak version %d of the link and is killed", LINK_VERSION);
        interpreter_kill(k->interpreter);
        return;
    }
    if (k->phase != PHASE_STARTING)
        return;
    note_interrupts(k, ready);
    kernel_info_merge(k, json_object_get(ready, "kernel_info"));
    k->phase = PHASE_READY;
    k->ever_ready = true;
    struct bytes adopted = bytes_of(k->adopted);
    if (k->adopted)
        interpreter_send(
            k->interpreter,
            &(struct link_frame){.kind = LINK_ADOPT, .parts = &adopted, .part_count = 1});
    publish_status(&k->publisher, (struct bytes){0}, "idle");
    outcome_tell(&k->restarted, true, 200, "");
    kernel_dispatch(k);
}

void kernel_leave(struct kernel *k, enum phase phase)
{
    static const char *const parts[] = {"{\"restart\":false}", "{\"restart\":true}"};
    if (k->phase == PHASE_ENDING)
        return;
    k->phase = phase;
    if (!k->interpreter) {
        kernel_on_end(k, &(struct interpreter_end){0});
        return;
    }
    struct bytes part = bytes_of(parts[phase == PHASE_RESTARTING]);
    interpreter_send(k->interpreter,
                     &(struct link_frame){.kind = LINK_SHUTDOWN, .parts = &part, .part_count = 1});
    k->interrupt_asked = true;
    if (k->running)
        interpreter_interrupt(
            k->interpreter,
            kernel_running_number(k)); /* a cell that runs does not hold up the end */
    interpreter_kill_after(k->interpreter, LEAVE_GRACE_MS);
}

void kernel_orderly_end(struct kernel *k, enum cause cause, const char *reason)
{
    set_reason(k, cause, reason);
    kernel_leave(k, PHASE_ENDING);
}

/* `error` on iopub, the reply that is owed, idle; and every execution that waits behind it is
 * aborted. */
static void settle(struct kernel *k, enum cause cause, const char *text)
{
    if (!k->running)
        return;
    kernel_doom_queue(k);
    execution_lost(k, cause, text);
    kernel_finish(k);
}

static void begin_again(struct kernel *k, enum cause cause, const char *reason)
{
    free(take(&k->past_reason));
    k->past_cause = cause;
    /* Clients take "restarting" for a death that nobody asked for: JupyterLab puts up a dialog. */
    if (!k->restarted.call) {
        k->past_reason = cause == CAUSE_ASKED ? NULL : xstrdup(reason);
        publish_restarting(&k->publisher, cause, reason);
    }
    publisher_new_session(&k->publisher);
    k->text_number = 0;
    begin(k);
}

/* The reply on control and its copy on iopub, which has a header of its own: clients take a second
 * message with the same signature for a replay. */
static void say_goodbye(struct kernel *k)
{
    for (struct request *request; (request = queue_next(&k->leaving));) {
        struct slice slices[] = {{.name = "restart"}};
        bool restart = json_slices(request->content, slices, 1, NULL) &&
                       json_slice_bool(slices[0].value, false);
        scoped(string) char *content =
            xasprintf("{\"status\":\"ok\",\"restart\":%s}", restart ? "true" : "false");
        struct body body = {.content = bytes_of(content)};
        publish_reply(&k->publisher, request, &body);
        publish(&k->publisher, request->header, "shutdown_reply", &body);
        publish_status(&k->publisher, request->header, "idle");
        request_release(request);
    }
}

static void settle_at_end(struct kernel *k)
{
    enum cause cause = k->end.reason ? k->end.cause : CAUSE_ASKED;
    scoped(string) char *text = cause == CAUSE_ASKED
                                    ? xstrdup("the kernel was shut down while this ran")
                                    : execution_kernel_end_text(k);
    settle(k, cause, text);
}

static void end_now(struct kernel *k)
{
    family_kill();
    if (k->running)
        settle_at_end(k);
    say_goodbye(k);
    if (!k->end.reason)
        set_reason(k, CAUSE_ASKED,
                   k->told_to_end ? EXECUTION_ASKED_FOR_END : "the kernel was asked to shut down");
    outcome_tell(&k->stopped, true, 200, "");
    end_soon(k, k->end.exit_status, 0);
}

static void after_crash(struct kernel *k, const struct interpreter_end *end)
{
    bool by_ladder = ladder_ended_it(k, end);
    enum cause cause = by_ladder ? k->ladder.cause : death_cause(end);
    scoped(string) char *how = by_ladder ? execution_end_text(k) : death_text(end);
    scoped(string) char *text = xasprintf("%s; its variables are lost", how);
    bool quick = monotonic_ms() - k->started_ms < QUICK_DEATH_MS;
    if (!by_ladder && !end->oom) /* a limit that works is no crash loop */
        k->quick_deaths = quick ? k->quick_deaths + 1 : 0;
    report("%s", how);
    k->phase = PHASE_RESTARTING; /* nothing is sent to it any more */
    settle(k, cause, text);
    if (k->quick_deaths >= QUICK_DEATHS_LIMIT) {
        scoped(string) char *reason =
            xasprintf("%s, %d times in a row within %d seconds of its start", how,
                      QUICK_DEATHS_LIMIT, QUICK_DEATH_MS / 1000);
        report("the kernel ends: %s", reason);
        outcome_tell(&k->restarted, false, 502, reason);
        k->phase = PHASE_ENDING;
        set_reason(k, CAUSE_CRASH_LOOP, reason);
        end_soon(k, EXIT_CRASH_LOOP, 0);
        return;
    }
    begin_again(k, cause, how);
}

void kernel_on_end(void *kernel, const struct interpreter_end *end)
{
    struct kernel *k = kernel;
    struct interpreter *ended = take(&k->interpreter);
    k->end.last = *end;
    publish_flush(&k->publisher);
    branch_fail(k, "the interpreter ended");
    transfer_fail(k, "the interpreter ended");
    if (k->phase == PHASE_ENDING) {
        end_now(k);
    } else if (ended && interpreter_refusal(ended)) {
        if (k->phase != PHASE_STARTING || !may_come(k, interpreter_refusal_status(ended)))
            be_broken(k, interpreter_refusal(ended), (struct bytes){0});
    } else if (k->phase == PHASE_RESTARTING && k->told_to_end && !k->restarted.call) {
        begin_again(k, CAUSE_ASKED, EXECUTION_ASKED_FOR_END); /* what waits runs there */
    } else if (k->phase == PHASE_RESTARTING) {
        kernel_doom_queue(k);
        if (!k->running)
            kernel_abort_doomed(k);
        settle(k, CAUSE_RESTART, EXECUTION_RESTARTED);
        begin_again(k, CAUSE_RESTART, "the kernel was asked to restart");
    } else if (!k->ever_ready) {
        scoped(string) char *how = death_text(end);
        scoped(string) char *text = xasprintf("%s before it was ready", how);
        be_broken(k, text, interpreter_last_words(ended));
    } else {
        after_crash(k, end);
    }
    interpreter_free(ended);
}

static void backend_interrupt(struct backend *backend, struct outcome outcome)
{
    kernel_interrupt((struct kernel *)backend);
    outcome_tell(&outcome, true, 200, "");
}

static void backend_restart(struct backend *backend, struct outcome outcome)
{
    struct kernel *k = (struct kernel *)backend;
    bool renews = k->phase == PHASE_RESTARTING && k->told_to_end;
    if (k->phase == PHASE_ENDING || (k->phase == PHASE_RESTARTING && !renews) ||
        k->restarted.call) {
        outcome_tell(&outcome, false, 409, "the kernel is already ending or restarting");
        return;
    }
    k->restarted = outcome;
    k->quick_deaths = 0;
    if (k->phase == PHASE_BROKEN) {
        timer_stop(k->end_timer);
        free(take(&k->broken));
        free(take(&k->end.reason));
        begin_again(k, CAUSE_RESTART, "the kernel was asked to restart");
        return;
    }
    if (!renews) /* else that is under way */
        kernel_leave(k, PHASE_RESTARTING);
}

static void backend_stop(struct backend *backend, enum cause cause, const char *reason,
                         struct outcome outcome)
{
    struct kernel *k = (struct kernel *)backend;
    outcome_tell(&k->stopped, true, 200, "");
    k->stopped = outcome;
    kernel_orderly_end(k, cause, reason);
}

static void backend_adopt(struct backend *backend, struct bytes json, struct outcome outcome)
{
    struct kernel *k = (struct kernel *)backend;
    struct err e;
    scoped(json) json_t *orders = json_parse_object(json, "ADOPT_KERNEL", ADOPT_LIMIT_BYTES, &e);
    json_t *limits = NULL;
    const char *sandbox = NULL;
    if (!orders || !field_object(orders, "limits", OPTIONAL, &limits, &e) ||
        !field_str(orders, "sandbox", OPTIONAL, &sandbox, &e) ||
        !run_limits_read(limits, &k->limits, &e)) {
        outcome_tell(&outcome, false, e.status, e.text);
        return;
    }
    if (sandbox && k->plan.keeper)
        keeper_client_rename(k->plan.keeper, sandbox);
    if (json_is_true(json_object_get(orders, "cold"))) { /* told later, and alone: all else stays */
        if (k->plan.keeper)
            keeper_client_set_cold(k->plan.keeper);
        outcome_tell(&outcome, true, 200, "");
        return;
    }
    lifetime_begin(k);
    if (json_object_get(orders, "env") || json_object_get(orders, "cwd")) {
        free(k->adopted);
        k->adopted = xstrndup(json.data, json.len);
        if (k->interpreter && k->phase == PHASE_READY)
            interpreter_send(
                k->interpreter,
                &(struct link_frame){.kind = LINK_ADOPT, .parts = &json, .part_count = 1});
    }
    outcome_tell(&outcome, true, 200, "");
}

static void backend_branch(struct backend *backend, struct bytes json, struct outcome outcome)
{
    branch_begin((struct kernel *)backend, json, outcome);
}

static void backend_transfer(struct backend *backend, enum link_kind kind, struct bytes json,
                             struct outcome outcome)
{
    transfer_begin((struct kernel *)backend, kind, json, outcome);
}

static void backend_cancel(struct backend *backend, struct bytes json, struct outcome outcome)
{
    cancel_order((struct kernel *)backend, json, outcome);
}

static void backend_state(struct backend *backend, struct backend_state *out)
{
    static const char *const names[] = {
        [PHASE_STARTING] = "starting", [PHASE_READY] = "idle",  [PHASE_RESTARTING] = "restarting",
        [PHASE_ENDING] = "dead",       [PHASE_BROKEN] = "dead",
    };
    const struct kernel *k = (struct kernel *)backend;
    out->pid = k->interpreter ? interpreter_pid(k->interpreter) : 0;
    out->execution_state = k->running ? "busy" : names[k->phase];
    bool ends = k->end.reason != NULL;
    out->reason = ends ? k->end.reason : k->past_reason;
    out->cause = ends ? k->end.cause : k->past_cause;
    out->executions = kernel_executions(k);
}

static void backend_reaped(struct backend *backend, pid_t pid)
{
    struct kernel *k = (struct kernel *)backend;
    struct process_use use;
    int status = 0;
    if (!k->interpreter || interpreter_pid(k->interpreter) != pid)
        return;
    interpreter_kill(
        k->interpreter); /* what is left of its group, while its number is still taken */
    if (process_reap(pid, &status, &use))
        interpreter_reaped(k->interpreter, status, &use);
}

const struct backend_class kernel_backend = {
    .interrupt = backend_interrupt,
    .restart = backend_restart,
    .stop = backend_stop,
    .adopt = backend_adopt,
    .branch = backend_branch,
    .transfer = backend_transfer,
    .cancel = backend_cancel,
    .state = backend_state,
    .reaped = backend_reaped,
};
