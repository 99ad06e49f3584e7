/* A kernel's life: made, launched, stopped, forgotten. Called by the dialects through kernel.h and
 * by the other files of core.
 *
 * Invariant: k is freed only when it is out of the core's list and the loop has closed all its
 * handles. */
#include "gateway/core/keepsake.h"
#include "gateway/core/kernel.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/core/artifact.h"
#include "gateway/core/execution_state.h"
#include "gateway/core/json_file.h"
#include "gateway/core/launching.h"
#include "gateway/core/seed.h"
#include "gateway/core/state.h"
#include "gateway/launch/process.h"
#include "gateway/log.h"
#include "gateway/store/kernel_table.h"
#include "gateway/store/vault.h"
#include "protocol/ids.h"
#include "protocol/json.h"

#define GIVE_BACK_MS 5000 /* more kernels may end by then */

extern char **environ;

const char *kernel_id(const struct kernel *k)
{
    return k->id;
}

const char *kernel_name(const struct kernel *k)
{
    return k->name;
}

enum kernel_state kernel_state(const struct kernel *k)
{
    return k->state;
}

const char *kernel_cause(const struct kernel *k)
{
    return k->cause;
}

const char *kernel_reason(const struct kernel *k)
{
    return k->reason;
}

struct timespec kernel_last_activity(const struct kernel *k)
{
    return k->last_activity;
}

size_t kernel_connections(const struct kernel *k)
{
    return k->connections;
}

char *kernel_resolve_path(const struct kernel *k, const char *path)
{
    const char *home = environment_get(&k->env, "HOME");
    scoped(string) char *whole = NULL;
    if (k->sandbox)
        return NULL; /* what is in it is not what is at that path here */
    if (path[0] == '/' || (!k->cwd && path[0] != '~'))
        whole = xstrdup(path);
    else if (path[0] == '~' && path[1] == '/' && home)
        whole = xasprintf("%s%s", home, path + 1);
    else
        whole = xasprintf("%s/%s", k->cwd ? k->cwd : ".", path);
    return realpath(whole, NULL);
}

static bool visible(const struct kernel *k)
{
    return !k->pooled && !k->handing && !k->ending && !k->gone &&
           !(k->sandbox && k->sandbox->halted);
}

struct kernel *kernels_any(const struct core *c, const char *id)
{
    for (size_t i = 0; i < c->kernel_count; i++)
        if (strcmp(c->kernels[i]->id, id) == 0)
            return c->kernels[i];
    return NULL;
}

bool kernel_is_for(const struct kernel *k, const struct principal *who)
{
    return k->sandbox ? principal_sees(who, sandbox_owner(k->sandbox)) : principal_is_admin(who);
}

struct kernel *kernels_find(const struct core *c, const struct principal *who, const char *id,
                            struct err *e)
{
    struct kernel *k = kernels_any(c, id);
    if (k && visible(k) && kernel_is_for(k, who))
        return k;
    const struct sandbox *s = k && k->sandbox ? k->sandbox : paused_holding(c, id);
    if (s && !s->ending && principal_sees(who, s->owner) && sandbox_refuses(s, e))
        return NULL;
    fail(e, 404, "Kernel does not exist: %.100s", id);
    return NULL;
}

void kernels_each(const struct core *c, const struct principal *who,
                  void (*each)(void *user, struct kernel *k), void *user)
{
    for (size_t i = 0; i < c->kernel_count; i++)
        if (visible(c->kernels[i]) && kernel_is_for(c->kernels[i], who))
            each(user, c->kernels[i]);
}

size_t kernels_live(const struct core *c)
{
    size_t live = 0;
    for (size_t i = 0; i < c->kernel_count; i++)
        live += !c->kernels[i]->pooled && c->kernels[i]->state != KERNEL_DEAD;
    return live;
}

bool kernels_allowed(const struct core *c, size_t more, struct err *e)
{
    int64_t limit = c->settings->core.max_kernels;
    size_t live = kernels_live(c);
    if (limit <= 0 || live + more <= (size_t)limit)
        return true;
    if (live < (size_t)limit)
        return fail(e, 403, "Resource Limit: %zu kernels are asked for, and %zu of %lld run", more,
                    live, (long long)limit);
    return fail(e, 403, "Resource Limit: %lld kernels run, which is the most allowed",
                (long long)limit);
}

void kernel_set_reason(struct kernel *k, const char *cause, const char *reason)
{
    char *copy = reason ? xstrdup(reason) : NULL, *word = cause ? xstrdup(cause) : NULL;
    free(k->reason);
    free(k->cause);
    k->reason = copy;
    k->cause = word;
}

static void kernel_free(struct kernel *k)
{
    if (!k->core->give_back_ms)
        k->core->give_back_ms = monotonic_ms() + GIVE_BACK_MS;
    journal_close(k->journal);
    places_close(k->places);
    requests_clear(&k->requests);
    json_decref(k->known_executions);
    environment_free(&k->env);
    buffer_free(&k->batch);
    json_decref(k->spec);
    free(k->resource_dir);
    free(k->cwd);
    free(k->death_reason);
    free(k->death_cause);
    free(k->reason);
    free(k->cause);
    free(k->context_name);
    free(k->forked_from);
    free(k->restored_from);
    json_decref(k->once);
    free(k->log_dir);
    free(k->dir);
    free(k->name);
    free(k->id);
    free(k);
}

void kernel_add_handle(struct kernel *k)
{
    k->open_handles++;
    k->core->open_handles++;
}

static void closed_one(struct kernel *k)
{
    struct core *c = k->core;
    if (--k->open_handles == 0 && k->gone)
        kernel_free(k);
    core_handle_closed(c);
}

static void on_handle_closed(uv_handle_t *handle)
{
    closed_one(handle->data);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct kernel *k = handle->data;
    free(handle);
    closed_one(k);
}

void kernel_close_handle(struct kernel *k, uv_handle_t *handle)
{
    handle->data = k;
    uv_close(handle, handle == (uv_handle_t *)&k->timer ? on_handle_closed : on_watch_closed);
}

/* Opens a kernel's folder, journal and places; what is there already is taken up. */
static bool open_files(struct kernel *k, struct err *e)
{
    if (mkdir(k->dir, 0700) != 0 && errno != EEXIST)
        return fail_errno(e, 503, "the folder %.150s cannot be made", k->dir);
    k->journal = journal_open(k->log_dir, (uint64_t)k->core->settings->core.log_bytes, e);
    if (!k->journal)
        return false;
    scoped(string) char *path = xasprintf("%s/places", k->log_dir);
    k->places = places_open(path, e);
    struct sync *sync = store_sync(k->core->store);
    journal_set_sync(k->journal, sync);
    sync_path(sync, k->core->logs_dir);
    k->next_sequence = journal_last(k->journal) + 1;
    k->release_at_bytes = 3 * (uint64_t)JOURNAL_SEGMENT_BYTES;
    return k->places != NULL;
}

struct kernel *kernel_new(struct core *c, const char *id, const char *name, struct err *e)
{
    struct kernel *k = xcalloc(1, sizeof(*k));
    k->core = c;
    k->id = xstrdup(id);
    k->name = xstrdup(name);
    k->dir = xasprintf("%s/%s", c->kernels_dir, id);
    k->log_dir = xasprintf("%s/%s", c->logs_dir, id);
    environment_init(&k->env);
    k->resource_dir = xstrdup("");
    clock_gettime(CLOCK_REALTIME, &k->started);
    if (!open_files(k, e)) {
        kernel_free(k);
        return NULL;
    }
    kernel_touch(k);
    uv_timer_init(c->loop, &k->timer);
    k->timer.data = k;
    kernel_add_handle(k);
    c->kernels = xrealloc(c->kernels, (c->kernel_count + 1) * sizeof(*c->kernels));
    c->kernels[c->kernel_count++] = k;
    return k;
}

static void add_text(json_t *object, const char *name, const char *text)
{
    if (text)
        json_object_set_new(object, name, json_string(text));
}

/* It may hold secrets: on the disk it is sealed. */
static json_t *hidden_env(const struct kernel *k)
{
    scoped(string) char *context = xasprintf(KERNEL_ENV_CONTEXT, k->id);
    scoped(json) json_t *env = environment_json(&k->env);
    return vault_hide(k->core->vault, context, env);
}

void kernel_save(const struct kernel *k)
{
    char started[TIME_TEXT];
    time_text(k->started, started);
    json_t *saved =
        json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:b, s:O, s:o}", "id", k->id, "name", k->name,
                  "started", started, "pid", (json_int_t)k->host.pid, "start_ticks",
                  (json_int_t)k->host.start_ticks, "epoch", (json_int_t)k->epoch, "pooled",
                  (int)k->pooled, "spec", k->spec, "env", hidden_env(k));
    add_text(saved, "resource_dir", k->resource_dir);
    add_text(saved, "cwd", k->cwd);
    add_text(saved, "reason", k->reason);
    add_text(saved, "cause", k->cause);
    json_object_set_new(saved, "handing", json_boolean(k->handing));
    json_object_set_new(saved, "dead", json_boolean(k->state == KERNEL_DEAD));
    if (k->sandbox) {
        json_object_set_new(saved, "sandbox", sandbox_save(k->sandbox));
        json_object_set_new(saved, "generation", json_integer(k->generation));
        json_object_set_new(saved, "context_number", json_integer(k->context_number));
        add_text(saved, "context_name", k->context_name);
        add_text(saved, "forked_from", k->forked_from);
        add_text(saved, "restored_from", k->restored_from);
        if (k->once)
            json_object_set(saved, "once", k->once);
    }
    scoped(string) char *path = xasprintf("%s/kernel.json", k->dir);
    struct err e;
    if (!json_file_replace(path, saved, &e))
        log_warn("a kernel's state was not written", F_STR("kernel", k->id), F_STR("why", e.text));
    json_decref(saved);
    if (k->sandbox)
        keepsake_due(k->sandbox);
}

static void on_host_exit(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct kernel *k = poll->data;
    uv_poll_stop(poll);
    k->host_exited = true;
    if (!process_status(k->host.pidfd, &k->exit_status, &k->exit_signal)) {
        k->exit_status = -1;
        k->exit_signal = 0;
    }
    kernel_host_ended(k);
}

void kernel_watch_host(struct kernel *k)
{
    k->watch = xmalloc(sizeof(*k->watch));
    uv_poll_init(k->core->loop, k->watch, k->host.pidfd);
    k->watch->data = k;
    kernel_add_handle(k);
    uv_poll_start(k->watch, UV_READABLE, on_host_exit);
    k->host_alive = true;
    k->host_exited = false;
}

void kernel_kill_host(struct kernel *k)
{
    if (k->host_alive && !k->host_exited)
        kill(k->host.pid, SIGKILL); /* not reaped yet, so the pid is still its own */
    process_kill_session(k->interpreter_session, k->interpreter_ticks);
}

static void on_start_deadline(uv_timer_t *timer)
{
    struct kernel *k = timer->data;
    scoped(string) char *reason = xasprintf("the kernel did not start within %lld seconds",
                                            (long long)k->core->settings->core.kernel_start_s);
    if (!k->death_reason) {
        k->death_reason = take(&reason);
        k->death_cause = xstrdup("start");
    }
    kernel_kill_host(k);
}

char *kernel_branch_path(const struct kernel *k)
{
    return xasprintf("%s/branch", k->dir);
}

static bool start_host(struct kernel *k, struct err *e)
{
    const struct settings_core *settings = &k->core->settings->core;
    struct keeper *keeper = kept_keeper(kernel_kept(k));
    struct launch launch = {
        .dir = k->dir,
        .spec = k->spec,
        .resource_dir = k->resource_dir,
        .python = settings->python ? settings->python : "",
        .env = &k->env,
        .cwd = k->cwd,
        .lease_s = settings->lease_s,
        .listener = k->listener,
        .keeper = keeper ? keeper_socket(keeper) : NULL,
    };
    scoped(string) char *plan = xasprintf("%s/sandbox.json", k->dir);
    scoped(string) char *branch = kernel_branch_path(k);
    if (k->sandbox) {
        if (!context_write_plan(k, plan, e))
            return false;
        launch.sandbox = sandbox_id(k->sandbox);
        launch.sandbox_plan = plan;
        launch.generation = k->generation;
        launch.cold = sandbox_is_cold(k->sandbox);
        launch.await_branch = k->branching ? branch : NULL;
    }
    return local_provisioner.start(&launch, &k->host, e);
}

bool kernel_prepare(struct kernel *k, struct err *e)
{
    scoped(string) char *socket = xasprintf("%s/host.sock", k->dir);
    int listener = local_provisioner.listen(k->dir, e);
    if (listener < 0)
        return false;
    k->listener = listener;
    k->epoch++;
    k->source = k->acked = 0;
    k->was_attached = false;
    free(take(&k->restored_from));
    free(take(&k->death_reason));
    free(take(&k->death_cause));
    k->uplink = uplink_open(k->core->loop, socket, &kernel_uplink_events, k);
    return true;
}

static void close_listener(struct kernel *k)
{
    if (k->listener)
        close(k->listener);
    k->listener = 0;
}

void kernel_unprepare(struct kernel *k)
{
    uplink_close(k->uplink);
    k->uplink = NULL;
    close_listener(k);
}

bool kernel_start_host(struct kernel *k, struct err *e)
{
    const struct settings_core *settings = &k->core->settings->core;
    if (!start_host(k, e))
        return false;
    close_listener(k);
    k->launched_ms = monotonic_ms();
    kernel_watch_host(k);
    kernel_save(k);
    if (!k->sandbox)
        seed_run(k->core->seed, k);
    k->core->counters.kernels_started++;
    uv_timer_start(&k->timer, on_start_deadline, (uint64_t)settings->kernel_start_s * 1000, 0);
    log_info("kernel started", F_STR("kernel", k->id), F_STR("name", k->name),
             F_INT("pid", k->host.pid));
    return true;
}

bool kernel_launch(struct kernel *k, struct err *e)
{
    if (!kernel_prepare(k, e))
        return false;
    if (kernel_start_host(k, e))
        return true;
    kernel_unprepare(k);
    return false;
}

static bool is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* KERNEL_WORKING_DIR if it is a folder, else the nearest folder of path that exists; NULL: the
 * gateway's. */
static char *choose_cwd(const struct environment *env, const char *path)
{
    const char *told = environment_get(env, "KERNEL_WORKING_DIR");
    if (told && is_dir(told))
        return xstrdup(told);
    if (!path || !*path)
        return NULL;
    scoped(string) char *at = xstrdup(path);
    while (!is_dir(at)) {
        char *slash = strrchr(at, '/');
        if (!slash || slash == at)
            return NULL;
        *slash = '\0';
    }
    return realpath(at, NULL);
}

static bool check_request(struct core *c, const struct principal *who,
                          const struct kernel_request *request, struct err *e)
{
    if (!principal_is_admin(who))
        return fail(e, 403,
                    "only administrators start kernels that are not confined; make a sandbox with "
                    "POST /v1/sandboxes, whose contexts are kernels too");
    if (c->draining)
        return fail(e, 503, "the gateway is ending");
    if (request->id && !id_valid(request->id))
        return fail(e, 400, "kernel_id: must be five groups of letters and digits joined by \"-\"");
    if (request->id && kernels_any(c, request->id))
        return fail(e, 409, "kernel %.100s exists already", request->id);
    return kernels_allowed(c, 1, e);
}

static struct kernel *start_new(struct core *c, const struct kernel_request *request,
                                const struct kernelspec *spec, struct environment *env, char **cwd,
                                struct err *e)
{
    char fresh[UUID_TEXT];
    uuid_make(fresh);
    struct kernel *k = kernel_new(c, request->id ? request->id : fresh, spec->name, e);
    if (!k)
        return NULL;
    k->spec = json_incref(spec->spec);
    free(k->resource_dir);
    k->resource_dir = xstrdup(spec->dir ? spec->dir : "");
    environment_free(&k->env);
    k->env = *env;
    *env = (struct environment){0};
    k->cwd = take(cwd);
    if (kernel_launch(k, e)) {
        kernel_table_started(c->store, k->id, k->name, k->started);
        return k;
    }
    kernel_forget(k, 1011, "the kernel could not be started", false);
    return NULL;
}

void kernels_start(struct core *c, const struct principal *who,
                   const struct kernel_request *request,
                   void (*done)(void *user, struct kernel *k, const struct err *e), void *user)
{
    struct err e = {0};
    const char *forced = c->settings->core.force_kernel_name;
    const char *name = forced && *forced                 ? forced
                       : request->name && *request->name ? request->name
                                                         : kernelspecs_default(c->specs);
    const struct kernelspec *spec = NULL;
    __attribute__((cleanup(environment_scoped))) struct environment env = {0};
    if (!check_request(c, who, request, &e) || !(spec = kernelspecs_find(c->specs, name, &e)) ||
        !environment_build(&c->settings->core, environ, request->env, &env, &e)) {
        done(user, NULL, &e);
        return;
    }
    environment_add_spec(&env, json_object_get(spec->spec, "env"));
    scoped(string) char *cwd = choose_cwd(&env, request->path);
    struct kernel_request wanted = *request;
    wanted.name = spec->name;
    if (pool_take(c, &wanted, &env, cwd, done, user))
        return;
    struct kernel *k = start_new(c, request, spec, &env, &cwd, &e);
    done(user, k, k ? NULL : &e);
}

static void on_restarted(struct kernel *k)
{
    k->restarts = 0;
    kernel_set_reason(k, NULL, NULL);
    kernel_touch(k);
    kernel_save(k);
}

struct restart {
    struct kernel *k; /* commands end before their kernel does */
    void (*done)(void *user, const struct err *e);
    void *user;
};

static void on_restart_done(void *user, const struct err *e)
{
    struct restart *restart = user;
    if (!e)
        on_restarted(restart->k);
    restart->done(restart->user, e);
    free(restart);
}

void kernel_restart(struct kernel *k, void (*done)(void *user, const struct err *e), void *user)
{
    struct err e = {0};
    if (!k->uplink && !k->ending) { /* dead: a new host with the same id */
        kernel_set_reason(k, NULL, NULL);
        if (k->sandbox && !contexts_live(k->sandbox))
            k->sandbox->lives_from_ms = monotonic_ms();
        k->restarts = 0;
        k->state = KERNEL_STARTING;
        bool started = kernel_launch(k, &e);
        if (!started)
            k->state = KERNEL_DEAD;
        done(user, started ? NULL : &e);
        return;
    }
    if (k->ending) {
        fail(&e, 409, "kernel %s is being deleted", k->id);
        done(user, &e);
        return;
    }
    struct restart *restart = xmalloc(sizeof(*restart));
    *restart = (struct restart){k, done, user};
    kernel_command(k, LINK_RESTART, (struct bytes){0},
                   k->core->settings->core.kernel_start_s * 1000, on_restart_done, restart);
}

bool kernel_send(struct kernel *k, const char *identity, const struct message *m,
                 struct bytes frame, struct err *e)
{
    const struct bytes parts[] = {bytes_of(identity), frame};
    struct err why;
    if (k->sandbox && sandbox_refuses(k->sandbox, &why))
        return fail(e, 503, "%s", why.text);
    if (!requests_add(&k->requests, identity, m, e))
        return false;
    kernel_note_client(k, m->header);
    k->core->counters.messages_in++;
    k->core->counters.message_bytes_in += frame.len;
    if (k->uplink) {
        bool sent = uplink_send(k->uplink,
                                &(struct link_frame){.kind = LINK_CLIENT_MESSAGE,
                                                     .parts = parts,
                                                     .part_count = countof(parts)},
                                e);
        if (!sent) /* nobody will answer it */
            requests_answered(&k->requests, m->header);
        return sent;
    }
    kernel_answer_lost(k, k->reason ? k->reason : "the kernel is dead");
    kernel_flush(k);
    return true;
}

static void on_stop_deadline(uv_timer_t *timer)
{
    kernel_kill_host(timer->data);
}

void kernel_stop(struct kernel *k, const char *reason,
                 void (*done)(void *user, const struct err *e), void *user)
{
    k->ending = true;
    kernel_set_reason(k, "asked", reason);
    log_info("kernel stops", F_STR("kernel", k->id), F_STR("reason", reason));
    readers_end(k, 1000, reason);
    sessions_kernel_gone(k->core, k->id);
    struct command *waiting = xcalloc(1, sizeof(*waiting)); /* answered when the host has ended */
    waiting->deadline_ms = INT64_MAX;
    waiting->done = done;
    waiting->user = user;
    waiting->next = k->commands;
    k->commands = waiting;
    if (!k->host_alive) {
        kernel_forget(k, 1000, reason, false);
        return;
    }
    json_t *why = json_pack("{s:s}", "reason", reason);
    scoped(string) char *text = json_dumps(why, JSON_COMPACT);
    json_decref(why);
    if (k->uplink)
        kernel_command(k, LINK_STOP, bytes_of(text), INT32_MAX, NULL, NULL);
    uv_timer_start(&k->timer, on_stop_deadline,
                   (uint64_t)k->core->settings->core.kernel_shutdown_s * 1000, 0);
}

static void remove_files(struct kernel *k)
{
    static const char *const files[] = {"host.sock",     "kernel.json", "kernel.json.new",
                                        "host.log",      "spill",       "connection.json",
                                        "unacknowledged"};
    for (size_t i = 0; i < countof(files); i++) {
        scoped(string) char *path = xasprintf("%s/%s", k->dir, files[i]);
        unlink(path);
    }
    journal_remove(k->dir); /* whatever else a host left there */
    if (k->sandbox && k->sandbox->paused && !k->sandbox->ending)
        return; /* it goes on there */
    journal_remove(k->log_dir);
    sync_path(store_sync(k->core->store), k->core->logs_dir);
}

static void leave_list(struct kernel *k)
{
    struct core *c = k->core;
    for (size_t i = 0; i < c->kernel_count; i++)
        if (c->kernels[i] == k) {
            memmove(c->kernels + i, c->kernels + i + 1,
                    (c->kernel_count - i - 1) * sizeof(struct kernel *));
            c->kernel_count--;
            return;
        }
}

void kernel_forget(struct kernel *k, int code, const char *reason, bool keep_files)
{
    struct err e;
    if (k->core->draining)
        fail(&e, 503, "the gateway is ending");
    else
        fail(&e, 502, "kernel %s ended", k->id);
    k->gone = true;
    readers_end(k, code, reason);
    executions_kernel_gone(k, keep_files);
    scan_forget(k->core->scan, k);
    launching_remove(k);
    kernel_unprepare(k);
    if (k->watch) {
        uv_poll_stop(k->watch);
        kernel_close_handle(k, (uv_handle_t *)k->watch);
        k->watch = NULL;
        close(k->host.pidfd);
    }
    if (!keep_files) {
        sessions_kernel_gone(k->core, k->id);
        remove_files(k);
    }
    leave_list(k);
    kernel_fail_commands(k, k->ending ? NULL : &e);
    branching_lost(k, reason);
    resuming_lost(k, reason);
    if (k->sandbox)
        sandbox_kernel_gone(k->sandbox, k, keep_files);
    uv_timer_stop(&k->timer);
    kernel_close_handle(k, (uv_handle_t *)&k->timer);
}
