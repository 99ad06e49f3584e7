/* One command from the asking of the keeper to the last record of its log.
 *
 * Invariant: RECORD_ENDED is written when nothing of the command lives any more: its first process
 * has ended, and the keeper has killed whatever else descends from it. */
#include "sandbox/command.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/json.h"
#include "sandbox/environment.h"

#define OPEN_NUMBER  1
#define CAUSE_NUMBER 1000        /* the others count up from OPEN_NUMBER, and are few */
#define KILL_WAIT_MS (30 * 1000) /* for the keeper to say that all is gone */

#define EXIT_NOT_FOUND      127 /* as shells have it */
#define EXIT_NOT_EXECUTABLE 126

/* --- the log */

void command_add(struct command *c, enum record_kind kind, struct bytes data)
{
    struct err e;
    c->news = true;
    if (command_log_add(&c->log, kind, data, &e))
        return;
    if (kind == RECORD_ENDED)
        loop_stop(c->loop, 1); /* a gateway finds it without an end, and unlocked: lost */
    else
        command_kill(c, END_KILLED, e.text);
}

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

/* Nothing follows it. body: taken. */
static void write_end(struct command *c, json_t *body)
{
    if (c->done) {
        json_decref(body);
        return;
    }
    c->done = true;
    scoped(string) char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    command_add(c, RECORD_ENDED, bytes_of(text));
    loop_stop(c->loop, 0);
}

static void end_as(struct command *c, const char *status, int exit_code, int number)
{
    const char *name = number > 0 ? sigabbrev_np(number) : NULL;
    char signal_name[24];
    snprintf(signal_name, sizeof signal_name, name ? "SIG%s" : "%.0s%d", name ? name : "", number);
    write_end(c, json_pack("{s:s, s:o, s:o, s:o}", "status", status, "exit_code",
                           exit_code >= 0 ? json_integer(exit_code) : json_null(), "signal",
                           text_or_null(number > 0 ? signal_name : NULL), "reason",
                           text_or_null(c->reason)));
}

/* The program itself could not be had. */
static void end_unexecuted(struct command *c, int exit_code, const char *what, int cause)
{
    struct err e;
    fail(&e, 400, "%.200s: %s", what, strerror(cause)); /* what may have been cut in a character */
    free(c->reason);
    c->reason = xstrdup(e.text);
    end_as(c, "exited", exit_code, 0);
}

static void refuse(struct command *c, const struct err *e)
{
    write_end(c, json_pack("{s:i, s:s}", "refused", e->status, "reason", e->text));
}

/* --- the end */

static void finish(struct command *c)
{
    static const char *const names[] = {
        [END_KILLED] = "killed", [END_TIMEOUT] = "timeout", [END_OUTPUT] = "output_limit",
        [END_OOM] = "oom",       [END_LOST] = "lost",
    };
    int status = c->wait_status;
    pipes_drain(c);
    if (c->end == END_OWN && WIFEXITED(status))
        end_as(c, "exited", WEXITSTATUS(status), 0);
    else if (c->end == END_OWN)
        end_as(c, "killed", -1, WTERMSIG(status));
    else
        end_as(c, names[c->end], -1, c->end == END_LOST ? 0 : SIGKILL);
}

/* Killed, and nobody has said why: if its sandbox is there no more, that is why. */
static void ask_cause(struct command *c)
{
    struct err e;
    json_t *body = json_pack("{s:s}", "sandbox", c->plan.sandbox);
    wire_send(c->keeper_fd, WIRE_CAUSE, CAUSE_NUMBER, body, NULL, 0, &e);
}

/* What left its process group still lives. */
static void sweep(struct command *c)
{
    struct err e;
    if (c->kill_number || c->keeper_fd < 0)
        return;
    c->kill_number = c->start_number + 1;
    if (!wire_send(c->keeper_fd, WIRE_KILL, c->kill_number, NULL, NULL, 0, &e))
        c->kill_number = 0; /* its end is read next */
    timer_start(c->overdue, KILL_WAIT_MS);
}

static void note_reason(struct command *c, enum command_end why, const char *reason)
{
    if (c->end != END_OWN)
        return;
    c->end = why;
    free(c->reason);
    c->reason = reason ? xstrdup(reason) : NULL;
}

void command_kill(struct command *c, enum command_end why, const char *reason)
{
    struct err e;
    if (c->phase == COMMAND_ENDED)
        return; /* it ended by itself, and is being cleared away */
    note_reason(c, why, reason);
    if (c->phase == COMMAND_RUNS) {
        sweep(c);
    } else {
        fail(&e, 409, "the command was ended before it began: %s", reason);
        refuse(c, &e);
    }
}

bool command_signal(struct command *c, int number, struct err *e)
{
    struct pollfd ended = {.fd = c->pidfd, .events = POLLIN};
    if (c->phase != COMMAND_RUNS || c->pid <= 0 || poll(&ended, 1, 0) != 0)
        return fail(e, 409, "the command does not run");
    /* its number stays taken until the keeper has reaped it; right at its start it has no group */
    if (kill(-c->pid, number) == 0 || kill(c->pid, number) == 0)
        return true;
    return fail_errno(e, errno == ESRCH ? 409 : 503, "the command cannot be sent a signal");
}

static void on_deadline(void *data)
{
    struct command *c = data;
    char reason[80];
    snprintf(reason, sizeof reason, "its deadline of %lld ms was over",
             (long long)c->plan.deadline_ms);
    command_kill(c, END_TIMEOUT, reason);
}

static void on_overdue(void *data)
{
    struct command *c = data;
    struct err e;
    fail(&e, 503, "the keeper gives no answer");
    if (c->phase < COMMAND_RUNS) {
        refuse(c, &e);
        return;
    }
    note_reason(c, END_LOST, e.text);
    finish(c);
}

/* --- what the keeper says */

static void lose_keeper(struct command *c, const char *why);

/* "Pid:\t123" of its fdinfo, as we count; -1: it has ended. */
static pid_t pid_of(int pidfd)
{
    char path[40], line[80];
    int pid = -1;
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    FILE *file = fopen(path, "re");
    while (file && pid < 0 && fgets(line, sizeof line, file))
        if (sscanf(line, "Pid: %d", &pid) != 1)
            pid = -1;
    if (file)
        fclose(file);
    return pid > 0 ? pid : -1;
}

static void send_start(struct command *c)
{
    struct err e = {0};
    int words = environment_seal(c->plan.argv, &e);
    int env = words >= 0 ? environment_seal(c->plan.env, &e) : -1;
    const int fds[START_FDS] = {[START_LINK] = c->theirs[0],
                                [START_STDOUT] = c->theirs[1],
                                [START_STDERR] = c->theirs[2],
                                [START_PIPES] = words,
                                [START_ENV] = env};
    c->start_number = OPEN_NUMBER + 1;
    json_t *body =
        json_pack("{s:s, s:b, s:s}", "sandbox", c->plan.sandbox, "command", 1, "cwd", c->plan.cwd);
    bool good = env >= 0;
    if (good)
        good = wire_send(c->keeper_fd, WIRE_START, c->start_number, body, fds, START_FDS, &e);
    else
        json_decref(body);
    if (words >= 0)
        close(words);
    if (env >= 0)
        close(env);
    pipes_given(c);
    c->phase = COMMAND_STARTING;
    if (!good)
        refuse(c, &e);
}

static void take_ok(struct command *c, struct wire_message *m)
{
    struct err e;
    int64_t uid = 0;
    if (m->number == OPEN_NUMBER && c->phase == COMMAND_OPENING) {
        field_int(m->body, "uid", OPTIONAL, 0, UINT32_MAX - 1, &uid, NULL);
        if (pipes_make(c, (uid_t)uid, &e))
            send_start(c);
        else
            refuse(c, &e);
    } else if (c->kill_number && m->number == c->kill_number) {
        c->kill_number = 0;
        if (c->phase == COMMAND_ENDED)
            finish(c);
    }
}

static void take_started(struct command *c, struct wire_message *m)
{
    if (c->phase != COMMAND_STARTING || m->fd_count != 1)
        return;
    c->pidfd = m->fds[0];
    m->fds[0] = -1;
    c->pid = pid_of(c->pidfd);
    c->phase = COMMAND_RUNS;
    timer_stop(c->overdue);
    if (c->plan.deadline_ms > 0)
        timer_start(c->deadline, c->plan.deadline_ms);
    command_add(c, RECORD_STARTED, (struct bytes){0});
    pipes_begin(c);
}

static void take_failed(struct command *c, struct wire_message *m)
{
    struct err e;
    int64_t status = 503, cause = 0;
    const char *text = "no reason was given", *step = "";
    field_int(m->body, "status", OPTIONAL, 400, 599, &status, NULL);
    field_int(m->body, "errno", OPTIONAL, 0, INT32_MAX, &cause, NULL);
    field_str(m->body, "message", OPTIONAL, &text, NULL);
    field_str(m->body, "step", OPTIONAL, &step, NULL);
    if (m->number == CAUSE_NUMBER && status == 404)
        note_reason(c, END_KILLED, "its sandbox was ended");
    if (c->kill_number && m->number == c->kill_number) {
        take_ok(c, m); /* there is nothing to kill any more */
        return;
    }
    if (c->phase > COMMAND_STARTING)
        return;
    if (strcmp(step, "exec") == 0) {
        bool missing = cause == ENOENT || cause == ENOTDIR;
        end_unexecuted(c, missing ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE, c->plan.argv[0],
                       (int)cause);
    } else if (strcmp(step, "its working directory") == 0) {
        end_unexecuted(c, EXIT_NOT_EXECUTABLE, c->plan.cwd, (int)cause);
    } else {
        fail(&e, (int)status, "%s", text);
        refuse(c, &e);
    }
}

static void take_ended(struct command *c, struct wire_message *m)
{
    int64_t status = 0;
    bool oom = false;
    const char *breach = NULL;
    if (c->phase != COMMAND_RUNS || m->number != c->start_number)
        return;
    field_int(m->body, "wait_status", OPTIONAL, 0, INT32_MAX, &status, NULL);
    field_bool(m->body, "oom", OPTIONAL, &oom, NULL);
    field_str(m->body, "breach", OPTIONAL, &breach, NULL);
    c->wait_status = (int)status;
    if (oom)
        note_reason(c, END_OOM, "the sandbox ran out of memory");
    else if (breach)
        note_reason(c, END_KILLED, breach);
    else if (c->end == END_OWN && WIFSIGNALED((int)status) && WTERMSIG((int)status) == SIGKILL)
        ask_cause(c); /* it is answered before what follows */
    c->phase = COMMAND_ENDED;
    sweep(c);
}

static void take_message(struct command *c, struct wire_message *m)
{
    switch (m->kind) {
    case WIRE_OK:
        take_ok(c, m);
        break;
    case WIRE_FAILED:
        take_failed(c, m);
        break;
    case WIRE_STARTED:
        take_started(c, m);
        break;
    case WIRE_ENDED:
        take_ended(c, m);
        break;
    default: /* of a later version */
        break;
    }
}

static void on_keeper(void *data, uint32_t events)
{
    struct command *c = data;
    (void)events;
    for (bool more = true; more && c->keeper_fd >= 0;) {
        struct wire_message m;
        struct err e = {0};
        int got = wire_receive(c->keeper_fd, &m, &e);
        if (got > 0)
            take_message(c, &m);
        else if (got < 0)
            lose_keeper(c, e.status ? e.text : "it ended");
        more = got > 0;
        wire_message_free(&m);
    }
}

/* What it had started ends with it. */
static void on_gone(void *data, uint32_t events)
{
    struct command *c = data;
    (void)events;
    watch_close(take(&c->pidfd_watch));
    finish(c);
}

static void lose_keeper(struct command *c, const char *why)
{
    struct err e;
    scoped(string) char *reason = xasprintf("the keeper of its sandbox was lost: %s", why);
    watch_close(take(&c->keeper_watch));
    close(c->keeper_fd);
    c->keeper_fd = -1;
    if (c->phase < COMMAND_RUNS) {
        fail(&e, 503, "%s", reason);
        refuse(c, &e);
    } else if (c->phase == COMMAND_ENDED) {
        finish(c); /* how it ended is known */
    } else {
        note_reason(c, END_LOST, reason);
        c->pidfd_watch = loop_watch(c->loop, c->pidfd, EPOLLIN, on_gone, c);
    }
}

static bool ask_keeper(struct command *c, struct err *e)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(c->plan.keeper) >= sizeof address.sun_path)
        return fail(e, 503, "the keeper's path is too long");
    strcpy(address.sun_path, c->plan.keeper);
    c->keeper_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->keeper_fd < 0 ||
        connect(c->keeper_fd, (const struct sockaddr *)&address, sizeof address) != 0)
        return fail_errno(e, 503, "the keeper of the sandbox cannot be reached");
    json_object_set_new(c->plan.open, "sandbox", json_string(c->plan.sandbox));
    json_object_set_new(c->plan.open, "join", json_boolean(!c->plan.alone));
    if (!wire_send(c->keeper_fd, WIRE_OPEN, OPEN_NUMBER, json_incref(c->plan.open), NULL, 0, e))
        return false;
    c->keeper_watch = loop_watch(c->loop, c->keeper_fd, EPOLLIN, on_keeper, c);
    timer_start(c->overdue, KILL_WAIT_MS);
    return true;
}

/* --- the life */

static void on_signal(void *data, int number)
{
    if (number == SIGTERM)
        command_kill(data, END_KILLED, "its supervisor was told to end");
}

static void release(struct command *c)
{
    gate_close(c);
    pipes_close(c);
    watch_close(c->keeper_watch);
    watch_close(c->pidfd_watch);
    timer_close(c->deadline);
    timer_close(c->overdue);
    if (c->keeper_fd >= 0)
        close(c->keeper_fd);
    if (c->pidfd >= 0)
        close(c->pidfd);
    free(c->reason);
}

int command_run(struct command_plan *plan, struct command_log *log, const char *socket, int gate_fd,
                int stdin_fd)
{
    struct err e;
    struct command c = {.plan = *plan,
                        .log = *log,
                        .keeper_fd = -1,
                        .pidfd = -1,
                        .out = {-1, -1},
                        .in = -1,
                        .theirs = {-1, -1, -1},
                        .socket = socket,
                        .listen_fd = -1,
                        .gate_fd = gate_fd};
    scoped(loop) struct loop *loop = c.loop = loop_new();
    loop_signals(loop, on_signal, &c);
    c.deadline = loop_timer(loop, on_deadline, &c);
    c.overdue = loop_timer(loop, on_overdue, &c);
    int status = 0;
    if (!gate_open(&c, &e) || !pipes_feed(&c, stdin_fd, !plan->stdin_open, &e) ||
        !ask_keeper(&c, &e))
        refuse(&c, &e);
    status = loop_run(loop);
    release(&c);
    *log = c.log;
    return status;
}
