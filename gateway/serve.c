/* Starts the server, says where it is, and ends it in order: on the first SIGTERM or SIGINT clients
 * get their replies, on the second everything is closed at once; on SIGUSR1 when nothing runs. */
#include "gateway/serve.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "gateway/home.h"
#include "gateway/idle.h"
#include "gateway/log.h"
#include "gateway/net/server.h"
#include "gateway/options.h"
#include "gateway/server_record.h"

struct gateway {
    struct settings settings;
    uv_loop_t loop;
    uv_signal_t signals[4];
    struct server *server;
    const struct service *service;
    void *served; /* what service->open returned */
    struct home home;
    struct idle idle;
    bool ending;
    int waiting; /* for the drains of the server and the service */
};

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* The port alone on one line, visible only when whole. */
static bool write_port_file(const char *path, int port, struct err *e)
{
    scoped(string) char *partial = xasprintf("%s.%d", path, (int)getpid());
    FILE *file = fopen(partial, "we");
    if (!file)
        return fail_errno(e, 400, "port-file: cannot write %s", path);
    bool ok = fprintf(file, "%d\n", port) > 0;
    ok = fclose(file) == 0 && ok;
    if (ok && rename(partial, path) == 0)
        return true;
    fail_errno(e, 400, "port-file: cannot write %s", path);
    unlink(partial);
    return false;
}

/* A token of the operator's own is not printed: they know it, and stdout ends up in logs. */
static void announce(const struct gateway *g)
{
    const struct settings_net *net = &g->settings.net;
    bool show = *net->token && !net->token_given && !*net->socket;
    printf("warmcell is ready at %s%s%s\n", server_url(g->server), show ? "?token=" : "",
           show ? net->token : "");
    fflush(stdout);
    log_info("listening", F_STR("url", server_url(g->server)));
}

/* Without it this gateway works as well: its user's tools have to be told where it is. */
static void leave_record(const struct gateway *g)
{
    struct err e = {0};
    char url[512];
    snprintf(url, sizeof url, "%s", server_url(g->server));
    const struct server_record record = {url, g->settings.net.base_url, g->settings.net.token};
    scoped(string) char *dir = options_runtime_dir();
    if (!server_record_write(dir, &record, &e))
        log_warn("tools of this user will not find this gateway", F_STR("why", e.text));
}

/* Leaves nothing in the loop. The server goes first: its last sockets tell the service that they
 * close. */
static void finish(struct gateway *g)
{
    for (size_t i = 0; i < countof(g->signals); i++)
        if (g->signals[i].data)
            uv_close((uv_handle_t *)&g->signals[i], NULL);
    idle_close(&g->idle);
    if (g->server)
        server_close(g->server, NULL, NULL);
    if (g->served)
        g->service->close(g->served);
}

static void on_drained(void *user)
{
    struct gateway *g = user;
    if (--g->waiting == 0)
        finish(g);
}

/* When the server stops to listen, as the path of a Unix socket: once the folders are free both may
 * be the next gateway's. */
static void remove_traces(const struct gateway *g)
{
    if (*g->settings.net.port_file)
        unlink(g->settings.net.port_file);
}

static void remove_record(void)
{
    scoped(string) char *dir = options_runtime_dir();
    server_record_remove(dir);
}

static void begin_ending(struct gateway *g)
{
    g->ending = true;
    g->waiting = 2;
    remove_traces(g);
    server_drain(g->server, on_drained, g);
    g->service->drain(g->served, on_drained, g);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct gateway *g = handle->data;
    if (g->ending) {
        log_warn("ending at once", F_INT("signal", number));
        remove_record();
        _exit(1);
    }
    log_info("ending", F_INT("signal", number));
    begin_ending(g);
}

static bool in_use(void *user)
{
    const struct gateway *g = user;
    return server_connections(g->server) || (g->service->in_use && g->service->in_use(g->served));
}

static uint64_t uses(void *user)
{
    const struct gateway *g = user;
    return server_accepted(g->server);
}

static void on_idle(void *user)
{
    struct gateway *g = user;
    if (g->ending)
        return;
    log_info("ending: nobody uses this gateway", F_INT("idle_s", g->settings.net.idle_exit_s));
    begin_ending(g);
}

static void on_reload(uv_signal_t *handle, int number)
{
    const struct gateway *g = handle->data;
    (void)number;
    server_reload(g->server);
}

static const struct idle_words idle_words = {in_use, uses, on_idle};

/* SIGUSR1: what it runs was installed anew, and another one waits for its place. Clients that have
 * nothing running come back to that. */
static void on_retire(uv_signal_t *handle, int number)
{
    struct gateway *g = handle->data;
    (void)number;
    if (g->ending)
        return;
    log_info("ending as soon as nothing runs");
    if (!g->service->in_use || !g->service->in_use(g->served))
        begin_ending(g);
    else if (g->idle.timer.data)
        g->idle.idle_ms = 0;
    else
        idle_watch(&g->idle, &g->loop, 0, &idle_words, g);
}

static void watch_signals(struct gateway *g)
{
    static const struct {
        int number;
        uv_signal_cb callback;
    } rows[countof(g->signals)] = {
        {SIGTERM, on_signal}, {SIGINT, on_signal}, {SIGHUP, on_reload}, {SIGUSR1, on_retire}};
    for (size_t i = 0; i < countof(rows); i++) {
        if (rows[i].number == SIGHUP && !server_reloads(g->server))
            continue; /* the end of a terminal ends the gateway, as that of any program */
        uv_signal_init(&g->loop, &g->signals[i]);
        g->signals[i].data = g;
        uv_signal_start(&g->signals[i], rows[i].callback, rows[i].number);
    }
}

static bool start(struct gateway *g, struct err *e)
{
    g->server = server_new(&g->settings.net, &g->loop, e);
    if (!g->server)
        return false;
    g->home = (struct home){g->server};
    server_add_routes(g->server, &home_routes, &g->home);
    if (!server_listen(g->server, e))
        return false;
    g->served = g->service->open(&g->settings, &g->loop, g->server, e);
    if (!g->served || e->status)
        return false;
    leave_record(g);
    if (*g->settings.net.port_file &&
        !write_port_file(g->settings.net.port_file, server_port(g->server), e))
        return false;
    watch_signals(g);
    if (g->settings.net.idle_exit_s)
        idle_watch(&g->idle, &g->loop, g->settings.net.idle_exit_s, &idle_words, g);
    announce(g);
    return true;
}

static int run(struct gateway *g)
{
    struct err e = {0};
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    uv_loop_init(&g->loop);
    bool ok = start(g, &e);
    if (!ok) {
        fprintf(stderr, "warmcell: %s\n", e.text);
        g->waiting = 1;
        if (g->served)
            g->service->drain(g->served, on_drained, g);
        else
            finish(g);
    }
    uv_run(&g->loop, UV_RUN_DEFAULT);
    uv_loop_close(&g->loop);
    remove_record();
    return ok ? 0 : 1;
}

int serve_run(char *const *args, size_t count, const struct service *service)
{
    struct gateway g = {.service = service};
    struct err e = {0};
    int status = 2;
    if (options_resolve(args, count, &g.settings, &e)) {
        log_setup(g.settings.log_level, g.settings.log_json);
        status = run(&g);
    } else {
        fprintf(stderr, "warmcell: %s\n", e.text);
    }
    settings_free(&g.settings);
    return status;
}
