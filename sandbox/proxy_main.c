/* warmcell-proxy: lets sandboxes reach the hosts that their lists name, and nothing else. Started
 * by a keeper, from which it gets a listening socket and a list for each sandbox; it ends when the
 * keeper does. It has no right but to connect: no capability, a uid of its own where it was started
 * as root, no way to gain any, and the few system calls of filter_proxy.inc. Invariant: no byte
 * that a sandbox sends is looked at before that. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "protocol/memory.h"
#include "sandbox/filter.h"
#include "sandbox/proxy.h"
#include "sandbox/proxy_audit.h"
#include "sandbox/proxy_tunnel.h"

#define BACKLOG     64
#define DESCRIPTORS (2 * TUNNELS_ALL_MOST + 1024)
#define STEP_MS     10000
#define IDLE_MS     600000

struct options {
    int control_fd;
    uid_t uid;
    const char *audit;
    struct patience patience;
};

static struct options options = {.control_fd = -1, .patience = {STEP_MS, IDLE_MS}};
static struct box *boxes;
static size_t tunnels;

/* --- boxes */

static struct box *box_of(const char *id)
{
    for (struct box *b = boxes; b; b = b->next)
        if (!b->closing && strcmp(b->id, id) == 0)
            return b;
    return NULL;
}

static void box_free_when_done(struct box *box)
{
    if (!box->closing || box->tunnel_count > 0 || box->listener.data)
        return;
    struct box **at = &boxes;
    while (*at != box)
        at = &(*at)->next;
    *at = box->next;
    allow_free(&box->allow);
    free(box->id);
    free(box);
}

static bool has_room(const struct box *box)
{
    return !box->closing && box->tunnel_count < TUNNELS_MOST && tunnels < TUNNELS_ALL_MOST;
}

static void on_less(struct box *box);

static void accept_one(struct box *box)
{
    box->waiting = false;
    tunnels++;
    tunnel_accept(box, &options.patience, on_less);
}

/* libuv does not tell again of a connection that was not accepted: those that wait are remembered.
 */
static void on_less(struct box *box)
{
    tunnels--;
    box_free_when_done(box);
    for (struct box *b = boxes; b; b = b->next)
        if (b->waiting && has_room(b))
            accept_one(b);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct box *box = listener->data;
    if (status != 0 || !box)
        return;
    if (has_room(box))
        accept_one(box);
    else
        box->waiting = true;
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct box *box = handle->data;
    handle->data = NULL;
    box_free_when_done(box);
}

static void box_close(struct box *box)
{
    box->closing = true;
    box->waiting = false;
    uv_close((uv_handle_t *)&box->listener, on_listener_closed);
    tunnels_close(box);
}

/* Takes the socket. */
static void box_open(uv_loop_t *loop, const char *id, json_t *list, int fd)
{
    struct err e = {0};
    struct box *box = xcalloc(1, sizeof *box);
    box->id = xstrdup(id);
    uv_tcp_init(loop, &box->listener);
    box->listener.data = box;
    box->next = boxes;
    boxes = box;
    if (!allow_read(list, &box->allow, &e) || uv_tcp_open(&box->listener, fd) != 0) {
        close(fd);
        box_close(box);
    } else if (uv_listen((uv_stream_t *)&box->listener, BACKLOG, on_connection) != 0) {
        box_close(box);
    }
}

/* --- the keeper */

static void obey(uv_loop_t *loop, struct wire_message *m)
{
    const char *id = json_string_value(json_object_get(m->body, "sandbox"));
    const char *to = json_string_value(json_object_get(m->body, "to"));
    struct box *before = id ? box_of(id) : NULL;
    if (before && to && m->kind == PROXY_RENAME) {
        free(before->id);
        before->id = xstrdup(to);
        return;
    }
    if (before)
        box_close(before);
    if (id && m->kind == PROXY_OPEN && m->fd_count == 1) {
        box_open(loop, id, json_object_get(m->body, "allow"), m->fds[0]);
        m->fds[0] = -1;
    }
}

static void on_control(uv_poll_t *poll, int status, int events)
{
    struct wire_message m = {0};
    struct err e = {0};
    int got = 1;
    (void)events;
    while (status == 0 && (got = wire_receive(options.control_fd, &m, &e)) == 1) {
        obey(poll->loop, &m);
        wire_message_free(&m);
    }
    /* what is not a message is passed over; without a keeper there are no sandboxes */
    if (status != 0 || (got < 0 && e.status == 0))
        _exit(0);
    wire_message_free(&m);
}

/* --- rights */

static bool give_up_rights(struct err *e)
{
    struct rlimit none = {0}, files = {DESCRIPTORS, DESCRIPTORS};
    setrlimit(RLIMIT_CORE, &none);
    setrlimit(RLIMIT_NOFILE, &files);
    if (options.uid != 0 && geteuid() == 0) {
        gid_t gid = (gid_t)options.uid;
        if (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 ||
            setresuid(options.uid, options.uid, options.uid) != 0)
            return fail_errno(e, 503, "cannot become uid %u", (unsigned)options.uid);
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return fail_errno(e, 503, "cannot give up rights");
    /* a kernel without seccomp: a keeper of policy required does not start there */
    if (filter_install(FILTER_PROXY) != 0 && errno != ENOSYS && errno != EINVAL)
        return fail_errno(e, 503, "cannot install the filter of system calls");
    return true;
}

static bool read_number(const char *text, uint64_t most, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    *out = number;
    return end != text && *end == '\0' && errno == 0 && number <= most;
}

static bool read_options(int argc, char **argv)
{
    static const struct option table[] = {
        {"control-fd", required_argument, NULL, 'c'}, {"audit", required_argument, NULL, 'a'},
        {"uid", required_argument, NULL, 'u'},        {"step-ms", required_argument, NULL, 's'},
        {"idle-ms", required_argument, NULL, 'i'},    {0},
    };
    uint64_t number = 0;
    for (int c; (c = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        bool right = c == 'a' || (c != '?' && read_number(optarg, UINT32_MAX - 1, &number));
        if (!right)
            return false;
        if (c == 'a')
            options.audit = optarg;
        else if (c == 'c')
            options.control_fd = (int)number;
        else if (c == 'u')
            options.uid = (uid_t)number;
        else if (c == 's')
            options.patience.step_ms = number;
        else
            options.patience.idle_ms = number;
    }
    return optind == argc && options.control_fd >= 0;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    uv_loop_t *loop = uv_default_loop();
    uv_poll_t poll;
    if (!read_options(argc, argv)) {
        fputs("usage: warmcell-proxy --control-fd N [--uid N] [--audit FILE] [--step-ms N] "
              "[--idle-ms N]\nIt is started by warmcell-keeper.\n",
              stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    fcntl(options.control_fd, F_SETFL, O_NONBLOCK);
    fcntl(options.control_fd, F_SETFD, FD_CLOEXEC);
    if ((options.audit && !audit_open(options.audit, &e)) || !give_up_rights(&e)) {
        fprintf(stderr, "warmcell-proxy: %s\n", e.text);
        return 1;
    }
    if (uv_poll_init(loop, &poll, options.control_fd) != 0 ||
        uv_poll_start(&poll, UV_READABLE | UV_DISCONNECT, on_control) != 0) {
        fputs("warmcell-proxy: the control socket is none\n", stderr);
        return 1;
    }
    return uv_run(loop, UV_RUN_DEFAULT);
}
