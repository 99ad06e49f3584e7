/* At the start of a gateway: the hosts that an earlier one left are found by their folders and
 * taken up where it stopped; of sandboxes without one what was there stays (remains.h), and what is
 * left of other kernels is cleared away, and the record says so. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/core/artifact.h"
#include "gateway/core/command_run.h"
#include "gateway/core/package_program.h"
#include "gateway/core/remains.h"
#include "gateway/core/settling.h"
#include "gateway/core/state.h"
#include "gateway/launch/process.h"
#include "gateway/log.h"
#include "gateway/store/execution_table.h"
#include "gateway/store/kernel_table.h"
#include "gateway/store/vault.h"
#include "protocol/ids.h"
#include "protocol/json.h"

#define ATTACH_LIMIT_MS 10000

static json_t *read_saved(const struct core *c, const char *id)
{
    scoped(string) char *path = xasprintf("%s/%s/kernel.json", c->kernels_dir, id);
    json_t *saved = json_load_file(path, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    const char *own = json_string_value(json_object_get(saved, "id"));
    if (own && strcmp(own, id) == 0 && json_is_string(json_object_get(saved, "name")) &&
        json_is_object(json_object_get(saved, "spec")))
        return saved;
    json_decref(saved);
    return NULL;
}

struct timespec core_time_of(json_t *text)
{
    struct tm parts = {0};
    struct timespec when = {0};
    const char *value = json_string_value(text);
    const char *rest = value ? strptime(value, "%Y-%m-%dT%H:%M:%S", &parts) : NULL;
    if (rest) {
        when.tv_sec = timegm(&parts);
        when.tv_nsec = *rest == '.' ? (long)(strtod(rest, NULL) * 1e6 + 0.5) * 1000 : 0;
    }
    return when;
}

static void fill(struct kernel *k, json_t *saved)
{
    const char *resource_dir = json_string_value(json_object_get(saved, "resource_dir"));
    const char *cwd = json_string_value(json_object_get(saved, "cwd"));
    kernel_set_reason(k, json_string_value(json_object_get(saved, "cause")),
                      json_string_value(json_object_get(saved, "reason")));
    k->started = core_time_of(json_object_get(saved, "started"));
    k->pooled = json_is_true(json_object_get(saved, "pooled"));
    k->handing = json_is_true(json_object_get(saved, "handing"));
    k->epoch = (uint32_t)json_integer_value(json_object_get(saved, "epoch"));
    k->generation = json_integer_value(json_object_get(saved, "generation"));
    if (!k->generation && json_integer_value(json_object_get(saved, "pid")))
        k->generation = 1;
    k->spec = json_incref(json_object_get(saved, "spec"));
    free(k->resource_dir);
    k->resource_dir = xstrdup(resource_dir ? resource_dir : "");
    k->cwd = cwd ? xstrdup(cwd) : NULL;
    scoped(string) char *context = xasprintf(KERNEL_ENV_CONTEXT, k->id);
    scoped(json) json_t *env =
        vault_reveal(k->core->vault, context, json_object_get(saved, "env"), NULL);
    environment_free(&k->env);
    environment_from_json(env, &k->env);
    sandbox_restore(k, saved);
    if (k->pooled && k->sandbox)
        k->sandbox->pool = pools_of_earlier(k->core, k->sandbox);
    uint64_t source = 0;
    uint32_t epoch = 0;
    journal_source(k->journal, &source, &epoch);
    k->source = epoch == k->epoch ? source : 0;
}

static void on_attach_deadline(uv_timer_t *timer)
{
    struct kernel *k = timer->data;
    log_warn("a kernel that was left does not answer", F_STR("kernel", k->id));
    kill(k->host.pid, SIGKILL);
}

/* It was being handed out: nobody was told of it, and it may be half somebody's. A sandbox's folder
 * has another name from the first step on. Or it was of a pool that is no longer there, or the
 * keeper had not yet said what it has opened: whose uid it is, and who holds its limits. */
static bool was_on_its_way(const struct kernel *k)
{
    if (k->sandbox && (k->sandbox->seeding || (k->pooled && !k->sandbox->pool)))
        return true;
    if (k->pooled && k->sandbox && !k->sandbox->keeper)
        return true;
    if (k->handing || !k->pooled || !k->sandbox)
        return k->handing;
    scoped(string) char *folder = xasprintf("%s/%s", k->core->sandboxes_dir, k->sandbox->id);
    return access(folder, F_OK) != 0;
}

static bool take_up(struct core *c, const char *id, json_t *saved)
{
    struct err e = {0};
    if (json_is_true(json_object_get(saved, "dead")))
        return false;
    pid_t pid = (pid_t)json_integer_value(json_object_get(saved, "pid"));
    uint64_t ticks = (uint64_t)json_integer_value(json_object_get(saved, "start_ticks"));
    int pidfd = ticks ? process_watch(pid, ticks) : -1;
    if (pidfd < 0)
        return false;
    struct kernel *k = kernel_new(c, id, json_string_value(json_object_get(saved, "name")), &e);
    if (!k) {
        log_error("a kernel that was left cannot be taken up", F_STR("kernel", id),
                  F_STR("why", e.text));
        c->unread = true;
        close(pidfd);
        return true; /* its lease will end it */
    }
    fill(k, saved);
    k->host = (struct launched){pid, pidfd, ticks};
    k->launched_ms = monotonic_ms();
    kernel_watch_host(k);
    scoped(string) char *socket = xasprintf("%s/host.sock", k->dir);
    k->uplink = uplink_open(c->loop, socket, &kernel_uplink_events, k);
    uv_timer_start(&k->timer, on_attach_deadline, ATTACH_LIMIT_MS, 0);
    scan_catch_up(c->scan, k);
    if (was_on_its_way(k)) {
        k->handing = true;
        kernel_kill_host(k);
    }
    log_info("kernel taken up", F_STR("kernel", id), F_INT("pid", pid));
    return true;
}

/* Its host was yet to be started when the gateway was killed. */
static bool start_late(struct core *c, const char *id, json_t *saved)
{
    struct err e = {0};
    if (json_integer_value(json_object_get(saved, "pid")) != 0 ||
        json_is_true(json_object_get(saved, "dead")) ||
        json_is_true(json_object_get(saved, "pooled")) ||
        json_is_true(json_object_get(saved, "handing")) ||
        json_is_true(json_object_get(json_object_get(saved, "sandbox"), "seeding")))
        return false;
    struct kernel *k = kernel_new(c, id, json_string_value(json_object_get(saved, "name")), &e);
    if (!k)
        return false;
    fill(k, saved);
    if (kernel_launch(k, &e))
        return true;
    log_error("a kernel that was left cannot be started", F_STR("kernel", id),
              F_STR("why", e.text));
    kernel_forget(k, 1011, e.text, k->sandbox != NULL); /* that goes on without it */
    return false;
}

/* Removes a folder and the files in it. */
static void remove_dir(const char *parent, const char *name)
{
    scoped(string) char *dir = xasprintf("%s/%s", parent, name);
    journal_remove(dir);
}

/* What is there of the hosts that ended, until all are looked at. */
struct adopting {
    struct core *core;
    json_t *remains; /* see remains.h */
};

static void look_at(struct adopting *a, const char *id)
{
    scoped(json) json_t *saved = read_saved(a->core, id);
    if (saved && !take_up(a->core, id, saved) && !start_late(a->core, id, saved))
        remains_note(a->remains, saved);
}

/* Of one that goes on elsewhere, or not at all. */
static void clear(struct adopting *a, const char *id)
{
    if (kernels_any(a->core, id))
        return;
    scoped(json) json_t *saved = read_saved(a->core, id);
    const char *sandbox =
        json_string_value(json_object_get(json_object_get(saved, "sandbox"), "id"));
    if (sandbox && json_object_get(a->remains, sandbox))
        return; /* what it says is nowhere else yet */
    log_info("what a kernel left is cleared away", F_STR("kernel", id));
    kernel_table_ended(a->core->store, id, "the kernel ended while no gateway was there");
    remove_dir(a->core->kernels_dir, id);
}

static void each_id(struct adopting *a, const char *dir,
                    void (*each)(struct adopting *a, const char *id))
{
    DIR *handle = opendir(dir);
    struct dirent *entry;
    while (handle && (entry = readdir(handle)))
        if (id_valid(entry->d_name))
            each(a, entry->d_name);
    if (handle)
        closedir(handle);
}

static void remove_if_unowned(struct adopting *a, const char *id)
{
    struct core *c = a->core;
    if (kernels_any(c, id) || paused_holding(c, id))
        return;
    kernel_table_ended(c->store, id, "its lease ended while no gateway was there");
    remove_dir(c->logs_dir, id);
}

static void remove_folder_if_unowned(struct adopting *a, const char *id)
{
    struct core *c = a->core;
    for (size_t i = 0; i < c->sandbox_count; i++)
        if (strcmp(c->sandboxes[i]->id, id) == 0)
            return;
    if (vault_holds(c->vault, id) || json_object_get(a->remains, id))
        return; /* what is there cannot be used now; a person may mend it */
    log_info("what a sandbox left is cleared away", F_STR("sandbox", id));
    execution_table_remove(c->store, id);
    settling_sandbox_gone(c, id);
    sandbox_folder_remove(c, id, NULL, NULL);
}

void core_adopt(struct core *c)
{
    scoped(json) json_t *remains = json_object();
    struct adopting a = {c, remains};
    package_programs_clear(c);
    each_id(&a, c->kernels_dir, look_at);
    paused_load(c, remains);
    remains_find_dead(c, remains);
    each_id(&a, c->kernels_dir, clear);
    if (c->unread) { /* whose they are is not known; a person may mend it */
        log_warn("logs and folders that seem to be nobody's are not cleared away");
    } else {
        each_id(&a, c->logs_dir, remove_if_unowned);
        each_id(&a, c->sandboxes_dir, remove_folder_if_unowned);
    }
    for (size_t i = 0; i < c->sandbox_count; i++)
        command_runs_adopt(c->sandboxes[i]);
}
