/* warmcell-kernel: reads the command line, opens the frontends, starts the interpreter, runs the
 * loop, and leaves nothing behind. */
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/host/command.h"
#include "kernel/host/keeper_client.h"
#include "kernel/host/kernel.h"
#include "kernel/host/options.h"
#include "kernel/host/parent.h"
#include "kernel/host/relay.h"
#include "kernel/host/report.h"
#include "kernel/host/sockets.h"
#include "kernel/host/unacked.h"
#include "kernel/host/uplink.h"
#include "protocol/json.h"
#include "sandbox/family.h"
#include "sandbox/warm_place.h"

struct host {
    struct loop *loop;
    struct options options;
    struct command command;
    struct connection connection;
    char *history_file;
    struct keeper_plan keeper_plan;
    struct keeper_client *keeper; /* NULL: interpreters are children of ours */
    char *warm_socket;            /* owned */
    struct backend *backend;      /* the kernel's or the relay's, as are the next three */
    struct publisher *publisher;
    struct receiver receiver;
    const struct backend_end *end;
    struct kernel kernel;
    struct relay *relay; /* NULL without --relay */
    struct sockets *sockets;
    struct uplink *uplink;
    struct parent *parent;
};

static void end_orderly(struct host *host, enum cause cause, const char *reason)
{
    host->backend->class->stop(host->backend, cause, reason, (struct outcome){0});
}

static void on_parent_gone(void *data)
{
    end_orderly(data, CAUSE_PARENT, "the process that started the kernel is gone");
}

/* Every child that has ended: the interpreter is told before it is waited for, strays are just
 * reaped. */
static void reap(struct host *host)
{
    siginfo_t info = {0};
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid) {
        pid_t pid = info.si_pid;
        host->backend->class->reaped(host->backend, pid);
        waitpid(pid, NULL, WNOHANG);
        info.si_pid = 0;
    }
}

static void on_signal(void *data, int number)
{
    struct host *host = data;
    switch (number) {
    case SIGCHLD:
        reap(host);
        break;
    case SIGINT: /* the launcher interrupts the cell by a signal to our group */
        host->backend->class->interrupt(host->backend, (struct outcome){0});
        break;
    default:
        end_orderly(host, CAUSE_ASKED, "the kernel was ended by a signal");
    }
}

/* The first message to every subscriber. Source: messaging, "Welcome message". */
static void on_subscribed(void *data, struct bytes topic)
{
    struct host *host = (struct host *)((char *)data - offsetof(struct host, kernel));
    struct buffer content = {0}, header = {0};
    buffer_add_text(&content, "{\"subscription\":");
    json_quote(&content, topic);
    buffer_add_text(&content, "}");
    header_build(&header, "iopub_welcome", host->kernel.publisher.session,
                 host->kernel.publisher.username);
    struct message m = {.channel = CHANNEL_IOPUB,
                        .header = buffer_view(&header),
                        .parent = bytes_of("{}"),
                        .metadata = bytes_of("{}"),
                        .content = buffer_view(&content)};
    sockets_publish_to(host->sockets, topic, &m);
    buffer_free(&header);
    buffer_free(&content);
}

static bool open_sockets(struct host *host, struct err *e)
{
    const char *path = host->options.connection_file;
    if (!path)
        return true;
    if (!connection_read(path, &host->connection, e))
        return false;
    host->sockets = sockets_open(host->loop, &host->connection, &host->receiver, on_subscribed, e);
    if (!host->sockets)
        return false;
    publisher_add(host->publisher, sockets_frontend(host->sockets));
    host->kernel.connection = &host->connection;
    return connection_write(&host->connection, path, e);
}

static void on_lease_over(void *data)
{
    end_orderly(data, CAUSE_LEASE, "no gateway was attached within the lease");
}

static bool open_uplink(struct host *host, struct err *e)
{
    if (!host->options.uplink)
        return true;
    struct uplink_plan plan = {
        .path = host->options.uplink,
        .listen_fd = host->options.uplink_fd,
        .lease_s = host->options.lease_s,
        .connection_file = host->relay ? host->options.relay : host->options.connection_file,
        .memory_bytes = UNACKED_MEMORY_BYTES,
        .receiver = host->receiver,
        .backend = host->backend,
        .on_lease_over = on_lease_over,
        .data = host,
    };
    host->uplink = uplink_open(host->loop, &plan, e);
    if (host->uplink)
        publisher_add(host->publisher, uplink_frontend(host->uplink));
    return host->uplink != NULL;
}

static void on_all_told(void *data)
{
    struct host *host = data;
    loop_stop(host->loop, host->end->exit_status);
}

/* The kernel is over; the gateway still gets what it has not stored, and the reason. */
static void on_kernel_end(void *data)
{
    struct host *host = data;
    if (host->keeper)
        keeper_client_leave(host->keeper);
    if (host->uplink)
        uplink_finish(host->uplink, host->end, on_all_told, host);
    else
        on_all_told(host);
}

static const char *username(void)
{
    const char *name = getenv("USER");
    const struct passwd *entry = name && *name ? NULL : getpwuid(getuid());
    return name && *name ? name : entry ? entry->pw_name : "kernel";
}

static void find_history(struct host *host)
{
    const char *given = host->options.history;
    if (given && strcmp(given, "none") == 0)
        return;
    host->history_file = given ? xstrdup(given) : history_default_file();
}

static void open_history(struct host *host)
{
    struct history_events events = {history_on_session, history_on_answer, &host->kernel};
    if (host->history_file)
        host->kernel.history =
            history_open(host->loop, host->history_file, host->options.sandbox != NULL, &events);
}

static bool open_relay(struct host *host, struct err *e)
{
    struct relay_plan plan = {
        .argv = host->options.argv,
        .connection_file = host->options.relay,
        .ipc = strcmp(host->options.relay_transport, "ipc") == 0,
        .interrupt_by_message = strcmp(host->options.interrupt_mode, "message") == 0,
        .username = username(),
        .on_end = on_kernel_end,
        .data = host,
    };
    struct relay *relay = host->relay = relay_open(host->loop, &plan, e);
    if (!relay)
        return false;
    host->backend = &relay->backend;
    host->publisher = &relay->publisher;
    host->receiver = (struct receiver){relay_take, relay_relief, relay};
    host->end = &relay->end;
    if (!open_uplink(host, e))
        return false;
    host->parent = parent_watch(host->loop, on_parent_gone, host);
    relay_start(relay);
    return true;
}

static bool is_cold(const struct host *host)
{
    const char *told = getenv("WARMCELL_COLD");
    return host->options.cold || !host->command.embedded || (told && strcmp(told, "1") == 0);
}

/* The one that was named; or, for a kernel as JupyterLab starts it, the user's own where it runs.
 */
static bool open_keeper(struct host *host, struct err *e)
{
    const struct options *o = &host->options;
    host->keeper_plan = (struct keeper_plan){
        .socket = o->keeper, .sandbox = o->sandbox, .file = o->sandbox_plan, .cold = is_cold(host)};
    if (!o->keeper && o->connection_file && !o->uplink && !is_cold(host)) {
        host->warm_socket = warm_place(host->command.embedded, NULL);
        if (host->warm_socket && access(host->warm_socket, W_OK) == 0)
            host->keeper_plan.socket = host->warm_socket;
    }
    if (!host->keeper_plan.socket)
        return true;
    host->keeper = keeper_client_new(host->loop, &host->keeper_plan, e);
    return host->keeper != NULL;
}

static bool open_kernel(struct host *host, struct err *e)
{
    if (!command_find(&host->options, &host->command, e) || !open_keeper(host, e) ||
        !run_limits_read(host->keeper ? keeper_client_limits(host->keeper) : NULL,
                         &host->options.limits, e))
        return false;
    find_history(host);
    kernel_open(&host->kernel, host->loop,
                &(struct kernel_plan){
                    .argv = host->command.argv,
                    .keeper = host->keeper,
                    .connection_file = host->options.connection_file,
                    .history_file = host->history_file,
                    .python_version = host->command.python_version,
                    .username = username(),
                    .await_branch = host->options.await_branch,
                    .renews = host->options.renew,
                    .generation = (uint64_t)host->options.generation,
                    .limits = host->options.limits,
                    .on_end = on_kernel_end,
                    .data = host,
                });
    host->backend = &host->kernel.backend;
    host->publisher = &host->kernel.publisher;
    host->receiver = (struct receiver){kernel_take, kernel_relief, &host->kernel};
    host->end = &host->kernel.end;
    if (!open_sockets(host, e) || !open_uplink(host, e))
        return false;
    open_history(host);
    host->parent = parent_watch(host->loop, on_parent_gone, host);
    kernel_start(&host->kernel);
    return true;
}

static void host_close(struct host *host)
{
    kernel_close(&host->kernel);
    keeper_client_free(host->keeper);
    relay_close(host->relay);
    family_kill();
    uplink_close(host->uplink);
    sockets_close(host->sockets);
    parent_close(host->parent);
    connection_free(&host->connection);
    command_free(&host->command);
    free(host->history_file);
    free(host->warm_socket);
    loop_free(host->loop);
}

static int serve(const struct options *options)
{
    struct host host = {.options = *options};
    struct err e;
    host.loop = loop_new();
    loop_signals(host.loop, on_signal, &host);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    int status = 1;
    if (options->relay ? open_relay(&host, &e) : open_kernel(&host, &e))
        status = loop_run(host.loop);
    else
        report("%s", e.text);
    host_close(&host);
    return status;
}

int main(int argc, char **argv)
{
    struct options options;
    struct err e;
    if (!options_parse(argc, argv, &options, &e)) {
        report("%s", e.text);
        return 2;
    }
    if (options.help) {
        options_print_help();
        return 0;
    }
    if (options.version) {
        puts("warmcell-kernel " WARMCELL_VERSION);
        return 0;
    }
    return serve(&options);
}
