/* The keeper's loop: who comes, what ends, and when the keeper itself does. Invariant: every child
 * is reaped here, by the one who knows it; when the keeper ends, nothing that it started is left.
 */
#include "sandbox/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/asker.h"
#include "sandbox/family.h"
#include "sandbox/fork_server.h"
#include "sandbox/lineage.h"
#include "sandbox/log.h"
#include "sandbox/opening.h"
#include "sandbox/pasta.h"
#include "sandbox/priority.h"
#include "sandbox/proxy.h"
#include "sandbox/sandbox.h"
#include "sandbox/start.h"
#include "sandbox/stock.h"

#define SWEEP_MS 5

/* --- askers */

static bool may_ask(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

static void on_listening(void *data, uint32_t events)
{
    struct keeper *k = data;
    (void)events;
    int fd = accept4(k->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (k->asker_count < ASKERS_MOST && may_ask(fd))
        asker_open(k, fd);
    else
        close(fd);
}

static void listen_no_more(struct keeper *k)
{
    watch_close(take(&k->listening));
    if (k->listen_fd >= 0)
        close(k->listen_fd);
    k->listen_fd = -1;
}

static bool on_before_sleep(void *data)
{
    askers_bury(data);
    return false;
}

/* --- what ends */

bool keeper_knows(struct keeper *k, pid_t pid)
{
    return start_of(k, pid) || sandbox_has(k, pid) || fork_server_has(k->fork_server, pid);
}

size_t keeper_kill_strangers(struct keeper *k)
{
    pid_t *pids = xcalloc(FAMILY_MOST, sizeof *pids);
    size_t count = family_children(getpid(), pids, 0), killed = 0;
    for (size_t n = 0; n < count; n++) {
        uint32_t mark;
        if (keeper_knows(k, pids[n]) || lineage_of(pids[n], &mark))
            continue;
        kill(pids[n], SIGKILL);
        killed++;
    }
    free(pids);
    return killed;
}

static void reap(struct keeper *k)
{
    siginfo_t info = {0};
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid) {
        pid_t pid = info.si_pid;
        if (!start_reap(k, pid) && !sandbox_reap(k, pid) &&
            !fork_server_reap(k->fork_server, pid)) {
            waitpid(pid, NULL, WNOHANG);
            fork_server_stranger(k->fork_server);
        }
        info.si_pid = 0;
    }
}

static void on_signal(void *data, int number)
{
    struct keeper *k = data;
    if (number == SIGCHLD) {
        reap(k);
        return;
    }
    keeper_log("told to end by signal %d", number);
    keeper_end(k);
}

struct sweep {
    struct sweep *next;
    uint32_t mark;
    uint32_t number;
};

static void end_sweep(struct keeper *k, struct sweep *done)
{
    struct asker *a = done->number ? asker_of(k, done->mark) : NULL;
    if (a)
        asker_tell(a, WIRE_OK, done->number, NULL);
    free(done);
}

static void on_sweep(void *data)
{
    struct keeper *k = data;
    struct sweep *old = take(&k->sweeps);
    while (old) {
        struct sweep *s = old;
        old = s->next;
        if (lineage_kill(s->mark) > 0) {
            s->next = k->sweeps;
            k->sweeps = s;
        } else {
            end_sweep(k, s);
        }
    }
    if (k->sweeps)
        timer_start(k->sweep, SWEEP_MS);
    else
        keeper_settle(k);
}

void keeper_sweep(struct keeper *k, uint32_t mark, uint32_t number)
{
    struct sweep *s = xcalloc(1, sizeof *s);
    *s = (struct sweep){k->sweeps, mark, number};
    k->sweeps = s;
    timer_start(k->sweep, 0);
}

static void on_pasta(void *data, uint32_t events)
{
    struct keeper *k = data;
    (void)events;
    if (openings_hear(k))
        return;
    keeper_log(PASTA_PROGRAM " has ended, and with it every way to the outside");
    watch_close(take(&k->pasta_watch));
    outsider_free(take(&k->pasta));
    sandboxes_lose_network(k);
}

static void on_tick(void *data)
{
    sandboxes_tick(data);
}

/* --- its own end */

static void on_idle(void *data)
{
    struct keeper *k = data;
    keeper_log("nobody was connected for %lld seconds", (long long)k->options->idle_s);
    keeper_end(k);
}

void keeper_settle(struct keeper *k)
{
    bool busy = k->start_count > 0 || k->sandbox_count > 0 || k->sweeps;
    if (k->ending) {
        if (!busy && !k->sandboxes && fork_server_ended(k->fork_server))
            loop_stop(k->loop, 0);
        return;
    }
    if (k->draining && !busy)
        keeper_end(k);
    else if (k->asker_count > 0 || busy)
        timer_stop(k->idle);
    else if (k->options->idle_s > 0 && !timer_running(k->idle))
        timer_start(k->idle, k->options->idle_s * 1000);
}

void keeper_drain(struct keeper *k)
{
    if (k->draining || k->ending)
        return;
    keeper_log("drains: %zu processes run", k->start_count);
    k->draining = true;
    listen_no_more(k);
    keeper_settle(k);
}

void keeper_end(struct keeper *k)
{
    if (k->ending)
        return;
    keeper_log("ends");
    k->ending = true;
    listen_no_more(k);
    fork_server_end(k->fork_server);
    for (struct start *s = k->starts; s; s = s->next)
        start_kill(s);
    sandboxes_end(k);
    keeper_settle(k);
}

static json_t *confinement(const struct keeper *k)
{
    if (!k->world)
        return json_pack("{s:s, s:[]}", "profile", "owner", "missing");
    json_t *report = world_report(k->world), *groups = governor_report(k->governor);
    json_array_extend(json_object_get(report, "missing"), json_object_get(groups, "missing"));
    json_object_set(report, "cgroup", json_object_get(groups, "cgroup"));
    json_decref(groups);
    return report;
}

json_t *keeper_status(struct keeper *k)
{
    return json_pack("{s:o, s:I, s:i, s:i, s:i, s:o, s:o}", "fork_server",
                     fork_server_status(k->fork_server), "cold", (json_int_t)k->cold_starts,
                     "askers", (int)k->asker_count, "processes", (int)k->start_count, "spare",
                     (int)stock_count(k), "sandboxes", sandboxes_status(k), "confinement",
                     confinement(k));
}

/* Descriptors of many askers and sandboxes are held at once. */
static void raise_nofile(struct keeper *k)
{
    getrlimit(RLIMIT_NOFILE, &k->nofile);
    struct rlimit most = {k->nofile.rlim_max, k->nofile.rlim_max};
    setrlimit(RLIMIT_NOFILE, &most);
}

static void keeper_close(struct keeper *k)
{
    family_kill();
    for (struct asker *a = k->askers; a; a = a->next) {
        if (a->waits_for_end)
            asker_tell(a, WIRE_OK, a->end_number, NULL);
        asker_leave(a);
    }
    askers_bury(k);
    fork_server_free(k->fork_server);
    listen_no_more(k);
    close(k->null_fd);
    stock_free(k->stock);
    timer_close(k->idle);
    timer_close(k->sweep);
    timer_close(k->tick);
    while (k->sweeps) {
        struct sweep *s = k->sweeps;
        k->sweeps = s->next;
        free(s);
    }
    governor_free(k->governor);
    outsider_free(k->proxy);
    watch_close(k->pasta_watch);
    outsider_free(k->pasta);
    loop_free(k->loop);
}

int keeper_run(const struct keeper_options *options, int listen_fd, struct world *world,
               struct governor *governor, struct outsider *proxy, struct outsider *pasta)
{
    struct keeper k = {.options = options,
                       .listen_fd = listen_fd,
                       .world = world,
                       .governor = governor,
                       .proxy = proxy,
                       .pasta = pasta};
    k.loop = loop_new();
    k.null_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    raise_nofile(&k);
    priority_raise();
    loop_signals(k.loop, on_signal, &k);
    k.idle = loop_timer(k.loop, on_idle, &k);
    k.sweep = loop_timer(k.loop, on_sweep, &k);
    k.tick = loop_timer(k.loop, on_tick, &k);
    k.listening = loop_watch(k.loop, listen_fd, EPOLLIN, on_listening, &k);
    if (pasta)
        k.pasta_watch = loop_watch(k.loop, outsider_fd(pasta), EPOLLIN, on_pasta, &k);
    loop_before_sleep(k.loop, on_before_sleep, &k);
    if (options->fork_server)
        k.fork_server = fork_server_new(&k, options->fork_server);
    if (world && options->stock > 0)
        k.stock = stock_new(&k, (size_t)options->stock);
    keeper_settle(&k);
    int status = loop_run(k.loop);
    keeper_close(&k);
    return status;
}
