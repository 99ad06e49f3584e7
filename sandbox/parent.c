/* A process of the fork server. It imports libraries, so it is not trusted beyond its task: a pid
 * that it names must be a child of the keeper, a datagram that makes no sense ends it, and so does
 * silence. Invariant: each start in asked[] is answered once, or handed back when the process has
 * ended. */
#include "sandbox/parent.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/ids.h"
#include "protocol/json.h"
#include "sandbox/exec.h"
#include "sandbox/log.h"
#include "sandbox/sandbox.h"

#define WARM_UP_MS     120000
#define RETIRED_MS     1000 /* from the end of its socket to its end */
#define WORDS_BYTES    1024
#define READ_BYTES     4096
#define DATAGRAMS_TURN 16

extern char **environ;

static void close_socket(struct parent *p)
{
    watch_close(take(&p->watch));
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

void parent_kill(struct parent *p, const char *why)
{
    if (p->phase == PARENT_KILLED)
        return;
    keeper_log("fork server %d is killed: %s", (int)p->pid, why);
    snprintf(p->why, sizeof p->why, "%s", why);
    p->phase = PARENT_KILLED;
    timer_stop(p->overdue);
    close_socket(p);
    kill(p->pid, SIGKILL);
}

static void retire_when_done(struct parent *p)
{
    if (p->phase != PARENT_RETIRED || p->asked_count > 0)
        return;
    close_socket(p);
    timer_start(p->overdue, RETIRED_MS);
}

void parent_retire(struct parent *p)
{
    if (p->phase == PARENT_KILLED)
        return;
    p->phase = PARENT_RETIRED;
    retire_when_done(p);
}

/* Removes one that was asked; NULL: nothing of that number was. */
static struct start *take_asked(struct parent *p, uint32_t number)
{
    for (size_t n = 0; n < p->asked_count; n++) {
        if (p->asked[n].number != number)
            continue;
        struct start *s = p->asked[n].start;
        p->asked[n] = p->asked[--p->asked_count];
        if (p->asked_count > 0)
            timer_start(p->overdue, PARENT_SILENCE_MS);
        else
            timer_stop(p->overdue);
        return s;
    }
    return NULL;
}

/* False: it was reaped already, or never was. */
static bool is_child(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static bool take_forked(struct parent *p, struct wire_message *m, struct err *e)
{
    int64_t pid = 0;
    if (!field_int(m->body, "pid", REQUIRED, 2, INT32_MAX, &pid, e))
        return false;
    if (keeper_knows(p->keeper, (pid_t)pid))
        return fail(e, 400, "it named a process that it did not fork");
    struct start *s = take_asked(p, m->number);
    if (!s)
        return fail(e, 400, "it forked what nobody had asked for");
    p->forks++;
    if (is_child((pid_t)pid))
        p->events.on_answer(p->events.data, p, s, (pid_t)pid, NULL);
    else
        p->events.on_answer(p->events.data, p, s, 0, "the fork ended at once");
    return true;
}

static bool take_fork_failed(struct parent *p, struct wire_message *m, struct err *e)
{
    const char *why = "the fork server could not fork";
    struct start *s = take_asked(p, m->number);
    if (!field_str(m->body, "message", OPTIONAL, &why, e))
        return false;
    if (s)
        p->events.on_answer(p->events.data, p, s, 0, why);
    return true;
}

static bool take_warm(struct parent *p, struct wire_message *m, struct err *e)
{
    int64_t modules = 0, took_ms = 0;
    json_t *failed = NULL;
    if (p->phase != PARENT_WARMING)
        return fail(e, 400, "it said a second time that it is warm");
    if (!field_int(m->body, "modules", OPTIONAL, 0, INT32_MAX, &modules, e) ||
        !field_int(m->body, "took_ms", OPTIONAL, 0, INT32_MAX, &took_ms, e) ||
        !field_object(m->body, "failed", OPTIONAL, &failed, e))
        return false;
    const char *name;
    json_t *why;
    json_object_foreach(failed, name, why)
        keeper_log("fork server %d: %.80s could not be imported: %.300s", (int)p->pid, name,
                   json_is_string(why) ? json_string_value(why) : "?");
    keeper_log("fork server %d is warm: %lld modules in %lld ms", (int)p->pid, (long long)modules,
               (long long)took_ms);
    json_t *preloaded = json_object_get(m->body, "preloaded");
    json_decref(p->preloaded);
    p->preloaded = json_is_array(preloaded) ? json_incref(preloaded) : NULL;
    p->phase = PARENT_READY;
    timer_stop(p->overdue);
    p->events.on_warm(p->events.data, p);
    return true;
}

static bool take_stale(struct parent *p, struct wire_message *m, struct err *e)
{
    const char *why = "a library was changed on disk";
    if (!field_str(m->body, "message", OPTIONAL, &why, e))
        return false;
    p->events.on_stale(p->events.data, p, why);
    return true;
}

static const struct {
    uint32_t kind;
    bool (*read)(struct parent *p, struct wire_message *m, struct err *e);
} rows[] = {
    {WIRE_WARM, take_warm},
    {WIRE_FORKED, take_forked},
    {WIRE_FORK_FAILED, take_fork_failed},
    {WIRE_STALE, take_stale},
};

static bool take_message(struct parent *p, struct wire_message *m, struct err *e)
{
    for (size_t n = 0; n < countof(rows); n++)
        if (rows[n].kind == m->kind)
            return rows[n].read(p, m, e);
    return fail(e, 400, "it sent a datagram of kind %u", m->kind);
}

/* Its socket is at its end: so is it, most likely, and its status is worth waiting for. */
static void lose(struct parent *p)
{
    p->phase = PARENT_LOST;
    close_socket(p);
    timer_start(p->overdue, RETIRED_MS);
}

/* False: the socket is at its end, or the process was killed for what it sent. */
static bool read_one(struct parent *p, bool *more)
{
    struct wire_message m;
    struct err e;
    int got = wire_receive(p->fd, &m, &e);
    bool good = got >= 0 && (got == 0 || take_message(p, &m, &e));
    wire_message_free(&m);
    *more = got > 0;
    if (good)
        return true;
    if (e.status)
        parent_kill(p, e.text);
    else
        lose(p);
    return false;
}

static void on_parent(void *data, uint32_t events)
{
    struct parent *p = data;
    bool more = true;
    (void)events;
    for (int n = 0; n < DATAGRAMS_TURN && more && p->fd >= 0; n++)
        if (!read_one(p, &more))
            return;
    retire_when_done(p);
}

static void on_overdue(void *data)
{
    struct parent *p = data;
    parent_kill(p, p->phase == PARENT_WARMING ? "it was not warm in time"
                   : p->fd < 0                ? "it did not end when it was told to"
                                              : "it did not answer for two seconds");
}

/* --- its birth */

static void read_words(struct parent *p)
{
    char text[READ_BYTES];
    ssize_t got;
    while (p->words_fd >= 0 && (got = read(p->words_fd, text, sizeof text)) != 0) {
        if (got < 0)
            return;
        buffer_add(&p->words, text, (size_t)got);
        if (p->words.len > WORDS_BYTES)
            buffer_drop(&p->words, p->words.len - WORDS_BYTES);
    }
    watch_close(take(&p->words_watch));
    if (p->words_fd >= 0)
        close(p->words_fd);
    p->words_fd = -1;
}

static void on_words(void *data, uint32_t events)
{
    (void)events;
    read_words(data);
}

static void close_control(struct parent *p)
{
    watch_close(take(&p->control_watch));
    if (p->control >= 0)
        close(p->control);
    p->control = -1;
}

static void on_control(void *data, uint32_t events)
{
    struct parent *p = data;
    struct err e;
    (void)events;
    bool good = exec_result(p->control, "the fork server", NULL, &e);
    close_control(p);
    if (!good)
        parent_kill(p, e.text);
}

/* In the child: in a sandbox of its own, as what it imports is code too. */
static const char *confine(void *data)
{
    const char *step = "its confinement";
    return world_confine_fork_server(data, &step) == 0 ? NULL : step;
}

static pid_t run(struct parent *p, char *const *argv, const int *words, const int *pair,
                 struct err *e)
{
    int fds[] = {p->keeper->null_fd, words[1], words[1], pair[1]};
    struct exec_plan plan = {.argv = argv,
                             .env = environ, /* clean: see main.c */
                             .umask = 077,
                             .fds = fds,
                             .fd_count = countof(fds),
                             .nofile = &p->keeper->nofile,
                             .confine = p->keeper->world ? confine : NULL,
                             .data = p->keeper->world};
    return exec_begin(&plan, &p->control, e);
}

static bool open_channels(int *words, int *pair, struct err *e)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return fail_errno(e, 503, "cannot start the fork server");
    if (pipe2(words, O_CLOEXEC) != 0) {
        fail_errno(e, 503, "cannot start the fork server");
        close(pair[0]);
        close(pair[1]);
        return false;
    }
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    fcntl(words[0], F_SETFL, O_NONBLOCK);
    return true;
}

struct parent *parent_start(struct keeper *k, char *const *argv, unsigned generation,
                            const struct parent_events *events, struct err *e)
{
    int words[2], pair[2];
    if (!open_channels(words, pair, e))
        return NULL;
    struct parent *p = xcalloc(1, sizeof *p);
    *p = (struct parent){.keeper = k, .events = *events, .generation = generation};
    p->born_ms = monotonic_ms();
    p->pid = run(p, argv, words, pair, e);
    close(words[1]);
    close(pair[1]);
    if (p->pid < 0) {
        close(words[0]);
        close(pair[0]);
        free(p);
        return NULL;
    }
    p->fd = pair[0];
    p->words_fd = words[0];
    p->watch = loop_watch(k->loop, p->fd, EPOLLIN, on_parent, p);
    p->words_watch = loop_watch(k->loop, p->words_fd, EPOLLIN, on_words, p);
    p->control_watch = loop_watch(k->loop, p->control, EPOLLIN, on_control, p);
    p->overdue = loop_timer(k->loop, on_overdue, p);
    timer_start(p->overdue, WARM_UP_MS);
    exec_go(p->control);
    return p;
}

/* --- its work, and its end */

bool parent_ask(struct parent *p, struct start *s, struct err *e)
{
    if (p->phase != PARENT_READY || p->asked_count == PARENT_WINDOW)
        return fail(e, 503, "the fork server has too much to do");
    json_t *confine = s->sandbox ? sandbox_confine_json(s->sandbox, s->asker->serial) : json_null();
    json_t *body =
        json_pack("{s:o, s:s?, s:i}", "confine", confine, "cwd", s->cwd, "umask", (int)s->umask);
    uint32_t number = ++p->last_number;
    int fds[START_FDS + WIRE_NAMESPACES + SHARE_DOORS_MOST];
    static_assert(countof(fds) <= WIRE_FDS_MOST, "FORK has room for them");
    size_t count = START_FDS;
    memcpy(fds, s->fds, sizeof s->fds);
    if (s->sandbox) {
        memcpy(fds + count, sandbox_namespaces(s->sandbox), WIRE_NAMESPACES * sizeof *fds);
        count += WIRE_NAMESPACES;
        count += share_doors(s->sandbox->share, fds + count);
    }
    if (!wire_send(p->fd, WIRE_FORK, number, body, fds, count, e))
        return false;
    p->asked[p->asked_count].number = number;
    p->asked[p->asked_count++].start = s;
    if (p->asked_count == 1)
        timer_start(p->overdue, PARENT_SILENCE_MS);
    return true;
}

void parent_reap(struct parent *p)
{
    int status = 0;
    bool more = true;
    while (more && p->fd >= 0 && read_one(p, &more))
        ; /* forks that it still told of are good */
    waitpid(p->pid, &status, 0);
    read_words(p);
    if (!p->why[0] && WIFSIGNALED(status))
        snprintf(p->why, sizeof p->why, "it was killed by signal %d", WTERMSIG(status));
    else if (!p->why[0])
        snprintf(p->why, sizeof p->why, "it ended with status %d", WEXITSTATUS(status));
    if (p->phase != PARENT_RETIRED && p->words.len) {
        size_t used = strlen(p->why);
        snprintf(p->why + used, sizeof p->why - used, "; it wrote: %s", buffer_text(&p->words));
        keeper_log("fork server %d: %s", (int)p->pid, p->why);
    }
    p->phase = PARENT_KILLED;
}

void parent_free(struct parent *p)
{
    close_socket(p);
    close_control(p);
    watch_close(p->words_watch);
    if (p->words_fd >= 0)
        close(p->words_fd);
    timer_close(p->overdue);
    buffer_free(&p->words);
    json_decref(p->preloaded);
    free(p);
}
