/* The foreign kernel's life as the clients see it: starting, ready, died, restarted, ended.
 *
 * Whatever way its process ends, on_end comes once, after everything that came from it was passed
 * on; there what is owed to clients is paid, and it is decided what follows: another kernel, the
 * host's end, or a relay that explains itself. */
#include "kernel/host/relay.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "kernel/host/endpoints.h"
#include "kernel/host/report.h"
#include "kernel/host/spawn.h"
#include "kernel/host/zeromq.h"
#include "protocol/json.h"
#include "sandbox/family.h"

#define LEDGER_LIMIT        4096
#define NUDGE_MS            500 /* as jupyter_server */
#define NUDGE_SOON_MS       20
#define START_LIMIT_MS      60000 /* jupyter_server's kernel_info_timeout */
#define TERMINATE_MS        2500 /* from the request to end to SIGTERM, and from there to SIGKILL */
#define DRAIN_MS            1000 /* a child that has left the group may hold the connections open */
#define FAILED_STARTS_LIMIT 3
#define QUICK_DEATH_MS                                                                             \
    10000 /* an end sooner than that after the start counts for the crash loop                     \
           */
#define QUICK_DEATHS_LIMIT 5
#define BROKEN_LINGER_MS   10000 /* how long a kernel that cannot start answers with the reason */
#define EXIT_BROKEN        1
#define EXIT_CRASH_LOOP    3

static void begin(struct relay *r);

/* reason: taken; NULL keeps the one that is there. */
static void end_soon(struct relay *r, int exit_status, enum cause cause, char *reason,
                     int64_t after_ms)
{
    r->end.exit_status = exit_status;
    if (reason) {
        free(r->end.reason);
        r->end.reason = reason;
        r->end.cause = cause;
    }
    timer_start(r->end_timer, after_ms);
}

static void on_end_due(void *data)
{
    struct relay *r = data;
    r->plan.on_end(r->plan.data);
}

/* cause: taken */
static void be_broken(struct relay *r, char *cause)
{
    r->phase = RELAY_BROKEN;
    free(r->broken);
    r->broken = cause;
    report("the kernel cannot be used: %s", cause);
    outcome_tell(&r->restarted, false, 502, cause);
    relay_dispatch(r);
    end_soon(r, EXIT_BROKEN, CAUSE_START, xstrdup(cause), BROKEN_LINGER_MS);
}

/* `how`, with the kernel's last words if it had any. Given to the caller. */
static char *with_last_words(const char *how, const struct foreign *foreign)
{
    scoped(string) char *words = foreign ? foreign_last_words(foreign) : xstrdup("");
    return *words ? xasprintf("%s; it wrote: %s", how, words) : xstrdup(how);
}

static void on_nudge_due(void *data)
{
    struct relay *r = data;
    if (r->phase != RELAY_STARTING || !r->client)
        return;
    relay_ask(r, CHANNEL_SHELL, "kernel_info_request", "{}");
    timer_start(r->nudge_timer, NUDGE_MS);
}

/* The kernel answers, but its output is not heard yet: the subscription is on its way. */
void relay_nudge_soon(struct relay *r)
{
    timer_start(r->nudge_timer, NUDGE_SOON_MS);
}

static void on_start_overdue(void *data)
{
    struct relay *r = data;
    if (r->phase != RELAY_STARTING || !r->foreign)
        return;
    report("the kernel did not answer within %d seconds and is killed", START_LIMIT_MS / 1000);
    r->failed_starts = FAILED_STARTS_LIMIT - 1; /* another one would not either */
    foreign_signal(r->foreign, SIGKILL);
}

static void on_leave_due(void *data)
{
    struct relay *r = data;
    if (!r->foreign)
        return;
    foreign_signal(r->foreign, r->terminated ? SIGKILL : SIGTERM);
    if (!r->terminated)
        timer_start(r->leave_timer, TERMINATE_MS);
    r->terminated = true;
}

static void on_drain_over(void *data)
{
    ((struct relay *)data)->drain_over = true;
}

struct relay *relay_open(struct loop *loop, const struct relay_plan *plan, struct err *e)
{
    struct connection connection;
    if (!zeromq_load(e) || !endpoints_make(plan->connection_file, plan->ipc, &connection, e))
        return NULL;
    if (!endpoints_pick(&connection, e) ||
        !connection_write(&connection, plan->connection_file, e)) {
        connection_free(&connection);
        return NULL;
    }
    struct relay *r = xcalloc(1, sizeof *r);
    *r = (struct relay){.backend.class = &relay_backend,
                        .plan = *plan,
                        .loop = loop,
                        .connection = connection,
                        .context = zmq_ctx_new(),
                        .ledger = ledger_new(LEDGER_LIMIT),
                        .end.last.wait_status = -1,
                        .kernel_state = "starting"};
    publisher_init(&r->publisher, plan->username);
    uuid_make(r->own_session);
    r->nudge_timer = loop_timer(loop, on_nudge_due, r);
    r->start_timer = loop_timer(loop, on_start_overdue, r);
    r->leave_timer = loop_timer(loop, on_leave_due, r);
    r->drain_timer = loop_timer(loop, on_drain_over, r);
    r->end_timer = loop_timer(loop, on_end_due, r);
    loop_before_sleep(loop, relay_before_sleep, r);
    return r;
}

void relay_close(struct relay *r)
{
    if (!r)
        return;
    foreign_free(r->foreign);
    client_close(r->client);
    while (zmq_ctx_term(r->context) != 0 && errno == EINTR)
        ;
    unlink(r->plan.connection_file);
    endpoints_clear(&r->connection);
    connection_free(&r->connection);
    queue_clear(&r->queue);
    ledger_free(r->ledger);
    publisher_free(&r->publisher);
    struct timer *timers[] = {r->nudge_timer, r->start_timer, r->leave_timer, r->drain_timer,
                              r->end_timer};
    for (size_t i = 0; i < countof(timers); i++)
        timer_close(timers[i]);
    free(r->input_id);
    free(r->broken);
    free(r->end.reason);
    free(r->past_reason);
    free(r);
}

void relay_start(struct relay *r)
{
    begin(r);
}

/* After a start that failed other ports are used: another program may have taken one of them. */
static bool launch(struct relay *r, struct err *e)
{
    struct client_events events = {relay_on_message, relay_congested, r};
    endpoints_clear(&r->connection);
    if (r->failed_starts && !endpoints_pick(&r->connection, e))
        return false;
    if (!connection_write(&r->connection, r->plan.connection_file, e))
        return false;
    r->client = client_open(r->context, r->loop, &r->connection, &events, e);
    if (!r->client)
        return false;
    r->foreign = foreign_start(r->loop, r->plan.argv, e);
    return r->foreign != NULL;
}

static void begin(struct relay *r)
{
    struct err e;
    r->phase = RELAY_STARTING;
    r->answered = r->heard = r->interrupted = r->terminated = r->drain_over = false;
    r->started_ms = monotonic_ms();
    r->kernel_state = "idle";
    publish_status(&r->publisher, (struct bytes){0}, "starting");
    if (!launch(r, &e)) {
        client_close(take(&r->client));
        be_broken(r, xstrdup(e.text));
        return;
    }
    timer_start(r->start_timer, START_LIMIT_MS);
    on_nudge_due(r);
}

static void begin_again(struct relay *r, enum cause cause, const char *reason)
{
    free(take(&r->past_reason));
    r->past_cause = cause;
    /* Clients take "restarting" for a death that nobody asked for: JupyterLab puts up a dialog. */
    if (!r->restarted.call) {
        r->past_reason = xstrdup(reason);
        publish_restarting(&r->publisher, cause, reason);
    }
    publisher_new_session(&r->publisher);
    begin(r);
}

void relay_ready(struct relay *r)
{
    timer_stop(r->nudge_timer);
    timer_stop(r->start_timer);
    r->phase = RELAY_READY;
    r->failed_starts = 0;
    publish_status(&r->publisher, (struct bytes){0}, "idle");
    outcome_tell(&r->restarted, true, 200, "");
    relay_dispatch(r);
}

static void interrupt(struct relay *r)
{
    if (r->plan.interrupt_by_message) {
        relay_ask(r, CHANNEL_CONTROL, "interrupt_request", "{}");
    } else {
        r->interrupted = true;
        foreign_signal(r->foreign, SIGINT);
    }
}

static void on_end(struct relay *r, int wait_status);

void relay_leave(struct relay *r, enum relay_phase phase, bool asked)
{
    enum relay_phase before = r->phase;
    if (before == RELAY_ENDING)
        return;
    r->phase = phase;
    if (before == RELAY_RESTARTING)
        return; /* it is leaving already */
    timer_stop(r->nudge_timer);
    timer_stop(r->start_timer);
    if (!r->foreign) {
        on_end(r, 0);
        return;
    }
    if (before == RELAY_STARTING) { /* there is nobody to ask yet */
        foreign_signal(r->foreign, SIGKILL);
        return;
    }
    if (strcmp(r->kernel_state, "busy") == 0)
        interrupt(r); /* a cell that runs does not hold up the end */
    if (!asked)
        relay_ask(r, CHANNEL_CONTROL, "shutdown_request",
                  phase == RELAY_RESTARTING ? "{\"restart\":true}" : "{\"restart\":false}");
    timer_start(r->leave_timer, TERMINATE_MS);
}

static void publish_error(struct relay *r, struct bytes parent, const char *name, const char *text)
{
    struct buffer content = {0};
    buffer_add_text(&content, "{\"ename\":");
    json_quote(&content, bytes_of(name));
    buffer_add_text(&content, ",\"evalue\":");
    json_quote(&content, bytes_of(text));
    scoped(string) char *line = xasprintf("%s: %s", name, text);
    buffer_add_text(&content, ",\"traceback\":[");
    json_quote(&content, bytes_of(line));
    buffer_add_text(&content, "]}");
    publish(&r->publisher, parent, "error", &(struct body){.content = buffer_view(&content)});
    buffer_free(&content);
}

/* The kernel has ended, which is what it was asked for. */
static void answer_shutdown(struct relay *r, const struct request *request)
{
    struct slice slices[] = {{.name = "restart"}};
    bool restart =
        json_slices(request->content, slices, 1, NULL) && json_slice_bool(slices[0].value, false);
    relay_answer(r, request,
                 restart ? "{\"status\":\"ok\",\"restart\":true}"
                         : "{\"status\":\"ok\",\"restart\":false}");
}

static bool is_execute(const struct entry *entry)
{
    return strcmp(entry->request->msg_type, "execute_request") == 0;
}

/* Pays what is owed for one request that the kernel had. ran: it is the execution that ended with
 * the kernel; those behind it are aborted. */
static void pay(struct relay *r, const struct entry *entry, bool ran, const char *name,
                const char *text)
{
    const struct request *request = entry->request;
    if (!entry->begun)
        publish_status(&r->publisher, request->header, "busy");
    if (ran)
        publish_error(r, request->header, name, text);
    if (entry->replied)
        ;
    else if (strcmp(request->msg_type, "shutdown_request") == 0)
        answer_shutdown(r, request);
    else if (is_execute(entry) && !ran)
        relay_answer(r, request, "{\"status\":\"aborted\"}");
    else
        relay_answer_error(r, request, name, text);
    if (!entry->idle_seen)
        publish_status(&r->publisher, request->header, "idle");
}

/* The first execution without a reply is the one that ran: a kernel may die before its `busy` has
 * left it, and some say busy already as they take a request in. */
static void settle(struct relay *r, const char *name, const char *text)
{
    bool found = false;
    free(take(&r->input_id));
    for (struct entry *entry; (entry = ledger_oldest(r->ledger));) {
        bool ran = !found && is_execute(entry) && !entry->replied;
        found |= ran;
        pay(r, entry, ran, name, text);
        ledger_remove(r->ledger, entry);
    }
}

static bool owes_a_reply(const struct relay *r)
{
    for (const struct entry *entry = ledger_oldest(r->ledger); entry; entry = entry->newer)
        if (!entry->replied)
            return true;
    return false;
}

static void end_now(struct relay *r, const char *reason)
{
    r->phase = RELAY_ENDING;
    family_kill();
    settle(r, "KernelEnded", "the kernel was shut down while this ran");
    for (struct request *request; (request = queue_next(&r->queue));) {
        publish_status(&r->publisher, request->header, "busy");
        if (strcmp(request->msg_type, "shutdown_request") == 0)
            answer_shutdown(r, request);
        else
            relay_answer_error(r, request, "KernelEnded", "the kernel was shut down");
        publish_status(&r->publisher, request->header, "idle");
        request_release(request);
    }
    outcome_tell(&r->restarted, false, 409, "the kernel was asked to shut down");
    outcome_tell(&r->stopped, true, 200, "");
    end_soon(r, 0, CAUSE_ASKED, r->end.reason ? NULL : xstrdup(reason), 0);
}

static void after_failed_start(struct relay *r, const char *how, const struct foreign *ended)
{
    scoped(string) char *text = xasprintf("%s before it was ready", how);
    if (++r->failed_starts < FAILED_STARTS_LIMIT) {
        report("%s; it is started again", text);
        begin(r);
        return;
    }
    r->failed_starts = 0;
    settle(r, "KernelDied", text);
    be_broken(r, with_last_words(text, ended));
}

static void after_crash(struct relay *r, const char *how, const struct foreign *ended)
{
    scoped(string) char *words = with_last_words(how, ended);
    scoped(string) char *text = xasprintf("%s; its variables are lost", how);
    bool quick = monotonic_ms() - r->started_ms < QUICK_DEATH_MS;
    r->quick_deaths = quick ? r->quick_deaths + 1 : 0;
    report("%s", how);
    settle(r, "KernelDied", text);
    if (r->quick_deaths < QUICK_DEATHS_LIMIT) {
        begin_again(r, death_cause(&r->end.last), how);
        return;
    }
    char *reason = xasprintf("%d times in a row within %d seconds of its start: %s",
                             QUICK_DEATHS_LIMIT, QUICK_DEATH_MS / 1000, words);
    report("the kernel ends: %s", reason);
    outcome_tell(&r->restarted, false, 502, reason);
    r->phase = RELAY_ENDING;
    relay_dispatch(r);
    end_soon(r, EXIT_CRASH_LOOP, CAUSE_CRASH_LOOP, reason, 0);
}

/* It ended with 0, owing nothing, and not because it was interrupted: the user's code (`exit`,
 * `quit()`) did it. */
static bool ended_by_itself(const struct relay *r, int wait_status)
{
    return WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0 && !r->interrupted &&
           !owes_a_reply(r);
}

static void on_end(struct relay *r, int wait_status)
{
    struct foreign *ended = take(&r->foreign);
    scoped(string) char *how = foreign_end_text(wait_status);
    client_close(take(&r->client));
    timer_stop(r->leave_timer);
    timer_stop(r->drain_timer);
    r->end.last.wait_status = ended ? wait_status : -1;
    if (r->phase == RELAY_ENDING) {
        end_now(r, "the kernel was asked to shut down");
    } else if (r->phase == RELAY_RESTARTING) {
        settle(r, "KernelRestarted", "the kernel was restarted while this ran");
        begin_again(r, CAUSE_RESTART, "the kernel was asked to restart");
    } else if (r->phase == RELAY_STARTING) {
        after_failed_start(r, how, ended);
    } else if (ended_by_itself(r, wait_status)) {
        end_now(r, "the code that ran asked the kernel to end");
    } else {
        after_crash(r, how, ended);
    }
    foreign_free(ended);
}

bool relay_before_sleep(void *relay)
{
    struct relay *r = relay;
    bool more = r->client && client_pump(r->client);
    if (!r->foreign || !foreign_ended(r->foreign) || more)
        return more;
    if (!client_drained(r->client) && !(r->drain_over && client_dry(r->client)))
        return false;
    on_end(r, foreign_status(r->foreign));
    return true; /* what that has sent is still to be looked at */
}

static void backend_interrupt(struct backend *backend, struct outcome outcome)
{
    struct relay *r = (struct relay *)backend;
    if (r->foreign && r->phase == RELAY_READY)
        interrupt(r);
    outcome_tell(&outcome, true, 200, "");
}

static void backend_restart(struct backend *backend, struct outcome outcome)
{
    struct relay *r = (struct relay *)backend;
    if (r->phase == RELAY_ENDING || r->phase == RELAY_RESTARTING || r->restarted.call) {
        outcome_tell(&outcome, false, 409, "the kernel is already ending or restarting");
        return;
    }
    r->restarted = outcome;
    r->quick_deaths = r->failed_starts = 0;
    if (r->phase == RELAY_BROKEN) {
        timer_stop(r->end_timer);
        free(take(&r->broken));
        free(take(&r->end.reason));
        begin_again(r, CAUSE_RESTART, "the kernel was asked to restart");
        return;
    }
    relay_leave(r, RELAY_RESTARTING, false);
}

static void backend_stop(struct backend *backend, enum cause cause, const char *reason,
                         struct outcome outcome)
{
    struct relay *r = (struct relay *)backend;
    outcome_tell(&r->stopped, true, 200, "");
    r->stopped = outcome;
    free(r->end.reason);
    r->end.reason = xstrdup(reason);
    r->end.cause = cause;
    relay_leave(r, RELAY_ENDING, false);
}

static void backend_adopt(struct backend *backend, struct bytes json, struct outcome outcome)
{
    (void)backend;
    (void)json;
    outcome_tell(&outcome, false, 409,
                 "a kernel that speaks ZeroMQ itself cannot take on another environment");
}

static void backend_branch(struct backend *backend, struct bytes json, struct outcome outcome)
{
    (void)backend;
    (void)json;
    outcome_tell(&outcome, false, 409, "a kernel that speaks ZeroMQ itself cannot be forked");
}

static void backend_transfer(struct backend *backend, enum link_kind kind, struct bytes json,
                             struct outcome outcome)
{
    (void)backend;
    (void)kind;
    (void)json;
    outcome_tell(&outcome, false, 409, "a kernel that speaks ZeroMQ itself has no snapshots");
}

static void backend_cancel(struct backend *backend, struct bytes json, struct outcome outcome)
{
    (void)backend;
    (void)json;
    outcome_tell(&outcome, false, 409,
                 "of a kernel that speaks ZeroMQ itself no single execution can be cancelled");
}

static void backend_state(struct backend *backend, struct backend_state *out)
{
    static const char *const names[] = {
        [RELAY_STARTING] = "starting",
        [RELAY_RESTARTING] = "restarting",
        [RELAY_ENDING] = "dead",
        [RELAY_BROKEN] = "dead",
    };
    const struct relay *r = (struct relay *)backend;
    out->pid = r->foreign ? foreign_pid(r->foreign) : 0;
    out->execution_state = r->phase == RELAY_READY ? r->kernel_state : names[r->phase];
    out->reason = r->end.reason ? r->end.reason : r->past_reason;
    out->cause = r->end.reason ? r->end.cause : r->past_cause;
}

static void backend_reaped(struct backend *backend, pid_t pid)
{
    struct relay *r = (struct relay *)backend;
    int status = 0;
    if (!r->foreign || foreign_ended(r->foreign) || foreign_pid(r->foreign) != pid)
        return;
    foreign_signal(r->foreign,
                   SIGKILL); /* what is left of its group, while its number is still taken */
    if (waitpid(pid, &status, 0) != pid)
        return;
    foreign_reaped(r->foreign, status);
    timer_start(r->drain_timer, DRAIN_MS);
}

const struct backend_class relay_backend = {
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
