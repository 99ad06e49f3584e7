/* Each step is done by a child that joins the sandbox's user namespace, where it may do everything
 * to the sandbox's network, and nothing elsewhere. It reports by a datagram. */
#include "sandbox/way.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/memory.h"
#include "sandbox/wire.h"

#define STEP_MOST_MS 2000

#define INNER    "inner" /* the middle's end of the pair */
#define ETH      "eth0"  /* the sandbox's */
#define MIDDLE   "192.0.0.1"
#define MIDDLE6  "fd77:6172:6d63:656c::1"
#define INSIDE6  "fd77:6172:6d63:656c::2"
#define TAP_LINK "fe80::2/64"

/* Never the outside, whatever the machine's own addresses are. Machines in a cloud hear its secrets
 * at addresses that are not all link-local. */
static const char *const forbidden[] = {
    "0.0.0.0/8",          "127.0.0.0/8",       "169.254.0.0/16", /* link-local; the metadata of most
                                                                    clouds */
    "192.0.0.0/24",       /* our own link, and metadata (Oracle) */
    "100.100.100.200/32", /* metadata (Alibaba) */
    "168.63.129.16/32",   /* metadata (Azure) */
    "224.0.0.0/4",        "240.0.0.0/4",       "::/96",          "::ffff:0:0/96", "fe80::/10",
    "ff00::/8",           "fd00:ec2::254/128", /* metadata (Amazon) */
    "fd20:ce::254/128",                        /* metadata (Google) */
};

/* --- in the child. Each returns the name of the step that failed, with errno, or NULL. */

static int route_text(int fd, uint8_t type, const char *to, const char *over, const char *out)
{
    struct route route = {.type = type, .out = out};
    if (!prefix_read(to, &route.to) || (over && !prefix_read(over, &route.over))) {
        errno = EINVAL;
        return -1;
    }
    return netlink_route(fd, &route);
}

static int address_text(int fd, const char *name, const char *address)
{
    struct prefix prefix;
    if (prefix_read(address, &prefix))
        return netlink_address(fd, name, &prefix);
    errno = EINVAL;
    return -1;
}

static bool has_ipv6(void)
{
    return access("/proc/self/net/if_inet6", F_OK) == 0;
}

static const char *forbid(int fd, const struct outside *o)
{
    bool v6 = has_ipv6();
    for (size_t i = 0; i < countof(forbidden); i++)
        if ((v6 || !strchr(forbidden[i], ':')) &&
            route_text(fd, RTN_PROHIBIT, forbidden[i], NULL, NULL) < 0)
            return "forbidden addresses";
    for (size_t i = 0; i < o->own_count; i++) {
        struct route route = {.type = RTN_PROHIBIT, .to = o->own[i]};
        if ((v6 || route.to.family == AF_INET) && netlink_route(fd, &route) < 0)
            return "forbidden addresses";
    }
    return NULL;
}

static bool write_setting(const char *path, const char *digit)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, digit, 1) == 1;
    int saved = errno;
    if (fd >= 0)
        close(fd);
    errno = saved;
    return written;
}

/* A host that asks whether its address is taken does so from "::". The pasta of 2023 takes that for
 * the sandbox's address, and sends there what is for the sandbox, until it hears from it again: a
 * connection that waits for data never gets them. */
static bool ask_for_no_address(void)
{
    return write_setting("/proc/sys/net/ipv6/conf/all/accept_dad", "0") &&
           write_setting("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
}

static const char *make_middle(int sandbox_fd, const struct outside *o)
{
    bool v6 = has_ipv6();
    if (!write_setting("/proc/sys/net/ipv4/ip_forward", "1") ||
        (v6 && !write_setting("/proc/sys/net/ipv6/conf/all/forwarding", "1")) ||
        (v6 && !ask_for_no_address()))
        return "forwarding (/proc/sys must be writable)";
    int fd = netlink_open(0);
    if (fd < 0)
        return "netlink";
    const char *failed = NULL;
    if (netlink_up(fd, "lo", 0) < 0)
        failed = "loopback";
    else if (netlink_pair(fd, INNER, ETH, sandbox_fd) < 0)
        failed = "pair of interfaces (the kernel needs veth)";
    else if (address_text(fd, INNER, MIDDLE "/30") < 0 ||
             (v6 && address_text(fd, INNER, MIDDLE6 "/64") < 0) ||
             netlink_up(fd, INNER, WAY_DEVICE_MTU) < 0)
        failed = "address";
    else
        failed = forbid(fd, o);
    int saved = errno;
    close(fd);
    errno = saved;
    return failed;
}

static const char *make_inside(const struct outside *o)
{
    bool v6 = has_ipv6();
    int fd = netlink_open(0);
    if (fd < 0)
        return "netlink";
    const char *failed = forbid(fd, o);
    if (failed)
        return failed; /* the child ends: its descriptors need no closing */
    if (netlink_up(fd, "lo", 0) < 0 || address_text(fd, ETH, WAY_INSIDE "/30") < 0 ||
        (v6 && address_text(fd, ETH, INSIDE6 "/64") < 0) || netlink_up(fd, ETH, WAY_DEVICE_MTU) < 0)
        return "address";
    if (route_text(fd, RTN_UNICAST, "0.0.0.0/0", MIDDLE, ETH) < 0 ||
        route_text(fd, RTN_UNICAST, WAY_RESOLVER, MIDDLE, ETH) < 0 ||
        (v6 && route_text(fd, RTN_UNICAST, "::/0", MIDDLE6, ETH) < 0))
        return "route";
    close(fd);
    return NULL;
}

/* The tap, which pasta has made. The way of a family that the machine has not is closed. */
static const char *attach(const struct outside *o)
{
    bool v6 = o->v6 && has_ipv6();
    int fd = netlink_open(0);
    if (fd < 0)
        return "netlink";
    /* the address first: without one it would tell of its groups from "::" */
    if ((v6 && address_text(fd, WAY_TAP, TAP_LINK) < 0) ||
        netlink_up(fd, WAY_TAP, WAY_DEVICE_MTU) < 0)
        return "tap";
    if (o->v4 &&
        (route_text(fd, RTN_UNICAST, "0.0.0.0/0", WAY_GATEWAY, WAY_TAP) < 0 ||
         (*o->resolver4 && route_text(fd, RTN_UNICAST, WAY_RESOLVER, WAY_GATEWAY, WAY_TAP) < 0)))
        return "route";
    if (v6 &&
        (route_text(fd, RTN_UNICAST, "::/0", WAY_GATEWAY6, WAY_TAP) < 0 ||
         (*o->resolver6 && route_text(fd, RTN_UNICAST, WAY_RESOLVER6, WAY_GATEWAY6, WAY_TAP) < 0)))
        return "route";
    close(fd);
    return NULL;
}

/* --- the talk between child and parent */

struct report {
    int error;
    char step[60];
};

static void tell(int socket_fd, const char *failed, int fd)
{
    struct report r = {.error = errno};
    snprintf(r.step, sizeof r.step, "%s", failed ? failed : "");
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof fd)];
    } control = {0};
    struct iovec part = {&r, sizeof r};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    }
    if (sendmsg(socket_fd, &message, MSG_NOSIGNAL) < 0 || failed)
        _exit(1);
}

/* *fd: a descriptor that came along, or as it was. */
static bool hear(int socket_fd, int *fd, struct err *e)
{
    struct report r;
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof *fd)];
    } control;
    struct iovec part = {&r, sizeof r};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct pollfd ready = {socket_fd, POLLIN, 0};
    int count;
    while ((count = poll(&ready, 1, STEP_MOST_MS)) < 0 && errno == EINTR)
        ;
    ssize_t got = count > 0 ? recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC) : -1;
    if (got != (ssize_t)sizeof r)
        return fail(e, 503, "network: the child that makes the way out gave no answer");
    const struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head && head->cmsg_type == SCM_RIGHTS && head->cmsg_len == CMSG_LEN(sizeof *fd))
        memcpy(fd, CMSG_DATA(head), sizeof *fd);
    r.step[sizeof r.step - 1] = '\0';
    if (!r.step[0])
        return true;
    errno = r.error;
    return fail_errno(e, r.error == EOPNOTSUPP || r.error == EROFS ? 501 : 503,
                      "network: cannot make the %s of the way out", r.step);
}

/* In the child: the middle is made if need be; it is where the child then is. */
static const char *enter(const struct way *w, const struct outside *o, int *middle_fd)
{
    if (setns(w->user_fd, CLONE_NEWUSER) != 0)
        return "user namespace";
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* pasta is to find its namespaces in /proc */
    *middle_fd = w->middle_fd;
    if (*middle_fd >= 0)
        return setns(*middle_fd, CLONE_NEWNET) == 0 ? NULL : "namespace";
    if (unshare(CLONE_NEWNET) != 0 ||
        (*middle_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)) < 0)
        return "namespace";
    const char *failed = make_middle(w->net_fd, o);
    if (!failed && setns(w->net_fd, CLONE_NEWNET) != 0)
        failed = "namespace";
    if (!failed)
        failed = make_inside(o);
    if (!failed && setns(*middle_fd, CLONE_NEWNET) != 0)
        failed = "namespace";
    return failed;
}

static _Noreturn void guide_main(const struct way *w, const struct outside *o, int socket_fd)
{
    int middle_fd = -1;
    char go;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    const char *failed = enter(w, o, &middle_fd);
    tell(socket_fd, failed, w->middle_fd < 0 ? middle_fd : -1);
    if (recv(socket_fd, &go, 1, 0) != 1)
        _exit(0);
    tell(socket_fd, attach(o), -1);
    _exit(0);
}

static const char *forbid_both(const struct way *w, const struct outside *o)
{
    const int places[] = {w->middle_fd, w->net_fd};
    if (setns(w->user_fd, CLONE_NEWUSER) != 0)
        return "user namespace";
    for (size_t i = 0; i < countof(places); i++) {
        int fd = setns(places[i], CLONE_NEWNET) == 0 ? netlink_open(0) : -1;
        const char *failed = fd < 0 ? "namespace" : forbid(fd, o);
        if (failed)
            return failed;
    }
    return NULL;
}

/* --- in the parent */

static void end(struct way_guide *guide)
{
    kill(guide->pid, SIGKILL);
    while (waitpid(guide->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    close(guide->socket_fd);
    *guide = (struct way_guide){.pid = -1, .socket_fd = -1};
}

static bool start(struct way_guide *guide, const struct way *w, const struct outside *o,
                  void (*be)(const struct way *, const struct outside *, int), struct err *e)
{
    int ends[2];
    *guide = (struct way_guide){.pid = -1, .socket_fd = -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return fail_errno(e, 503, "network: no socket for the way out");
    guide->pid = fork();
    if (guide->pid == 0) {
        close(ends[0]);
        be(w, o, ends[1]);
        _exit(0);
    }
    int saved = errno;
    close(ends[1]);
    guide->socket_fd = ends[0];
    if (guide->pid > 0)
        return true;
    close(ends[0]);
    errno = saved;
    return fail_errno(e, 503, "network: no process for the way out");
}

bool way_open(struct way *w, const struct outside *o, struct way_guide *guide, struct err *e)
{
    if (!start(guide, w, o, guide_main, e))
        return false;
    if (hear(guide->socket_fd, &w->middle_fd, e))
        return true;
    end(guide);
    return false;
}

bool way_attach(struct way_guide *guide, struct err *e)
{
    int none = -1;
    bool attached = (send(guide->socket_fd, "g", 1, MSG_NOSIGNAL) == 1 ||
                     fail_errno(e, 503, "network: the way out has ended")) &&
                    hear(guide->socket_fd, &none, e);
    end(guide);
    return attached;
}

void way_abandon(struct way_guide *guide)
{
    end(guide);
}

static void forbid_main(const struct way *w, const struct outside *o, int socket_fd)
{
    tell(socket_fd, forbid_both(w, o), -1);
}

bool way_forbid(struct way *w, const struct outside *o, struct err *e)
{
    struct way_guide guide;
    int none = -1;
    if (!start(&guide, w, o, forbid_main, e))
        return false;
    bool done = hear(guide.socket_fd, &none, e);
    end(&guide);
    return done;
}

void way_close(struct way *w)
{
    int *const fds[] = {&w->user_fd, &w->net_fd, &w->middle_fd};
    for (size_t i = 0; i < countof(fds); i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}
