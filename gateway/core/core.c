/* The core as a whole: made, drained, freed; and the few things that happen by the clock.
 *
 * Order of the end: readers and kernels are let go, the scan finishes, the store is closed, and
 * when the loop holds no handle of the core any more, done is called. */
#include "gateway/core/core.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/core/artifact.h"
#include "gateway/core/command_run.h"
#include "gateway/core/execution_state.h"
#include "gateway/core/gc.h"
#include "gateway/core/keepsake.h"
#include "gateway/core/launching.h"
#include "gateway/core/once.h"
#include "gateway/core/port_pass.h"
#include "gateway/core/repair.h"
#include "gateway/core/seed.h"
#include "gateway/core/session.h"
#include "gateway/core/settling.h"
#include "gateway/core/state.h"
#include "gateway/core/template.h"
#include "gateway/log.h"
#include "gateway/store/blob.h"
#include "gateway/store/store.h"
#include "gateway/store/vault.h"
#include "protocol/ids.h"

#define TICK_MS 1000 /* how exact deadlines of commands and culling are */

const struct settings *core_all_settings(const struct core *c)
{
    return c->settings;
}

const struct settings_core *core_settings(const struct core *c)
{
    return &c->settings->core;
}

struct kernelspecs *core_kernelspecs(const struct core *c)
{
    return c->specs;
}

struct timespec core_started(const struct core *c)
{
    return c->started;
}

struct timespec core_last_activity(const struct core *c)
{
    return c->last_activity;
}

const struct settings_quota *core_quotas(const struct core *c)
{
    return &c->settings->net.quota;
}

void core_ready(struct core *c, void (*done)(void *user, const struct err *e), void *user)
{
    struct err e;
    if (c->draining) {
        fail(&e, 503, "the gateway is ending");
        done(user, &e);
    } else if (store_failing(c->store)) {
        store_probe(c->store, done, user);
    } else {
        done(user, NULL);
    }
}

bool core_draining(const struct core *c)
{
    return c->draining;
}

static bool make_dirs(const char *path, struct err *e)
{
    scoped(string) char *at = xstrdup(path);
    for (char *slash = strchr(at + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(at, 0700);
        *slash = '/';
    }
    return mkdir(at, 0700) == 0 || errno == EEXIST ||
           fail_errno(e, 503, "the folder %.150s cannot be made", path);
}

static bool make_folders(struct core *c, struct err *e)
{
    const struct settings_core *settings = &c->settings->core;
    /* "/kernels/" + an id + "/host.sock" must fit the address of a socket */
    size_t room = sizeof(((struct sockaddr_un *)0)->sun_path) - strlen("/kernels/") -
                  (UUID_TEXT - 1) - strlen("/host.sock") - 1;
    if (strlen(settings->runtime_dir) > room)
        return fail(e, 503, "runtime-dir: %.150s is longer than %zu bytes, too long for sockets",
                    settings->runtime_dir, room);
    c->kernels_dir = xasprintf("%s/kernels", settings->runtime_dir);
    c->logs_dir = xasprintf("%s/logs", settings->state_dir);
    c->sandboxes_dir = xasprintf("%s/sandboxes", settings->state_dir);
    scoped(string) char *keepers_dir = xasprintf("%s/keepers", settings->runtime_dir);
    scoped(string) char *commands_dir = xasprintf("%s/commands", settings->runtime_dir);
    return make_dirs(c->kernels_dir, e) && make_dirs(c->logs_dir, e) &&
           make_dirs(c->sandboxes_dir, e) && make_dirs(keepers_dir, e) &&
           make_dirs(commands_dir, e) && blob_prepare(settings->state_dir, &c->left_files, e);
}

static bool lock(const char *dir, const char *name, int *fd, struct err *e)
{
    scoped(string) char *path = xasprintf("%s/%s", dir, name);
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*fd < 0)
        return fail_errno(e, 503, "the file %.150s cannot be opened", path);
    return flock(*fd, LOCK_EX | LOCK_NB) == 0 ||
           fail(e, 503,
                "another gateway uses %.150s; give this one its own --runtime-dir and "
                "--state-dir",
                dir);
}

/* Two gateways over the same kernels would take them from each other without end, and over the same
 * logs remove each other's. The names differ, as both may be one folder. */
static bool lock_folders(struct core *c, struct err *e)
{
    return lock(c->settings->core.runtime_dir, "lock", &c->lock_fd, e) &&
           lock(c->settings->core.state_dir, "state.lock", &c->state_lock_fd, e);
}

static void on_handle_closed(uv_handle_t *handle)
{
    core_handle_closed(handle->data);
}

static void on_cull_timer(uv_timer_t *timer)
{
    struct core *c = timer->data;
    int64_t now_ms = monotonic_ms();
    for (size_t i = c->kernel_count; i-- > 0;)
        if (i < c->kernel_count)
            kernel_check_deadlines(c->kernels[i], now_ms);
    pool_tick(c, now_ms);
    core_keepers_tick(c, now_ms);
    gc_tick(c, now_ms);
    if (c->give_back_ms && now_ms >= c->give_back_ms) {
        c->give_back_ms = 0;
        memory_give_back();
    }
    core_pause_idle(c);
    int64_t interval = c->settings->core.cull_interval_s;
    if (interval > 0 && now_ms >= c->next_cull_ms) {
        c->next_cull_ms = now_ms + interval * 1000;
        core_cull(c);
    }
}

static void on_catch_up(uv_idle_t *idle)
{
    struct core *c = idle->data;
    bool more = false;
    for (size_t i = 0; i < c->kernel_count; i++)
        more = readers_catch_up(c->kernels[i]) || more;
    if (!more)
        uv_idle_stop(idle);
}

void core_catch_up_soon(struct core *c)
{
    if (!c->draining)
        uv_idle_start(&c->catch_up, on_catch_up);
}

static void start_handles(struct core *c)
{
    uv_timer_t *timers[] = {&c->ack_timer,     &c->cull_timer,      &c->pool_timer,
                            &c->launch_timer,  &c->execution_timer, &c->settling_timer,
                            &c->keepsake_timer};
    for (size_t i = 0; i < countof(timers); i++) {
        uv_timer_init(c->loop, timers[i]);
        timers[i]->data = c;
    }
    uv_idle_t *idles[] = {&c->catch_up, &c->launch_turns};
    for (size_t i = 0; i < countof(idles); i++) {
        uv_idle_init(c->loop, idles[i]);
        idles[i]->data = c;
    }
    c->open_handles = (int)(countof(timers) + countof(idles));
    uv_timer_start(&c->cull_timer, on_cull_timer, TICK_MS, TICK_MS);
    c->next_cull_ms = monotonic_ms() + c->settings->core.cull_interval_s * 1000;
}

/* The keepers whose first kernel shall not wait for them. */
static void warm_ahead(struct core *c)
{
    const struct kernelspec *spec = kernelspecs_find(c->specs, kernelspecs_default(c->specs), NULL);
    if (spec && c->settings->core.warm && kernelspec_can_fork(spec->spec))
        kept_keeper(core_kept(c, KEEPERS_OWNER));
    if (c->settings->core.pool_min > 0)
        kept_keeper(core_kept(c, KEEPERS_REQUIRED));
}

struct core *core_new(const struct settings *settings, uv_loop_t *loop, struct err *e)
{
    struct core *c = xcalloc(1, sizeof(*c));
    c->settings = settings;
    c->loop = loop;
    c->lock_fd = c->state_lock_fd = -1;
    core_keepers_init(c);
    pools_init(c);
    clock_gettime(CLOCK_REALTIME, &c->started);
    c->last_activity = c->started;
    c->seed = seed_open(settings->core.seed_uri, e);
    if (!c->seed || !make_folders(c, e) || !lock_folders(c, e) ||
        !(c->vault = vault_open(settings->core.state_dir, e)) ||
        !(c->store = store_open(settings->core.state_dir,
                                strcmp(settings->core.durability, "full") == 0, loop, e)) ||
        !repair_state(c, e) || !once_renew_stored(c, e) || !(c->tokens = tokens_new(c, e)) ||
        !(c->templates = templates_new(c, e))) {
        core_free(c);
        return NULL;
    }
    c->specs = kernelspecs_new(&settings->core);
    c->scan = scan_new(c);
    c->settling = settling_new(c);
    c->sessions = sessions_new();
    start_handles(c);
    core_adopt(c);
    executions_load(c);
    keepsakes_due(c);
    sessions_load(c);
    warm_ahead(c);
    templates_fill_pools(c);
    pool_refill(c);
    return c;
}

static void on_store_closed(void *user)
{
    struct core *c = user;
    c->store = NULL;
    c->drained(c->drained_user);
}

void core_check_drained(struct core *c)
{
    if (!c->draining || c->store_closing || c->open_handles > 0 || !scan_idle(c->scan))
        return;
    c->store_closing = true;
    store_close(c->store, on_store_closed, c);
}

void core_handle_closed(struct core *c)
{
    c->open_handles--;
    core_check_drained(c);
}

void core_drain(struct core *c, void (*done)(void *user), void *user)
{
    c->draining = true;
    c->drained = done;
    c->drained_user = user;
    launching_flush(c);
    keepsakes_write_due(c);
    for (size_t i = 0; i < c->kernel_count; i++)
        if (!c->kernels[i]->pooled && c->kernels[i]->host_alive && kernel_kept(c->kernels[i]))
            kernel_kept(c->kernels[i])->lives_on = true;
    for (size_t i = 0; i < c->sandbox_count; i++)
        if (command_runs_count(c->sandboxes[i]))
            sandbox_kept(c->sandboxes[i])->lives_on = true;
    while (c->kernel_count) {
        struct kernel *k = c->kernels[c->kernel_count - 1];
        kernel_flush(k);
        kernel_acknowledge(k);
        if (k->pooled)
            pool_end(k);
        else
            kernel_forget(k, 1012, "the gateway restarts", true);
    }
    settling_drain(c);
    paused_forget(c);
    core_keepers_close(c);
    uv_handle_t *handles[] = {(uv_handle_t *)&c->ack_timer,       (uv_handle_t *)&c->cull_timer,
                              (uv_handle_t *)&c->pool_timer,      (uv_handle_t *)&c->launch_timer,
                              (uv_handle_t *)&c->launch_turns,    (uv_handle_t *)&c->catch_up,
                              (uv_handle_t *)&c->execution_timer, (uv_handle_t *)&c->settling_timer,
                              (uv_handle_t *)&c->keepsake_timer};
    for (size_t i = 0; i < countof(handles); i++)
        uv_close(handles[i], on_handle_closed);
}

void core_free(struct core *c)
{
    if (!c)
        return;
    vault_close(c->vault);
    sessions_free(c->sessions);
    tokens_free(c->tokens);
    templates_free(c->templates);
    pools_free(c);
    seed_free(c->seed);
    scan_free(c->scan);
    settling_free(c->settling);
    port_passes_free(c->passes);
    kernelspecs_free(c->specs);
    if (c->lock_fd >= 0)
        close(c->lock_fd);
    if (c->state_lock_fd >= 0)
        close(c->state_lock_fd);
    free(c->kernels);
    free(c->sandboxes);
    free(c->sandboxes_dir);
    free(c->kernels_dir);
    free(c->logs_dir);
    free(c);
}
