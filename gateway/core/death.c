/* What happens when a host is gone: what it left is killed, its clients are told why, every request
 * it owed an answer gets one, and it is started again, as Jupyter's restarter does, unless it fails
 * again and again.
 *
 * Order: the host's last words (in the uplink's socket) are read before its death is told. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/core/notice.h"
#include "gateway/core/state.h"
#include "gateway/launch/process.h"
#include "gateway/launch/spawn.h"
#include "gateway/log.h"
#include "gateway/store/kernel_table.h"
#include "protocol/ids.h"

static char *why_it_died(const struct kernel *k)
{
    if (k->death_reason)
        return xstrdup(k->death_reason);
    scoped(string) char *log = xasprintf("%s/host.log", k->dir);
    scoped(string) char *line = k->was_attached ? NULL : spawn_last_line(log, 0);
    const char *colon = line ? ": " : "";
    const char *what = line ? line : "";
    if (k->exit_signal > 0)
        return xasprintf("the kernel's host was killed by signal %d (SIG%s)%s%s", k->exit_signal,
                         sigabbrev_np(k->exit_signal), colon, what);
    if (k->exit_status >= 0)
        return xasprintf("the kernel's host ended with exit status %d%s%s", k->exit_status, colon,
                         what);
    return xasprintf("the kernel's host ended%s%s", colon, what);
}

static const char *what_killed_it(const struct kernel *k)
{
    return k->death_cause ? k->death_cause : k->exit_signal > 0 ? "signal" : "exit_status";
}

/* One whose time was over is not started again. */
static bool is_final(const char *cause)
{
    return strcmp(cause, "idle") == 0 || strcmp(cause, "life") == 0;
}

/* To everybody who is attached: what becomes of the kernel, and why. */
static void publish_end(struct kernel *k, const char *state)
{
    scoped(buffer) struct buffer frame = {0};
    notice_end(&frame, k->id, state, k->cause, k->reason);
    kernel_publish(k, "", "status", &frame);
}

static void publish_status(struct kernel *k, struct bytes parent, const char *state)
{
    scoped(buffer) struct buffer frame = {0};
    notice_status(&frame, k->id, parent, state);
    kernel_publish(k, "", "status", &frame);
}

/* Gives a request that nobody will answer its error, its reply and its idle. */
static void answer_lost(struct kernel *k, const struct request *request, const char *reason)
{
    struct bytes parent = bytes_of(request->header);
    size_t stem = strlen(request->msg_type) - strlen("_request");
    scoped(string) char *reply_type = xasprintf("%.*s_reply", (int)stem, request->msg_type);
    if (strcmp(request->msg_type, "execute_request") == 0) {
        scoped(buffer) struct buffer error = {0};
        notice_error(&error, k->id, parent, "KernelDied", reason);
        kernel_publish(k, "", "error", &error);
    }
    scoped(buffer) struct buffer reply = {0};
    notice_lost_reply(&reply, k->id, parent, reply_type, channel_name(request->channel),
                      "KernelDied", reason);
    kernel_publish(k, request->identity, reply_type, &reply);
    publish_status(k, parent, "idle");
}

void kernel_answer_lost(struct kernel *k, const char *reason)
{
    struct request *request;
    while ((request = requests_take(&k->requests))) {
        answer_lost(k, request, reason);
        request_free(request);
    }
}

/* Of those that are in no sandbox: what is in one stays until somebody deletes it. */
static void drop_oldest_dead(struct core *c)
{
    struct kernel *oldest = NULL;
    size_t dead = 0;
    for (size_t i = 0; i < c->kernel_count; i++) {
        struct kernel *k = c->kernels[i];
        if (k->state != KERNEL_DEAD || k->readers || k->sandbox)
            continue;
        dead++;
        if (!oldest || k->last_activity.tv_sec < oldest->last_activity.tv_sec)
            oldest = k;
    }
    if (dead > DEAD_LIMIT)
        kernel_forget(oldest, 1000, "the kernel is dead", false);
}

void kernel_die(struct kernel *k, const char *cause, const char *reason)
{
    kernel_set_reason(k, cause, reason);
    k->state = KERNEL_DEAD;
    kernel_touch(k);
    publish_end(k, "dead");
    kernel_flush(k);
    kernel_table_ended(k->core->store, k->id, reason);
    kernel_save(k);
    k->core->counters.kernels_died++;
    if (k->sandbox)
        sandbox_died(k->sandbox);
    log_warn("kernel died", F_STR("kernel", k->id), F_STR("reason", reason));
    drop_oldest_dead(k->core);
}

static void restart_or_die(struct kernel *k, bool was_attached, const char *cause,
                           const char *reason)
{
    if (monotonic_ms() - k->launched_ms > RESTART_STABLE_MS)
        k->restarts = 0;
    if (!was_attached || k->restarts >= RESTART_LIMIT || is_final(cause)) {
        kernel_die(k, cause, reason);
        return;
    }
    k->restarts++;
    kernel_set_reason(k, cause, reason);
    k->state = KERNEL_RESTARTING;
    log_warn("kernel restarts", F_STR("kernel", k->id), F_STR("reason", reason),
             F_INT("attempt", k->restarts));
    publish_end(k, "restarting");
    kernel_flush(k);
    struct err e = {0};
    if (!kernel_launch(k, &e))
        kernel_die(k, "start", e.text);
}

static void let_go_of_host(struct kernel *k)
{
    kernel_flush(k);
    uplink_close(k->uplink);
    k->uplink = NULL;
    uv_timer_stop(&k->timer);
    process_kill_session(k->interpreter_session, k->interpreter_ticks);
    k->interpreter_session = 0;
    k->host_alive = false;
    kernel_close_handle(k, (uv_handle_t *)k->watch);
    k->watch = NULL;
    close(k->host.pidfd);
}

void kernel_host_ended(struct kernel *k)
{
    if (k->gone || !k->host_exited || uplink_connected(k->uplink))
        return;
    let_go_of_host(k);
    scoped(string) char *reason = why_it_died(k);
    scoped(string) char *cause = xstrdup(what_killed_it(k));
    struct core *c = k->core;
    if (k->ending || k->pooled || k->handing) {
        if (!k->ending)
            log_warn("a kernel of the pool ended", F_STR("kernel", k->id), F_STR("reason", reason));
        bool failed =
            !k->ending && !k->was_attached && !k->branching && !(k->sandbox && k->sandbox->paused);
        struct pool *pool = pool_of(k);
        kernel_table_ended(c->store, k->id, k->ending ? k->reason : reason);
        kernel_forget(k, 1000, k->ending ? k->reason : reason, false);
        if (failed)
            pool_failed(pool);
        pool_refill(c);
        return;
    }
    struct err e;
    fail(&e, 502, "%s", reason);
    bool was_attached = k->was_attached;
    kernel_fail_commands(k, &e);
    kernel_answer_lost(k, reason);
    restart_or_die(k, was_attached, cause, reason);
}
