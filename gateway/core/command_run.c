/* The life of a command as the gateway sees it: attached to its supervisor, followed in its log,
 * found again, forgotten.
 *
 * Invariant: a run is freed when it has left its sandbox's list and none of its handles is open. */
#include "gateway/core/command_run.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/core/command_run_state.h"
#include "gateway/launch/command.h"
#include "gateway/launch/process.h"
#include "gateway/log.h"
#include "gateway/store/command_table.h"
#include "gateway/store/store.h"
#include "protocol/ids.h"
#include "protocol/json.h"

#define RETRY_MS 20

static void settle(struct command_run *r);
static void read_on(struct command_run *r);

/* --- what it is */

const char *command_run_id(const struct command_run *r)
{
    return r->id;
}

const char *command_run_sandbox_id(const struct command_run *r)
{
    return r->sandbox->id;
}

json_t *command_run_record(const struct command_run *r)
{
    return r->record;
}

const struct run_log *command_run_log(const struct command_run *r)
{
    return r->log;
}

const char *command_run_status(const struct command_run *r)
{
    const char *status = json_string_value(json_object_get(run_log_end(r->log), "status"));
    return !run_log_end(r->log) ? "running" : status ? status : "lost";
}

bool command_run_find(struct command_run *r, struct run_cursor *cursor)
{
    return run_log_find(r->log, cursor);
}

bool command_run_read(struct command_run *r, struct run_cursor *cursor, struct buffer *out,
                      size_t want)
{
    return run_log_read(r->log, cursor, out, want);
}

struct command_run *command_runs_find(const struct sandbox *s, const char *id, struct err *e)
{
    for (struct command_run *r = s->runs; r; r = r->next)
        if (!r->starters && !r->forgetting && strcmp(r->id, id) == 0)
            return r;
    fail(e, 404, "sandbox %.100s has no command %.100s", s->id, id);
    return NULL;
}

void command_runs_each(const struct sandbox *s, void (*each)(void *user, struct command_run *r),
                       void *user)
{
    for (struct command_run *r = s->runs; r; r = r->next)
        if (!r->starters && !r->forgetting)
            each(user, r);
}

size_t command_runs_count(const struct sandbox *s)
{
    size_t running = 0;
    for (const struct command_run *r = s->runs; r; r = r->next)
        running += !run_log_end(r->log);
    return running;
}

/* --- memory and handles */

struct command_run *run_new(struct sandbox *s, const char *id)
{
    const char *runtime_dir = s->core->settings->core.runtime_dir;
    struct command_run *r = xcalloc(1, sizeof *r);
    r->core = s->core;
    r->sandbox = s;
    r->id = xstrdup(id);
    r->folder = xasprintf("%s/%s/commands/%s", s->core->sandboxes_dir, s->id, id);
    r->socket = xasprintf("%s/commands/%s.sock", runtime_dir, id);
    r->gate_fd = r->pidfd = -1;
    sandbox_touch(s);
    return r;
}

void run_free(struct command_run *r)
{
    if (!r)
        return;
    free(r->id);
    free(r->folder);
    free(r->socket);
    json_decref(r->record);
    free(r->settlement);
    run_log_free(r->log);
    free(r);
}

static void free_if_unused(struct command_run *r)
{
    if (!r->sandbox && r->handles == 0)
        run_free(r);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct command_run *r = handle->data;
    struct core *c = r->core;
    free(handle);
    r->handles--;
    free_if_unused(r);
    core_handle_closed(c);
}

static void hold_handle(struct command_run *r, uv_handle_t *handle)
{
    handle->data = r;
    r->handles++;
    r->core->open_handles++;
}

/* The poll goes before its descriptor. */
static void drop_poll(uv_poll_t **poll, int *fd)
{
    if (*poll) {
        uv_poll_stop(*poll);
        uv_close((uv_handle_t *)*poll, on_handle_closed);
    }
    *poll = NULL;
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static uv_poll_t *watch_fd(struct command_run *r, int fd, uv_poll_cb on_ready)
{
    uv_poll_t *poll = xmalloc(sizeof *poll);
    if (uv_poll_init(r->core->loop, poll, fd) != 0) {
        free(poll);
        return NULL;
    }
    hold_handle(r, (uv_handle_t *)poll);
    uv_poll_start(poll, UV_READABLE, on_ready);
    return poll;
}

static void stop_retrying(struct command_run *r)
{
    if (r->retry)
        uv_close((uv_handle_t *)r->retry, on_handle_closed);
    r->retry = NULL;
}

static void drop_handles(struct command_run *r)
{
    drop_poll(&r->gate, &r->gate_fd);
    drop_poll(&r->child, &r->pidfd);
    stop_retrying(r);
}

/* --- who is told */

struct command_watch *command_run_watch(struct command_run *r, void (*on_more)(void *user),
                                        void (*on_gone)(void *user), void *user)
{
    struct command_watch *w = xmalloc(sizeof *w);
    *w = (struct command_watch){r->watches, r, on_more, on_gone, user};
    r->watches = w;
    return w;
}

static void unlink_watch(struct command_watch *w)
{
    struct command_watch **at = &w->run->watches;
    while (*at && *at != w)
        at = &(*at)->next;
    if (!*at)
        at = &w->run->telling;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
}

void command_watch_close(struct command_watch *w)
{
    if (!w)
        return;
    unlink_watch(w);
    free(w);
}

/* One that is told may close itself, or another, or be the end of them all: they wait for their
 * turn on a list of their own, on which they can still be found. */
static void tell_more(struct command_run *r)
{
    struct command_watch **at = &r->telling;
    while (*at)
        at = &(*at)->next;
    *at = r->watches;
    r->watches = NULL;
    while (r->telling) {
        struct command_watch *w = r->telling;
        r->telling = w->next;
        w->next = r->watches;
        r->watches = w;
        w->on_more(w->user);
    }
}

void run_tell_more(struct command_run *r)
{
    r->handles++;
    tell_more(r);
    r->handles--;
    free_if_unused(r);
}

static void tell_gone(struct command_run *r)
{
    while (r->telling || r->watches) {
        struct command_watch *w = r->telling ? r->telling : r->watches;
        unlink_watch(w);
        w->on_gone(w->user);
        free(w);
    }
}

static void tell_started(struct command_run *r, const struct err *e)
{
    while (r->starters) {
        struct run_starter starter = *r->starters;
        free(r->starters);
        r->starters = starter.next;
        starter.done(starter.user, e ? NULL : r, e);
    }
}

static void tell_forgotten(struct command_run *r, const struct err *e)
{
    void (*forgotten)(void *user, const struct err *why) = r->forgotten;
    r->forgotten = NULL;
    if (forgotten)
        forgotten(r->forgotten_user, e);
}

/* --- its end */

/* What its supervisor removes itself, unless it was killed. */
static void clear_traces(const struct command_run *r)
{
    scoped(string) char *plan =
        xasprintf("%s/commands/%s.json", r->core->settings->core.runtime_dir, r->id);
    unlink(r->socket);
    unlink(plan);
}

static void leave_list(struct command_run *r)
{
    struct command_run **at = &r->sandbox->runs;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    r->sandbox = NULL;
}

static void on_folder_removed(void *user)
{
    struct command_run *r = user;
    r->handles--;
    tell_forgotten(r, NULL);
    free_if_unused(r);
}

void run_remove(struct command_run *r)
{
    struct sandbox *s = r->sandbox;
    scoped(string) char *parent = xasprintf("%s/%s/commands", s->core->sandboxes_dir, s->id);
    struct err e;
    r->forgetting = true;
    tell_gone(r);
    fail(&e, 409, "the command has ended");
    run_fail_asks(r, &e);
    leave_list(r);
    drop_handles(r);
    clear_traces(r);
    command_table_remove(r->core->store, r->id);
    r->handles++;
    folder_remove(r->core, parent, r->id, on_folder_removed, r);
}

/* The program was not started, and that is its maker's error alone: nothing of it stays. */
static bool was_refused(struct command_run *r)
{
    json_t *end = run_log_end(r->log);
    json_int_t status = json_integer_value(json_object_get(end, "refused"));
    if (r->starters && !run_log_started_us(r->log) && strcmp(command_run_status(r), "lost") == 0)
        status = 503;
    const char *reason = json_string_value(json_object_get(end, "reason"));
    struct err e;
    if (status < 400 || status > 599)
        return false;
    fail(&e, (int)status, "%s", reason ? reason : "the command was not started");
    tell_started(r, &e);
    run_remove(r);
    return true;
}

/* Its supervisor writes, and leaves the disk to us. */
static void say_changed(struct command_run *r)
{
    struct sync *sync = store_sync(r->core->store);
    if (r->round == sync_round(sync))
        return;
    scoped(string) char *log = xasprintf("%s/log", r->folder);
    r->round = sync_path(sync, log);
}

void run_hold_end(struct command_run *r)
{
    if (sync_is_full(store_sync(r->core->store)) && !run_log_end(r->log))
        run_log_hold_end(r->log);
}

static void on_safe(void *user, const struct err *e)
{
    struct command_run *r = user;
    if (e) /* the store says so of itself, too */
        log_error("a command may not survive a power cut", F_STR("command", r->id),
                  F_STR("why", e->text));
    r->syncing = false;
    r->start_safe = true;
    if (r->syncing_end)
        run_log_let_end(r->log);
    r->handles--;
    if (r->sandbox)
        run_look(r);
    else
        free_if_unused(r);
}

/* Where nothing may be told that a power cut takes back, its start and its end wait for the disk.
 * False: they need not. */
static bool await_safe(struct command_run *r)
{
    struct store *store = r->core->store;
    bool due =
        run_log_end_waits(r->log) || (r->starters && !r->start_safe && run_log_last(r->log) > 0);
    if (!due || !sync_is_full(store_sync(store)))
        return false;
    if (r->syncing)
        return true;
    r->syncing = true;
    r->syncing_end = run_log_end_waits(r->log);
    r->round = 0;
    say_changed(r);
    r->handles++;
    store_settle(store, on_safe, r);
    return true;
}

static void look(struct command_run *r)
{
    struct err e;
    bool was_behind = run_log_behind(r->log);
    run_log_refresh(r->log);
    bool more = run_log_last(r->log) > r->told || was_behind;
    bool ended = run_log_end(r->log) != NULL;
    if (ended && was_refused(r))
        return;
    if (await_safe(r) && r->starters && !r->start_safe)
        return;
    if (ended && !r->settling)
        log_info("command ended", F_STR("command", r->id), F_STR("status", command_run_status(r)));
    if (ended || more)
        sandbox_touch(r->sandbox);
    if (ended) {
        run_hear_out(r); /* what came before the end was taken */
        fail(&e, 409, "the command has ended");
        run_fail_asks(r, &e);
    }
    if (ended && r->forgetting) {
        run_settle(r);
        run_remove(r);
        return;
    }
    if (more)
        say_changed(r);
    if (run_log_last(r->log) > 0)
        tell_started(r, NULL);
    r->told = run_log_last(r->log);
    if (more)
        tell_more(r);
    if (ended) /* behind its replies */
        run_settle(r);
    else if (r->sandbox && run_log_behind(r->log))
        read_on(r);
}

/* It may be let go by those who are told. */
void run_look(struct command_run *r)
{
    r->handles++;
    look(r);
    r->handles--;
    free_if_unused(r);
}

static void on_retry(uv_timer_t *timer)
{
    settle(timer->data);
}

static void on_turn(uv_timer_t *timer)
{
    struct command_run *r = timer->data;
    stop_retrying(r);
    if (!run_log_end(r->log))
        run_look(r);
}

static void start_timer(struct command_run *r, uv_timer_cb on_time, uint64_t delay_ms)
{
    if (!r->retry) {
        r->retry = xmalloc(sizeof *r->retry);
        uv_timer_init(r->core->loop, r->retry);
        hold_handle(r, (uv_handle_t *)r->retry);
    }
    uv_timer_start(r->retry, on_time, delay_ms, 0);
}

/* What is left of the log is looked at in the coming turns. */
static void read_on(struct command_run *r)
{
    if (!r->retry)
        start_timer(r, on_turn, 0);
}

/* Nobody is at the other end: it has ended, or is about to listen or to end, or was killed. */
static void settle(struct command_run *r)
{
    run_log_refresh(r->log);
    if (run_log_behind(r->log)) {
        start_timer(r, on_retry, 0);
        return;
    }
    const char *why = r->core->machine_restarted
                          ? "the machine ended before its end was on the disk"
                          : "its supervisor was lost, and with it how it ended";
    if (run_log_end(r->log) || run_log_give_up(r->log, why)) {
        stop_retrying(r);
        clear_traces(r);
        run_look(r);
        return;
    }
    int fd = command_find(r->socket);
    if (fd >= 0) {
        stop_retrying(r);
        run_attach(r, fd, -1);
        run_look(r);
        return;
    }
    start_timer(r, on_retry, RETRY_MS);
}

/* --- its supervisor */

static void on_child(uv_poll_t *poll, int status, int events)
{
    struct command_run *r = poll->data;
    int exit_status, signal_number;
    (void)status;
    (void)events;
    process_status(r->pidfd, &exit_status, &signal_number);
    drop_poll(&r->child, &r->pidfd);
    drop_poll(&r->gate, &r->gate_fd);
    settle(r);
}

static void on_gate(uv_poll_t *poll, int status, int events)
{
    struct command_run *r = poll->data;
    (void)status;
    (void)events;
    run_listen(r);
}

void run_lose_gate(struct command_run *r)
{
    struct err e;
    fail(&e, 503, "the command's supervisor was lost");
    drop_poll(&r->gate, &r->gate_fd);
    run_fail_asks(r, &e);
    if (!r->child)
        settle(r); /* else its end is told by its pidfd */
}

void run_attach(struct command_run *r, int gate_fd, int pidfd)
{
    r->gate_fd = gate_fd;
    r->pidfd = pidfd;
    r->gate = watch_fd(r, gate_fd, on_gate);
    if (pidfd >= 0)
        r->child = watch_fd(r, pidfd, on_child);
    bool outlived = r->sandbox && r->sandbox->paused; /* all contexts of its sandbox */
    if (r->forgetting || outlived)
        run_ask(r, WIRE_COMMAND_KILL, NULL, -1, NULL, NULL);
}

/* --- forgotten, found, let go */

void command_run_forget(struct command_run *r, void (*done)(void *user, const struct err *e),
                        void *user)
{
    r->forgetting = true;
    r->forgotten = done;
    r->forgotten_user = user;
    tell_gone(r);
    if (run_log_end(r->log))
        run_remove(r);
    else if (r->gate)
        run_ask(r, WIRE_COMMAND_KILL, NULL, -1, NULL, NULL);
}

/* By the time that it was made. */
static void insert(struct sandbox *s, struct command_run *r)
{
    const char *created = json_string_value(json_object_get(r->record, "created"));
    struct command_run **at = &s->runs;
    while (*at && strcmp(json_string_value(json_object_get((*at)->record, "created")), created) > 0)
        at = &(*at)->next;
    r->next = *at;
    *at = r;
}

static void adopt(struct sandbox *s, const char *id)
{
    struct command_run *r = run_new(s, id);
    scoped(string) char *record = xasprintf("%s/command.json", r->folder);
    scoped(string) char *log = xasprintf("%s/log", r->folder);
    struct err e;
    r->record = json_load_file(record, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    if (!json_is_string(json_object_get(r->record, "created")) ||
        !(r->log = run_log_open(log, &e))) {
        /* it was just being made, and nobody was told of it */
        scoped(string) char *parent = xasprintf("%s/%s/commands", s->core->sandboxes_dir, s->id);
        clear_traces(r); /* the plan holds its environment */
        folder_remove(s->core, parent, id, NULL, NULL);
        run_free(r);
        return;
    }
    insert(s, r);
    run_log_refresh(r->log);
    run_hold_end(r);
    if (!run_log_end(r->log))
        settle(r);
    else
        was_refused(r);
}

void command_runs_adopt(struct sandbox *s)
{
    scoped(string) char *folder = xasprintf("%s/%s/commands", s->core->sandboxes_dir, s->id);
    DIR *handle = opendir(folder);
    struct dirent *entry;
    while (handle && (entry = readdir(handle)))
        if (id_valid(entry->d_name))
            adopt(s, entry->d_name);
    if (!handle)
        return;
    closedir(handle);
    runs_load_settled(s);
}

void command_runs_let_go(struct sandbox *s)
{
    struct err e;
    bool ends = s->core->draining;
    fail(&e, ends ? 503 : 409, ends ? "the gateway is ending" : "the sandbox has ended");
    while (s->runs) {
        struct command_run *r = s->runs;
        tell_started(r, &e);
        run_fail_asks(r, &e);
        tell_gone(r);
        leave_list(r);
        drop_handles(r);
        tell_forgotten(r, ends ? &e : NULL);
        free_if_unused(r);
    }
}
