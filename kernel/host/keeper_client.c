/* Speaks to the keeper. Whatever becomes of that, a birth is answered within some seconds: where
 * the keeper is silent or gone, it is given up here, and the connection with it, so that what the
 * keeper still starts for it dies with the connection. A process whose keeper has died is told of
 * by its pidfd. */
#include "kernel/host/keeper_client.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "kernel/host/last_status.h"
#include "kernel/host/report.h"
#include "kernel/host/sandbox_plan.h"
#include "protocol/json.h"
#include "sandbox/environment.h"
#include "sandbox/wire.h"

#define ANSWER_MS 3000
#define CONFINED_ANSWER_MS                                                                         \
    20000                  /* a fork server may still be warming up; nothing else is to be had */
#define ENDED_WAIT_MS 1000 /* from the end of the process to the keeper's word */

extern char **environ;

enum birth_phase { BIRTH_NONE, BIRTH_ASKED, BIRTH_RUNS, BIRTH_EXPLAINED };

struct keeper_client {
    struct loop *loop;
    struct keeper_plan plan;
    struct sandbox_plan sandbox; /* all NULL: unconfined */
    char *renamed; /* owned: plan.sandbox, when it is no longer the one of the start */
    int fd;        /* -1: not connected */
    struct watch *watch;
    uint32_t last_number;
    struct err refused; /* why OPEN failed; status 0: it did not */
    uint32_t open_number;

    enum birth_phase phase;
    uint32_t number; /* of its START */
    struct birth_events events;
    int pidfd;
    struct watch *pidfd_watch;
    struct timer *overdue;
    uint32_t kill_number; /* of a KILL that is not answered yet; 0: none */
    bool ended;           /* its end is known, but not told yet */
    struct interpreter_end end;
};

static const struct interpreter_end no_end = {.limit_bytes = -1, .peak_bytes = -1};

/* --- the connection */

static void disconnect(struct keeper_client *c)
{
    watch_close(take(&c->watch));
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->kill_number = 0;
}

static void birth_over(struct keeper_client *c)
{
    c->phase = BIRTH_NONE;
    c->ended = false;
    timer_stop(c->overdue);
    watch_close(take(&c->pidfd_watch));
    if (c->pidfd >= 0)
        close(c->pidfd);
    c->pidfd = -1;
}

static void tell_failed(struct keeper_client *c, const struct err *e)
{
    struct birth_events events = c->events;
    struct err why = *e;
    birth_over(c);
    events.on_failed(events.data, &why);
}

static void tell_end_when_all_is_gone(struct keeper_client *c)
{
    if (!c->ended || c->kill_number)
        return;
    struct birth_events events = c->events;
    struct interpreter_end end = c->end;
    birth_over(c);
    events.on_ended(events.data, &end);
}

static void note_end(struct keeper_client *c, const struct interpreter_end *end)
{
    c->end = *end;
    c->ended = true;
    tell_end_when_all_is_gone(c);
}

/* The keeper's word is lost; the kernel may still know. */
static void note_end_without_keeper(struct keeper_client *c)
{
    struct interpreter_end end = no_end;
    if (c->sandbox.body) { /* its keeper was the first of its PID namespace */
        end.wait_status = SIGKILL;
        end.keeper_lost = true;
    } else if (!last_status_of(c->pidfd, &end.wait_status))
        end = (struct interpreter_end){
            .unknown = true, .wait_status = -1, .limit_bytes = -1, .peak_bytes = -1};
    note_end(c, &end);
}

/* Of an end that no keeper will tell. */
static void wait_for_status(struct keeper_client *c)
{
    if (c->sandbox.body)
        note_end_without_keeper(c);
    else
        timer_start(c->overdue, LAST_STATUS_WAIT_MS);
}

static void explained(struct keeper_client *c, bool keeper_lost)
{
    struct birth_events events = c->events;
    struct interpreter_end end = c->end;
    end.keeper_lost = keeper_lost;
    birth_over(c);
    events.on_ended(events.data, &end);
}

static void lose(struct keeper_client *c, const char *why)
{
    struct err e;
    disconnect(c);
    report("the keeper is lost: %s", why);
    fail(&e, 503, "the keeper is lost: %s", why);
    if (c->phase == BIRTH_ASKED)
        tell_failed(c, &e);
    else if (c->phase == BIRTH_EXPLAINED)
        explained(c, true);
    else if (c->phase == BIRTH_RUNS && c->ended)
        tell_end_when_all_is_gone(c);
    else if (c->phase == BIRTH_RUNS && !c->pidfd_watch)
        wait_for_status(c);
}

/* --- what it says */

static void take_started(struct keeper_client *c, struct wire_message *m);

static void take_cause(json_t *body, struct interpreter_end *end)
{
    const char *breach = "";
    field_bool(body, "oom", OPTIONAL, &end->oom, NULL);
    if (end->oom) {
        field_int(body, "limit_bytes", OPTIONAL, 0, INT64_MAX, &end->limit_bytes, NULL);
        field_int(body, "peak_bytes", OPTIONAL, 0, INT64_MAX, &end->peak_bytes, NULL);
    }
    field_str(body, "breach", OPTIONAL, &breach, NULL);
    snprintf(end->breach, sizeof end->breach, "%s", breach);
}

static void take_use(json_t *body, struct process_use *use)
{
    int64_t *const out[] = {&use->cpu_us, &use->children_cpu_us, &use->memory_peak_bytes};
    static const char *const names[] = {"cpu_us", "children_cpu_us", "memory_peak_bytes"};
    use->known = true;
    for (size_t n = 0; n < countof(out); n++)
        if (!field_int(body, names[n], REQUIRED, 0, INT64_MAX, out[n], NULL))
            use->known = false; /* a keeper that was there before this host's version */
}

static void take_ended(struct keeper_client *c, struct wire_message *m)
{
    struct interpreter_end end = no_end;
    int64_t status = 0;
    if (c->phase != BIRTH_RUNS || m->number != c->number)
        return;
    field_int(m->body, "wait_status", OPTIONAL, 0, INT32_MAX, &status, NULL);
    end.wait_status = (int)status;
    take_use(m->body, &end.use);
    take_cause(m->body, &end);
    note_end(c, &end);
}

static void take_failed(struct keeper_client *c, struct wire_message *m)
{
    struct err e;
    int64_t status = 503;
    const char *text = "no reason was given";
    field_int(m->body, "status", OPTIONAL, 400, 599, &status, NULL);
    field_str(m->body, "message", OPTIONAL, &text, NULL);
    fail(&e, (int)status, "%s", text);
    if (m->number == c->open_number) {
        c->refused = e;
    } else if (m->number == c->kill_number) {
        c->kill_number = 0;
        tell_end_when_all_is_gone(c);
    } else if (c->phase == BIRTH_EXPLAINED && m->number == c->number) {
        explained(c, false);
    } else if (c->phase == BIRTH_ASKED && m->number == c->number) {
        bool refused = c->refused.status != 0;
        disconnect(c);
        tell_failed(c, refused ? &c->refused : &e);
    }
}

static void take_message(struct keeper_client *c, struct wire_message *m)
{
    switch (m->kind) {
    case WIRE_STARTED:
        take_started(c, m);
        break;
    case WIRE_ENDED:
        take_ended(c, m);
        break;
    case WIRE_FAILED:
        take_failed(c, m);
        break;
    case WIRE_OK:
        if (c->kill_number && m->number == c->kill_number) {
            c->kill_number = 0;
            tell_end_when_all_is_gone(c);
        } else if (c->phase == BIRTH_EXPLAINED && m->number == c->number) {
            take_cause(m->body, &c->end);
            explained(c, false);
        }
        break;
    default: /* of a later version */
        break;
    }
}

static void on_keeper(void *data, uint32_t events)
{
    struct keeper_client *c = data;
    (void)events;
    while (c->fd >= 0) {
        struct wire_message m;
        struct err e;
        int got = wire_receive(c->fd, &m, &e);
        if (got > 0)
            take_message(c, &m);
        wire_message_free(&m);
        if (got == 0)
            return;
        if (got < 0)
            lose(c, e.text);
    }
}

static void on_pidfd(void *data, uint32_t events)
{
    struct keeper_client *c = data;
    (void)events;
    watch_close(take(&c->pidfd_watch));
    if (c->fd >= 0)
        timer_start(c->overdue, ENDED_WAIT_MS);
    else
        wait_for_status(c); /* may be the end of c's owner */
}

/* "Pid:\t123" of its fdinfo, as we count; -1: it has ended, or cannot be seen. */
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

static void take_started(struct keeper_client *c, struct wire_message *m)
{
    const char *because = NULL;
    if (c->phase != BIRTH_ASKED || m->number != c->number)
        return;
    if (m->fd_count != 1) {
        lose(c, "it started a process and sent no descriptor of it");
        return;
    }
    c->pidfd = m->fds[0];
    m->fds[0] = -1;
    if (field_str(m->body, "cold_because", OPTIONAL, &because, NULL) && because)
        report("a cold start: %s", because);
    timer_stop(c->overdue);
    c->phase = BIRTH_RUNS;
    c->pidfd_watch = loop_watch(c->loop, c->pidfd, EPOLLIN, on_pidfd, c);
    c->events.on_started(c->events.data, pid_of(c->pidfd), c->pidfd);
}

static void on_overdue(void *data)
{
    struct keeper_client *c = data;
    if (c->phase == BIRTH_ASKED)
        lose(c, "it does not answer");
    else if (c->phase == BIRTH_RUNS)
        note_end_without_keeper(c);
    else if (c->phase == BIRTH_EXPLAINED)
        explained(c, false);
}

/* --- what it is asked */

/* Nobody else's program gets the environment. errno is set. */
static bool is_ours(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return false;
    errno = EPERM;
    return peer.uid == geteuid() || peer.uid == 0;
}

static bool connect_to(struct keeper_client *c, struct err *e)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = c->plan.socket;
    if (strlen(path) >= sizeof address.sun_path)
        return fail(e, 400, "--keeper: longer than %zu bytes", sizeof address.sun_path - 1);
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        !is_ours(fd)) {
        fail_errno(e, 503, "no keeper of ours listens on %s", path);
        if (fd >= 0)
            close(fd);
        return false;
    }
    c->fd = fd;
    c->watch = loop_watch(c->loop, fd, EPOLLIN, on_keeper, c);
    c->refused = (struct err){0};
    if (!c->sandbox.body)
        return true;
    c->open_number = ++c->last_number;
    if (wire_send(fd, WIRE_OPEN, c->open_number, json_incref(c->sandbox.body), NULL, 0, e))
        return true;
    disconnect(c);
    return false;
}

static mode_t own_umask(void)
{
    mode_t mask = umask(077); /* there is no other way to read it */
    umask(mask);
    return mask;
}

static json_t *start_body(struct keeper_client *c, char *const *argv)
{
    json_t *words = json_array();
    for (char *const *word = argv; *word; word++)
        json_array_append_new(words, json_string(*word));
    char *here = c->sandbox.cwd ? NULL : getcwd(NULL, 0);
    json_t *body = json_pack("{s:b, s:o, s:s?, s:s?}", "warm", !c->plan.cold, "argv", words, "cwd",
                             c->sandbox.cwd ? c->sandbox.cwd : here, "sandbox", c->plan.sandbox);
    if (!c->plan.sandbox) /* the user's own files are made as the user's shell makes them */
        json_object_set_new(body, "umask", json_integer(own_umask()));
    free(here);
    return body;
}

bool keeper_client_start(struct keeper_client *c, char *const *argv, const int theirs[ENDS],
                         const struct birth_events *events, struct err *e)
{
    if (c->fd < 0 && !connect_to(c, e))
        return false;
    int env = environment_seal(c->sandbox.env ? c->sandbox.env : environ, e);
    if (env < 0)
        return false;
    int fds[START_FDS] = {[START_LINK] = theirs[END_LINK],
                          [START_STDOUT] = theirs[END_STDOUT],
                          [START_STDERR] = theirs[END_STDERR],
                          [START_PIPES] = theirs[END_PAGE],
                          [START_ENV] = env};
    c->number = ++c->last_number;
    bool sent = wire_send(c->fd, WIRE_START, c->number, start_body(c, argv), fds, START_FDS, e);
    close(env);
    if (!sent) {
        disconnect(c);
        return false;
    }
    c->phase = BIRTH_ASKED;
    c->events = *events;
    timer_start(c->overdue, c->sandbox.body ? CONFINED_ANSWER_MS : ANSWER_MS);
    return true;
}

void keeper_client_forget(struct keeper_client *c)
{
    if (c->phase == BIRTH_NONE)
        return;
    birth_over(c);
    disconnect(c);
}

void keeper_client_leave(struct keeper_client *c)
{
    if (c->phase == BIRTH_NONE)
        disconnect(c);
}

void keeper_client_explain(struct keeper_client *c, const struct interpreter_end *end,
                           const struct birth_events *events)
{
    struct err e;
    bool killed = end->unknown || end->wait_status == SIGKILL;
    c->events = *events;
    c->end = *end;
    c->number = ++c->last_number;
    if (!killed || !c->sandbox.body) {
        explained(c, false);
        return;
    }
    if (c->fd < 0 || !wire_send(c->fd, WIRE_CAUSE, c->number,
                                json_pack("{s:s}", "sandbox", c->plan.sandbox), NULL, 0, &e)) {
        explained(c, true);
        return;
    }
    c->phase = BIRTH_EXPLAINED;
    timer_start(c->overdue, ENDED_WAIT_MS);
}

void keeper_client_kill_tree(struct keeper_client *c)
{
    struct err e;
    if (c->fd < 0 || c->kill_number)
        return;
    uint32_t number = ++c->last_number;
    if (wire_send(c->fd, WIRE_KILL, number, NULL, NULL, 0, &e))
        c->kill_number = number;
}

bool keeper_client_hold(struct keeper_client *c, struct err *e)
{
    return c->fd >= 0 || connect_to(c, e);
}

void keeper_client_rename(struct keeper_client *c, const char *sandbox)
{
    if (!c->sandbox.body)
        return;
    free(c->renamed);
    c->plan.sandbox = c->renamed = xstrdup(sandbox);
    json_object_set_new(c->sandbox.body, "sandbox", json_string(sandbox));
}

void keeper_client_set_cold(struct keeper_client *c)
{
    c->plan.cold = true;
}

json_t *keeper_client_limits(const struct keeper_client *c)
{
    return json_object_get(c->sandbox.body, "limits");
}

bool keeper_client_confines(const struct keeper_client *c)
{
    return c->sandbox.body != NULL;
}

struct keeper_client *keeper_client_new(struct loop *loop, const struct keeper_plan *plan,
                                        struct err *e)
{
    struct keeper_client *c = xcalloc(1, sizeof *c);
    *c = (struct keeper_client){.loop = loop, .plan = *plan, .fd = -1, .pidfd = -1};
    c->overdue = loop_timer(loop, on_overdue, c);
    if (!plan->sandbox || sandbox_plan_read(plan->sandbox, plan->file, &c->sandbox, e))
        return c;
    keeper_client_free(c);
    return NULL;
}

void keeper_client_free(struct keeper_client *c)
{
    if (!c)
        return;
    birth_over(c);
    disconnect(c);
    timer_close(c->overdue);
    sandbox_plan_free(&c->sandbox);
    free(c->renamed);
    free(c);
}
