/* The gateway's end of one keeper. Used by core: core.c for owner kernels, sandbox.c for the
 * others.
 *
 * Invariant: each request is in the list until its done was called, exactly once; what was sent to
 * a keeper that is lost fails, what was not is sent to the next. */
#include "gateway/launch/keeper.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/launch/process.h"
#include "gateway/log.h"
#include "protocol/ids.h"

#define RETRY_FIRST_MS  100
#define RETRY_LAST_MS   (60 * 1000)
#define STABLE_MS       (10 * 1000) /* up for so long: it did not fail at once */
#define ANSWER_LIMIT_MS (30 * 1000)
#define TICK_MS         1000
#define TURN_MESSAGES   64
#define START_LIMIT_MS  2000 /* at our own end */

extern char **environ;

struct ask {
    uint32_t number; /* 0: not sent */
    enum wire_kind kind;
    json_t *body;
    int64_t deadline_ms;
    void (*done)(void *user, json_t *answer, const struct err *e);
    void *user;
    struct ask *next;
};

enum phase { DOWN, STARTING, UP };

struct keeper {
    struct keeper_plan plan;
    struct keeper_events events;
    void *user;
    uv_loop_t *loop;
    char *name, *socket, *log;
    enum phase phase;
    uv_timer_t retry, tick;
    uv_poll_t *poll; /* of the connection, or of the starting program */
    int fd;
    int64_t retry_ms, up_since_ms, starts;
    int64_t log_from;
    struct err trouble; /* status 0: none; why it is down */
    struct ask *asks;
    struct wire_message *answer; /* borrowed: whose done is running; NULL */
    uint32_t last_number;
    bool closing;
    int open_handles;
    void (*closed)(void *user);
    void *closed_user;
};

static void look_for(struct keeper *k);

const char *keeper_name(const struct keeper *k)
{
    return k->name;
}

const char *keeper_socket(const struct keeper *k)
{
    return k->socket;
}

bool keeper_up(const struct keeper *k)
{
    return k->phase == UP;
}

int64_t keeper_starts(const struct keeper *k)
{
    return k->starts;
}

static void finish(struct ask *ask, json_t *answer, const struct err *e)
{
    ask->done(ask->user, answer, e);
    json_decref(ask->body);
    free(ask);
}

/* Fails those that were sent, or all. Each done may ask again: they are taken out first. */
static void fail_asks(struct keeper *k, bool all, const struct err *e)
{
    struct ask *failed = NULL, **end = &failed, **place = &k->asks;
    while (*place) {
        struct ask *ask = *place;
        if (!all && !ask->number) {
            place = &ask->next;
            continue;
        }
        *place = ask->next;
        ask->next = NULL;
        *end = ask;
        end = &ask->next;
    }
    while (failed) {
        struct ask *next = failed->next;
        finish(failed, NULL, e);
        failed = next;
    }
}

static void on_handle_closed(struct keeper *k)
{
    if (--k->open_handles > 0)
        return;
    if (k->closed)
        k->closed(k->closed_user);
    free(k->name);
    free(k->socket);
    free(k->log);
    free(k);
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_handle_closed(handle->data);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct keeper *k = handle->data;
    free(handle);
    on_handle_closed(k);
}

static void drop_poll(struct keeper *k)
{
    if (!k->poll)
        return;
    uv_poll_stop(k->poll);
    uv_close((uv_handle_t *)k->poll, on_poll_closed);
    k->poll = NULL;
    close(k->fd);
    k->fd = -1;
}

static bool watch(struct keeper *k, int fd, int events, uv_poll_cb on_ready)
{
    uv_poll_t *poll = xmalloc(sizeof(*poll));
    if (uv_poll_init(k->loop, poll, fd) != 0) {
        free(poll);
        close(fd);
        return false;
    }
    poll->data = k;
    k->poll = poll;
    k->fd = fd;
    k->open_handles++;
    uv_poll_start(poll, events, on_ready);
    return true;
}

static void on_retry(uv_timer_t *timer)
{
    look_for(timer->data);
}

static void try_later(struct keeper *k, const struct err *why)
{
    k->phase = DOWN;
    k->trouble = *why;
    log_warn("no keeper", F_STR("keeper", k->name), F_STR("why", why->text),
             F_INT("again_in_ms", k->retry_ms));
    uv_timer_start(&k->retry, on_retry, (uint64_t)k->retry_ms, 0);
    k->retry_ms = k->retry_ms * 2 < RETRY_LAST_MS ? k->retry_ms * 2 : RETRY_LAST_MS;
    fail_asks(k, true, why);
}

static void lose(struct keeper *k, const char *why)
{
    struct err e;
    fail(&e, 503, "the keeper ended: %s", why);
    log_warn("a keeper was lost", F_STR("keeper", k->name), F_STR("why", why));
    drop_poll(k);
    k->phase = DOWN;
    if (monotonic_ms() - k->up_since_ms > STABLE_MS)
        k->retry_ms = RETRY_FIRST_MS;
    uv_timer_start(&k->retry, on_retry, (uint64_t)k->retry_ms, 0);
    k->retry_ms = k->retry_ms * 2 < RETRY_LAST_MS ? k->retry_ms * 2 : RETRY_LAST_MS;
    fail_asks(k, false, &e);
}

static void take_answer(struct keeper *k, struct wire_message *m)
{
    struct ask **place = &k->asks;
    while (*place && ((*place)->number != m->number || !m->number))
        place = &(*place)->next;
    struct ask *ask = *place;
    if (!ask || (m->kind != WIRE_OK && m->kind != WIRE_FAILED))
        return; /* too late, or of a newer keeper */
    *place = ask->next;
    struct err e;
    json_int_t status = json_integer_value(json_object_get(m->body, "status"));
    const char *message = json_string_value(json_object_get(m->body, "message"));
    fail(&e, status >= 400 && status < 600 ? (int)status : 503, "%s",
         message ? message : "the keeper refused");
    k->answer = m;
    finish(ask, m->kind == WIRE_OK ? m->body : NULL, m->kind == WIRE_OK ? NULL : &e);
    k->answer = NULL;
}

int keeper_take_fd(struct keeper *k)
{
    for (size_t i = 0; k->answer && i < k->answer->fd_count; i++) {
        int fd = k->answer->fds[i];
        k->answer->fds[i] = -1;
        if (fd >= 0)
            return fd;
    }
    return -1;
}

static void on_ready(uv_poll_t *poll, int status, int events);

/* Sends what was not sent yet, as far as the socket takes it. */
static void send_asks(struct keeper *k)
{
    bool blocked = false;
    for (struct ask *ask = k->asks; ask && !blocked; ask = ask->next) {
        struct err e;
        if (ask->number)
            continue;
        uint32_t number = ++k->last_number ? k->last_number : ++k->last_number;
        if (wire_send(k->fd, ask->kind, number, json_incref(ask->body), NULL, 0, &e))
            ask->number = number;
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            blocked = true;
        else
            return; /* its end is read next, or its deadline comes */
    }
    uv_poll_start(k->poll, UV_READABLE | (blocked ? UV_WRITABLE : 0), on_ready);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct keeper *k = poll->data;
    (void)status;
    if (events & UV_WRITABLE)
        send_asks(k);
    for (int i = 0; i < TURN_MESSAGES && k->poll == poll; i++) {
        struct wire_message m = {0};
        struct err e = {0};
        int got = wire_receive(k->fd, &m, &e);
        if (got == 0)
            return;
        if (got < 0 && e.status == 0) {
            lose(k, "end of file");
            return;
        }
        if (got > 0)
            take_answer(k, &m);
        wire_message_free(&m);
    }
}

/* A connection that does not block, or -1. */
static int connect_to(const struct keeper *k)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(k->socket) >= sizeof(address.sun_path))
        return -1;
    memcpy(address.sun_path, k->socket, strlen(k->socket) + 1);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* True: connected, and whatever waits is sent. */
static bool try_connect(struct keeper *k)
{
    int fd = connect_to(k);
    if (fd < 0 || !watch(k, fd, UV_READABLE, on_ready))
        return false;
    k->phase = UP;
    k->trouble.status = 0;
    k->up_since_ms = monotonic_ms();
    log_info("keeper found", F_STR("keeper", k->name));
    k->events.on_up(k->user);
    if (k->phase == UP)
        send_asks(k);
    return true;
}

/* The program returns when its keeper listens, or could not. */
static void on_started(uv_poll_t *poll, int status, int events)
{
    struct keeper *k = poll->data;
    (void)status;
    (void)events;
    int exit_status = -1, signal_number = 0;
    process_status(k->fd, &exit_status, &signal_number);
    drop_poll(k);
    if (exit_status == 0 && try_connect(k))
        return;
    scoped(string) char *line = spawn_last_line(k->log, k->log_from);
    const char *text = line ? line : "warmcell-keeper ended without a word";
    if (strncmp(text, "warmcell-keeper: ", 17) == 0)
        text += 17;
    struct err e;
    fail(&e, exit_status == KEEPER_EXIT_LACKS ? 501 : 503, "%s", text);
    try_later(k, &e);
}

static void start(struct keeper *k)
{
    struct err e = {0};
    __attribute__((cleanup(words_scoped))) struct words w = {0};
    pid_t pid;
    k->phase = STARTING;
    k->log_from = spawn_log_bytes(k->log);
    if (!keeper_command(&k->plan, k->socket, k->log, &w, &e)) {
        try_later(k, &e);
        return;
    }
    const struct spawn_plan plan = {.argv = w.word, .env = environ, .cwd = "/", .log = k->log};
    k->starts++;
    if (!spawn_session(&plan, &pid, &e)) {
        try_later(k, &e);
        return;
    }
    log_info("keeper starts", F_STR("keeper", k->name), F_INT("pid", pid));
    int pidfd = process_watch(pid, 0);
    if (pidfd >= 0 && watch(k, pidfd, UV_READABLE, on_started))
        return;
    fail(&e, 503, "the started keeper cannot be watched");
    try_later(k, &e);
}

static void look_for(struct keeper *k)
{
    if (!k->closing && !try_connect(k))
        start(k);
}

static void on_tick(uv_timer_t *timer)
{
    struct keeper *k = timer->data;
    int64_t now_ms = monotonic_ms();
    struct err e;
    fail(&e, 503, "the keeper gave no answer in time");
    for (bool again = true; again;) {
        again = false;
        for (struct ask **place = &k->asks; *place; place = &(*place)->next) {
            struct ask *ask = *place;
            if (ask->deadline_ms > now_ms)
                continue;
            *place = ask->next;
            finish(ask, NULL, &e);
            again = true; /* the list may be another one now */
            break;
        }
    }
    if (!k->asks)
        uv_timer_stop(timer);
}

void keeper_ask(struct keeper *k, enum wire_kind kind, json_t *body,
                void (*done)(void *user, json_t *answer, const struct err *e), void *user)
{
    struct ask *ask = xcalloc(1, sizeof(*ask));
    *ask = (struct ask){.kind = kind,
                        .body = body ? body : json_object(),
                        .deadline_ms = monotonic_ms() + ANSWER_LIMIT_MS,
                        .done = done,
                        .user = user};
    if (k->closing || (k->phase == DOWN && k->trouble.status)) {
        struct err e = k->trouble;
        if (!e.status)
            fail(&e, 503, "the gateway is ending");
        finish(ask, NULL, &e);
        return;
    }
    struct ask **end = &k->asks;
    while (*end)
        end = &(*end)->next;
    *end = ask;
    if (!uv_is_active((uv_handle_t *)&k->tick))
        uv_timer_start(&k->tick, on_tick, TICK_MS, TICK_MS);
    if (k->phase == UP)
        send_asks(k);
}

struct keeper *keeper_open(uv_loop_t *loop, const struct keeper_plan *plan,
                           const struct keeper_events *events, void *user)
{
    struct keeper *k = xcalloc(1, sizeof(*k));
    k->plan = *plan;
    k->events = *events;
    k->user = user;
    k->loop = loop;
    k->name = keeper_template(plan);
    k->socket = xasprintf("%s/keepers/%s.sock", plan->settings->runtime_dir, k->name);
    k->log = xasprintf("%s/keepers/%s.log", plan->settings->runtime_dir, k->name);
    k->fd = -1;
    k->retry_ms = RETRY_FIRST_MS;
    uv_timer_t *timers[] = {&k->retry, &k->tick};
    for (size_t i = 0; i < countof(timers); i++) {
        uv_timer_init(loop, timers[i]);
        timers[i]->data = k;
        k->open_handles++;
    }
    uv_timer_start(&k->retry, on_retry, 0, 0);
    return k;
}

/* One that is on its way is waited for, for it takes no time but in trouble. */
static void tell_end(struct keeper *k)
{
    struct err e;
    struct pollfd starting = {.fd = k->fd, .events = POLLIN};
    if (k->phase == STARTING)
        poll(&starting, 1, START_LIMIT_MS);
    int fd = k->phase == UP ? k->fd : connect_to(k);
    if (fd < 0)
        return;
    wire_send(fd, WIRE_END, ++k->last_number, NULL, NULL, 0, &e);
    if (fd != k->fd)
        close(fd);
}

void keeper_close(struct keeper *k, bool end, void (*closed)(void *user), void *user)
{
    struct err e;
    k->closing = true;
    k->closed = closed;
    k->closed_user = user;
    if (end)
        tell_end(k);
    fail(&e, 503, "the gateway is ending");
    drop_poll(k);
    k->phase = DOWN;
    fail_asks(k, true, &e);
    uv_close((uv_handle_t *)&k->retry, on_timer_closed);
    uv_close((uv_handle_t *)&k->tick, on_timer_closed);
}
