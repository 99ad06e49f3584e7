/* From START to ENDED. A start waits for the fork server's answer or goes cold, is announced when
 * its process exists, and is freed when that has been reaped. Invariant: a start in the list is
 * either waiting for an answer that comes, or has a child that has not been reaped. */
#include "sandbox/start.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/json.h"
#include "protocol/pipe_page.h"
#include "sandbox/environment.h"
#include "sandbox/exec.h"
#include "sandbox/fork_server.h"
#include "sandbox/lineage.h"
#include "sandbox/log.h"
#include "sandbox/process_use.h"
#include "sandbox/proxy.h"
#include "sandbox/sandbox.h"

#define WORDS_MOST 256

static void close_fds(struct start *s)
{
    for (size_t n = 0; n < START_FDS; n++) {
        if (s->fds[n] >= 0)
            close(s->fds[n]);
        s->fds[n] = -1;
    }
}

static void start_free(struct start *s)
{
    struct keeper *k = s->keeper;
    struct sandbox *sandbox = s->sandbox;
    for (struct start **at = &k->starts; *at; at = &(*at)->next) {
        if (*at == s) {
            *at = s->next;
            break;
        }
    }
    k->start_count--;
    watch_close(s->control_watch);
    if (s->control >= 0)
        close(s->control);
    close_fds(s);
    for (char **word = s->argv; word && *word; word++)
        free(*word);
    free(s->argv);
    free(s->cwd);
    free(s->cold_because);
    free(s);
    if (sandbox)
        sandbox_settle(sandbox);
    keeper_settle(k);
}

/* --- what is asked */

static bool read_words(json_t *body, char ***out, struct err *e)
{
    json_t *words = json_object_get(body, "argv");
    size_t count = json_array_size(words);
    if (count < 1 || count > WORDS_MOST)
        return fail(e, 400, "argv: must be a list of 1 to %d strings", WORDS_MOST);
    for (size_t n = 0; n < count; n++) {
        json_t *word = json_array_get(words, n);
        if (!json_is_string(word) || strlen(json_string_value(word)) != json_string_length(word))
            return fail(e, 400, "argv: must be a list of strings without NUL");
    }
    char **argv = *out = xcalloc(count + 1, sizeof *argv);
    for (size_t n = 0; n < count; n++)
        argv[n] = xstrdup(json_string_value(json_array_get(words, n)));
    return true;
}

/* Those of a command come in a memory, since they may be longer than a datagram. */
static bool take_words(struct start *s, struct err *e)
{
    char **words = environment_open_words(s->fds[START_PIPES], e);
    if (!words)
        return false;
    size_t count = 0;
    while (words[count])
        count++;
    s->argv = xcalloc(count + 1, sizeof *s->argv);
    for (size_t n = 0; n < count; n++)
        s->argv[n] = xstrdup(words[n]);
    environment_free(words);
    return count > 0 || fail(e, 400, "descriptor %d: there are no words", START_PIPES);
}

/* The descriptors are what they must be: so no folder and no device gets into a sandbox this way.
 */
static bool check_fds(const int *fds, bool command, struct err *e)
{
    static const struct {
        mode_t type;
        const char *text;
    } rows[2][START_FDS] = {
        {
            [START_LINK] = {S_IFSOCK, "the link must be a socket"},
            [START_STDOUT] = {S_IFIFO, "stdout must be a pipe"},
            [START_STDERR] = {S_IFIFO, "stderr must be a pipe"},
            [START_PIPES] = {S_IFREG, "the pipes page must be a sealed memory"},
            [START_ENV] = {S_IFREG, "the environment must be a sealed memory"},
        },
        {
            [START_LINK] = {S_IFIFO, "stdin must be a pipe"},
            [START_STDOUT] = {S_IFIFO, "stdout must be a pipe"},
            [START_STDERR] = {S_IFIFO, "stderr must be a pipe"},
            [START_PIPES] = {S_IFREG, "the words must be a sealed memory"},
            [START_ENV] = {S_IFREG, "the environment must be a sealed memory"},
        },
    };
    struct stat found;
    for (int n = 0; n < START_FDS; n++) {
        mode_t type = rows[command][n].type;
        if (fstat(fds[n], &found) != 0 || (found.st_mode & S_IFMT) != type ||
            (type == S_IFREG && fcntl(fds[n], F_GET_SEALS) <= 0))
            return fail(e, 400, "descriptor %d: %s", n, rows[command][n].text);
    }
    if (!command &&
        (fstat(fds[START_PIPES], &found) != 0 || found.st_size < (off_t)sizeof(struct pipe_page)))
        return fail(e, 400, "descriptor %d: the pipes page is too small", START_PIPES);
    return true;
}

static bool find_sandbox(struct start *s, const char *id, struct err *e)
{
    bool confines = s->keeper->world != NULL;
    if (!id && !confines)
        return true;
    if (!id || !confines)
        return fail(e, 400,
                    confines ? "sandbox: is required; this keeper confines what it starts"
                             : "sandbox: this keeper starts nothing that is confined");
    struct sandbox *found = sandbox_find(s->keeper, id, e);
    if (found && !sandbox_is_held(s->asker, found))
        return fail(e, 409, "sandbox %s was not opened on this connection", id);
    if (found)
        sandbox_forget_breach(found);
    s->sandbox = found;
    return found != NULL;
}

static bool read_start(struct start *s, struct wire_message *m, struct err *e)
{
    const char *sandbox = NULL, *cwd = NULL;
    int64_t umask = WIRE_UMASK;
    if (!field_str(m->body, "sandbox", OPTIONAL, &sandbox, e) ||
        !field_bool(m->body, "warm", OPTIONAL, &s->warm, e) ||
        !field_int(m->body, "umask", OPTIONAL, 0, 0777, &umask, e) ||
        !field_bool(m->body, "command", OPTIONAL, &s->command, e) ||
        !field_str(m->body, "cwd", OPTIONAL, &cwd, e) ||
        (!s->command && !read_words(m->body, &s->argv, e)))
        return false;
    if (s->command && (s->warm || !sandbox))
        return fail(e, 400, "command: is started in a sandbox, and never warm");
    if (cwd && cwd[0] != '/')
        return fail(e, 400, "cwd: must be an absolute path");
    s->cwd = cwd ? xstrdup(cwd) : NULL;
    s->umask = (mode_t)umask;
    if (m->fd_count != START_FDS)
        return fail(e, 400, "START: needs %d descriptors", START_FDS);
    for (size_t n = 0; n < START_FDS; n++) {
        s->fds[n] = m->fds[n];
        m->fds[n] = -1;
    }
    if (!check_fds(s->fds, s->command, e) || !find_sandbox(s, sandbox, e) ||
        (s->command && !take_words(s, e)))
        return false;
    return !s->sandbox || !s->sandbox->proxied ||
           environment_extend(&s->fds[START_ENV], network_environment, e);
}

bool start_begin(struct asker *a, struct wire_message *m, struct err *e)
{
    struct keeper *k = a->keeper;
    if (k->draining || k->ending)
        return fail(e, 503, "the keeper is ending");
    if (k->start_count >= STARTS_MOST)
        return fail(e, 503, "the keeper holds %d processes already", STARTS_MOST);
    struct start *s = xcalloc(1, sizeof *s);
    *s = (struct start){.next = k->starts, .keeper = k, .asker = a, .number = m->number};
    s->control = -1;
    for (size_t n = 0; n < START_FDS; n++)
        s->fds[n] = -1;
    k->starts = s;
    k->start_count++;
    if (!read_start(s, m, e)) {
        start_free(s);
        return false;
    }
    a->has_started = true;
    struct err why;
    if (!s->warm)
        start_cold(s, NULL);
    else if (s->sandbox && !sandbox_namespaces(s->sandbox))
        start_cold(s, "this machine has no namespaces that a fork could join");
    else if (!fork_server_take(k->fork_server, s, s->sandbox != NULL, &why))
        start_cold(s, why.text);
    return true;
}

/* --- how it begins */

static void say_failed(struct start *s, const struct err *e)
{
    if (!s->command)
        keeper_log("cannot start: %s", e->text);
    if (s->asker)
        asker_fail(s->asker, s->number, e);
    s->phase = START_FAILED;
}

/* What could not be done is a command's maker's affair: the step and the errno are told, too. */
static void say_not_executed(struct start *s, const struct exec_failure *failure,
                             const struct err *e)
{
    if (s->command && s->asker && failure->cause)
        asker_tell(s->asker, WIRE_FAILED, s->number,
                   json_pack("{s:i, s:s, s:s, s:i}", "status", e->status, "message", e->text,
                             "step", failure->step, "errno", failure->cause));
    else
        say_failed(s, e);
    s->phase = START_FAILED;
}

/* The process exists and its limits are in place. */
static void say_started(struct start *s)
{
    int pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
    if (pidfd < 0) {
        struct err e;
        fail_errno(&e, 503, "cannot watch a process that was started");
        kill(s->pid, SIGKILL);
        say_failed(s, &e);
        return;
    }
    s->phase = START_RUNS;
    s->keeper->cold_starts += !s->warm || s->cold_because;
    json_t *body = json_pack("{s:i, s:b, s:s?}", "pid", s->sandbox ? 0 : (int)s->pid, "warm",
                             s->warm && !s->cold_because, "cold_because", s->cold_because);
    if (s->asker)
        asker_tell_fd(s->asker, WIRE_STARTED, s->number, body, pidfd);
    else
        json_decref(body);
    close(pidfd);
}

static void take_result(struct start *s)
{
    struct err e;
    struct exec_failure failure = {0};
    bool good = exec_result(s->control, s->argv[0], &failure, &e);
    watch_close(take(&s->control_watch));
    close(s->control);
    s->control = -1;
    if (good)
        say_started(s);
    else
        say_not_executed(s, &failure, &e);
}

static void on_control(void *data, uint32_t events)
{
    (void)events;
    take_result(data);
}

static char **whole_argv(char *const *argv)
{
    static const char *const added[] = {"--link-fd", "3", "--pipes-fd", "4", NULL};
    size_t count = 0;
    while (argv[count])
        count++;
    char **whole = xcalloc(count + countof(added), sizeof *whole);
    memcpy(whole, argv, count * sizeof *whole);
    memcpy(whole + count, added, sizeof added);
    return whole;
}

static const char *confine(void *data)
{
    return confine_self(data);
}

static pid_t run(struct start *s, struct err *e)
{
    struct confine limits;
    char **env = environment_open(s->fds[START_ENV], e);
    if (!env)
        return -1;
    char **argv = s->command ? s->argv : whole_argv(s->argv);
    int fds[] = {s->command ? s->fds[START_LINK] : s->keeper->null_fd, s->fds[START_STDOUT],
                 s->fds[START_STDERR], s->fds[START_LINK], s->fds[START_PIPES]};
    struct exec_plan plan = {.argv = argv,
                             .env = env,
                             .cwd = s->cwd,
                             .umask = s->umask,
                             .fds = fds,
                             .fd_count = s->command ? 3 : countof(fds),
                             .nofile = &s->keeper->nofile};
    if (s->sandbox) {
        sandbox_confine(s->sandbox, s->asker->serial, &limits);
        plan.namespaces = sandbox_namespaces(s->sandbox);
        plan.confine = confine;
        plan.data = &limits;
    }
    pid_t pid = exec_begin(&plan, &s->control, e);
    if (argv != s->argv)
        free(argv);
    environment_free(env);
    return pid;
}

/* Before anything of a user's runs in it. */
static bool bind_to_limits(struct start *s, struct err *e)
{
    lineage_mark(s->pid, s->asker->serial);
    return !s->sandbox || share_attach(s->sandbox->share, s->pid, e);
}

static void give_up(struct start *s, const struct err *e)
{
    watch_close(take(&s->control_watch));
    kill(s->pid, SIGKILL);
    say_failed(s, e);
}

void start_cold(struct start *s, const char *because)
{
    struct err e;
    if (because)
        keeper_log("a cold start: %s", because);
    free(s->cold_because);
    s->cold_because = because ? xstrdup(because) : NULL;
    pid_t pid = -1;
    if (s->keeper->ending)
        fail(&e, 503, "the keeper is ending");
    else if (s->sandbox && s->sandbox->ending)
        fail(&e, 503, "the sandbox is ending");
    else if (s->asker)
        pid = run(s, &e);
    close_fds(s);
    if (pid < 0) {
        if (s->asker)
            say_failed(s, &e);
        start_free(s);
        return;
    }
    s->phase = START_COLD;
    s->pid = pid;
    s->control_watch = loop_watch(s->keeper->loop, s->control, EPOLLIN, on_control, s);
    if (bind_to_limits(s, &e))
        exec_go(s->control);
    else
        give_up(s, &e);
}

void start_forked(struct start *s, pid_t pid)
{
    close_fds(s);
    s->pid = pid;
    if (!s->asker) {
        kill(pid, SIGKILL);
        s->phase = START_FAILED;
        return;
    }
    struct err e;
    if (bind_to_limits(s, &e))
        say_started(s);
    else
        give_up(s, &e);
}

/* --- how it ends */

struct start *start_of(struct keeper *k, pid_t pid)
{
    for (struct start *s = k->starts; s; s = s->next)
        if (s->pid == pid)
            return s;
    return NULL;
}

static json_t *end_of(const struct start *s, int status, const struct process_use *use)
{
    bool killed = s->sandbox && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    json_t *end = killed ? sandbox_cause(s->sandbox)
                         : json_pack("{s:b, s:i, s:i, s:n}", "oom", 0, "limit_bytes", 0,
                                     "peak_bytes", 0, "breach");
    json_object_set_new(end, "wait_status", json_integer(status));
    if (use->known) {
        json_object_set_new(end, "cpu_us", json_integer(use->cpu_us));
        json_object_set_new(end, "children_cpu_us", json_integer(use->children_cpu_us));
        json_object_set_new(end, "memory_peak_bytes", json_integer(use->memory_peak_bytes));
    }
    return end;
}

bool start_reap(struct keeper *k, pid_t pid)
{
    struct start *s = start_of(k, pid);
    struct process_use use;
    int status = 0;
    if (!s)
        return false;
    kill(-pid, SIGKILL); /* what is left of its group, while its number is still taken */
    if (s->phase == START_COLD)
        take_result(
            s); /* it ended before we looked: it can be told of only while it is not reaped */
    process_reap(pid, &status, &use);
    if (s->phase == START_RUNS && s->asker)
        asker_tell(s->asker, WIRE_ENDED, s->number, end_of(s, status, &use));
    start_free(s);
    return true;
}

bool start_is_wanted(const struct start *s)
{
    return s->asker && !(s->sandbox && s->sandbox->ending);
}

void start_kill(struct start *s)
{
    /* its group may not exist yet right after the fork */
    if (s->pid && kill(-s->pid, SIGKILL) != 0)
        kill(s->pid, SIGKILL);
}

void start_abandon(struct start *s)
{
    s->asker = NULL;
    start_kill(s);
}
