/* warmcell-pasta: the ways out of a keeper's sandboxes whose network is "full". It starts a pasta
 * for each, starts it anew when it ends, and follows what the machine calls its own: an address
 * that it gets is forbidden to every sandbox at once.
 *
 * It parses what its keeper and the kernel say, and nothing of a sandbox. Invariant: each pasta is
 * a child of this process and is killed by the kernel when this process ends. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/rtnetlink.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/ids.h"
#include "protocol/json.h"
#include "protocol/memory.h"
#include "sandbox/log.h"
#include "sandbox/loop.h"
#include "sandbox/outside.h"
#include "sandbox/pasta.h"
#include "sandbox/pasta_process.h"
#include "sandbox/way.h"
#include "sandbox/wire.h"

#define CONTROL_FD    3
#define LOOK_AGAIN_MS 10
#define LIVED_LONG_MS 60000
#define BACKOFF_MS    1000
#define BACKOFF_MOST  30000
#define PASSAGES_MOST 4096
#define WORDS_BYTES   300
#define NETLINK_GROUPS                                                                             \
    (RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR)

struct passage {
    struct passage *next;
    char *id; /* owned */
    struct way way;
    struct pasta_process pasta;
    int64_t began_ms, backoff_ms;
    struct timer *again;
    int init_pidfd; /* owned */
    struct watch *init;
};

static struct {
    struct loop *loop;
    struct outside outside;
    int netlink_fd, signal_fd;
    struct timer *look_again;
    struct passage *passages;
    size_t count;
    bool settled; /* it has the uid that it keeps */
} all;

static void on_again(void *data);

/* --- one passage */

static bool open_passage(struct passage *p, struct err *e)
{
    char program[PATH_MAX];
    const char *why, *remedy;
    struct way_guide guide;
    if (!pasta_find(program, &why, &remedy))
        return fail(e, 501, "network: \"full\" cannot be had here: %s; %s", why, remedy);
    if (!all.outside.v4 && !all.outside.v6)
        return fail(e, 503, "network: this machine has no default route, so there is no outside");
    if (!way_open(&p->way, &all.outside, &guide, e))
        return false;
    if (!pasta_process_start(&p->pasta, program, guide.pid, &all.outside, e)) {
        way_abandon(&guide);
        return false;
    }
    p->began_ms = monotonic_ms();
    if (way_attach(&guide, e))
        return true;
    pasta_process_kill(&p->pasta);
    return false;
}

static void close_passage(struct passage *p)
{
    for (struct passage **at = &all.passages; *at; at = &(*at)->next) {
        if (*at == p) {
            *at = p->next;
            all.count--;
            break;
        }
    }
    timer_close(p->again);
    watch_close(p->init);
    close(p->init_pidfd);
    pasta_process_kill(&p->pasta);
    way_close(&p->way);
    free(p->id);
    free(p);
}

static void try_later(struct passage *p)
{
    timer_start(p->again, p->backoff_ms);
    p->backoff_ms = p->backoff_ms == 0 ? BACKOFF_MS : 2 * p->backoff_ms;
    if (p->backoff_ms > BACKOFF_MOST)
        p->backoff_ms = BACKOFF_MOST;
}

static void on_again(void *data)
{
    struct passage *p = data;
    struct err e;
    if (open_passage(p, &e))
        return;
    keeper_log("sandbox %s is without its network: %s", p->id, e.text);
    try_later(p);
}

static void bury(struct passage *p, int status)
{
    char words[WORDS_BYTES];
    pasta_process_bury(&p->pasta, words, sizeof words);
    keeper_log("pasta of sandbox %s ended (%s %d)%s%s, it is started anew", p->id,
               WIFEXITED(status) ? "status" : "signal",
               WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), *words ? ": " : "",
               words);
    if (monotonic_ms() - p->began_ms > LIVED_LONG_MS)
        p->backoff_ms = 0;
    try_later(p);
}

static void on_child(void *data, uint32_t events)
{
    struct signalfd_siginfo info;
    (void)data;
    (void)events;
    while (read(all.signal_fd, &info, sizeof info) == sizeof info)
        ;
    for (struct passage *p = all.passages; p; p = p->next) {
        int status;
        if (p->pasta.pid > 0 && waitpid(p->pasta.pid, &status, WNOHANG) == p->pasta.pid)
            bury(p, status);
    }
}

/* --- the outside changes */

static void forbid(struct passage *p)
{
    struct err e;
    if (way_forbid(&p->way, &all.outside, &e))
        return;
    /* without that the sandbox could reach what it must not */
    keeper_log("sandbox %s loses its network: %s", p->id, e.text);
    pasta_process_kill(&p->pasta);
    try_later(p);
}

static bool look(struct err *e)
{
    struct outside now;
    if (!outside_read(&now, e))
        return false;
    bool same_way = outside_same_way(&all.outside, &now);
    bool known = outside_has_own(&all.outside, &now);
    outside_free(&all.outside);
    all.outside = now;
    for (struct passage *p = all.passages; p; p = p->next) {
        if (!known)
            forbid(p);
        if (!same_way && p->pasta.pid > 0) {
            keeper_log("the machine's network changed: pasta of sandbox %s is started anew", p->id);
            pasta_process_kill(&p->pasta);
            p->backoff_ms = 0;
            try_later(p);
        }
    }
    return true;
}

static void on_look_again(void *data)
{
    struct err e;
    (void)data;
    if (look(&e))
        return;
    keeper_log("%s", e.text);
    timer_start(all.look_again, BACKOFF_MS);
}

/* Many changes come together: the look is a moment later. */
static void on_netlink(void *data, uint32_t events)
{
    char ignored[8192];
    ssize_t got;
    (void)data;
    (void)events;
    while ((got = recv(all.netlink_fd, ignored, sizeof ignored, MSG_DONTWAIT)) > 0 ||
           (got < 0 && (errno == ENOBUFS || errno == EINTR)))
        ;
    if (all.passages && !timer_running(all.look_again))
        timer_start(all.look_again, LOOK_AGAIN_MS);
}

/* --- the keeper's words */

static void on_init_ended(void *data, uint32_t events)
{
    (void)events;
    close_passage(data);
}

static struct passage *find(const char *id)
{
    for (struct passage *p = all.passages; p; p = p->next)
        if (strcmp(p->id, id) == 0)
            return p;
    return NULL;
}

/* From now on no more than the owner of the sandboxes' user namespaces. */
static bool settle(uid_t uid, struct err *e)
{
    if (all.settled)
        return true;
    if (uid != 0 && geteuid() == 0 &&
        (setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0))
        return fail_errno(e, 503, "network: cannot become uid %u", (unsigned)uid);
    all.settled = true;
    return true;
}

static bool open_asked(struct wire_message *m, struct err *e)
{
    const char *id;
    int64_t uid;
    if (!field_str(m->body, "sandbox", REQUIRED, &id, e) ||
        !field_int(m->body, "uid", REQUIRED, 0, UINT32_MAX - 1, &uid, e) || !settle((uid_t)uid, e))
        return false;
    if (m->fd_count != PASTA_OPEN_FDS)
        return fail(e, 400, "network: %d descriptors are needed", PASTA_OPEN_FDS);
    struct passage *old = find(id);
    if (old) /* of a sandbox that has just ended */
        close_passage(old);
    if (all.count >= PASSAGES_MOST)
        return fail(e, 503, "network: %d sandboxes have a way out already", PASSAGES_MOST);
    if (!look(e))
        return false;
    struct passage *p = xcalloc(1, sizeof *p);
    *p = (struct passage){.next = all.passages,
                          .id = xstrdup(id),
                          .way = {m->fds[0], m->fds[1], -1},
                          .pasta = {-1, -1},
                          .init_pidfd = m->fds[2]};
    m->fds[0] = m->fds[1] = m->fds[2] = -1;
    p->again = loop_timer(all.loop, on_again, p);
    p->init = loop_watch(all.loop, p->init_pidfd, EPOLLIN, on_init_ended, p);
    all.passages = p;
    all.count++;
    if (open_passage(p, e))
        return true;
    close_passage(p);
    return false;
}

static void obey(struct wire_message *m)
{
    struct err e = {0};
    if (m->kind == PASTA_CLOSE) {
        const char *id = json_string_value(json_object_get(m->body, "sandbox"));
        struct passage *p = id ? find(id) : NULL;
        if (p)
            close_passage(p);
        return;
    }
    if (m->kind != PASTA_OPEN)
        return;
    if (open_asked(m, &e))
        wire_send(CONTROL_FD, WIRE_OK, m->number, NULL, NULL, 0, NULL);
    else
        wire_send(CONTROL_FD, WIRE_FAILED, m->number,
                  json_pack("{s:i, s:s}", "status", e.status, "message", e.text), NULL, 0, NULL);
}

static void on_control(void *data, uint32_t events)
{
    struct wire_message m = {0};
    struct err e = {0};
    int got;
    (void)data;
    (void)events;
    while ((got = wire_receive(CONTROL_FD, &m, &e)) == 1) {
        obey(&m);
        wire_message_free(&m);
    }
    if (got < 0 && e.status == 0) /* without a keeper there are no sandboxes */
        loop_stop(all.loop, 0);
    wire_message_free(&m);
}

int main(int argc, char **argv)
{
    /* --keeper says in a list of processes whose it is */
    if (argc < 3 || strcmp(argv[1], "--control-fd") != 0 || strcmp(argv[2], "3") != 0) {
        fputs("usage: " PASTA_PROGRAM " --control-fd 3 [--keeper SOCKET]\nIt is started by "
              "warmcell-keeper.\n",
              stderr);
        return 2;
    }
    struct rlimit none = {0};
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    signal(SIGPIPE, SIG_IGN);
    setrlimit(RLIMIT_CORE, &none);
    fcntl(CONTROL_FD, F_SETFL, O_NONBLOCK);
    fcntl(CONTROL_FD, F_SETFD, FD_CLOEXEC);
    all.signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    all.netlink_fd = netlink_open(NETLINK_GROUPS);
    if (all.signal_fd < 0 || all.netlink_fd < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        perror(PASTA_PROGRAM);
        return 1;
    }
    all.loop = loop_new();
    all.look_again = loop_timer(all.loop, on_look_again, NULL);
    struct watch *watches[] = {
        loop_watch(all.loop, CONTROL_FD, EPOLLIN, on_control, NULL),
        loop_watch(all.loop, all.netlink_fd, EPOLLIN, on_netlink, NULL),
        loop_watch(all.loop, all.signal_fd, EPOLLIN, on_child, NULL),
    };
    int status = loop_run(all.loop);
    while (all.passages)
        close_passage(all.passages);
    for (size_t i = 0; i < countof(watches); i++)
        watch_close(watches[i]);
    timer_close(all.look_again);
    loop_free(all.loop);
    outside_free(&all.outside);
    return status;
}
