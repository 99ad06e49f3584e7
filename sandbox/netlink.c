/* rtnetlink with one request under way at a time. A request is built in a buffer on the stack: its
 * attributes are few and of known size, so what does not fit is a bug. */
#include "sandbox/netlink.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/memory.h"

#define REQUEST_BYTES 512
#define ANSWER_BYTES  32768

struct request {
    union {
        struct nlmsghdr head;
        char bytes[REQUEST_BYTES];
    };
};

bool prefix_read(const char *text, struct prefix *out)
{
    char address[INET6_ADDRSTRLEN];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    *out = (struct prefix){.family = strchr(text, ':') ? AF_INET6 : AF_INET};
    if (len >= sizeof address)
        return false;
    memcpy(address, text, len);
    address[len] = '\0';
    char *end = NULL;
    long most = out->family == AF_INET ? 32 : 128;
    long bits = slash ? strtol(slash + 1, &end, 10) : most;
    bool whole = !slash || (end != slash + 1 && !*end);
    out->len = (uint8_t)bits;
    return whole && bits >= 0 && bits <= most && inet_pton(out->family, address, out->bytes) == 1;
}

static size_t bytes_of_address(uint8_t family)
{
    return family == AF_INET ? 4 : 16;
}

/* --- building */

/* The body is zero but for what the caller then sets. */
static void *begin(struct request *r, uint16_t type, uint16_t flags, size_t body_bytes)
{
    memset(r, 0, sizeof *r);
    r->head.nlmsg_type = type;
    r->head.nlmsg_flags = NLM_F_REQUEST | flags;
    r->head.nlmsg_len = (uint32_t)NLMSG_LENGTH(body_bytes);
    return NLMSG_DATA(&r->head);
}

static struct rtattr *add(struct request *r, uint16_t type, const void *data, size_t len)
{
    size_t at = NLMSG_ALIGN(r->head.nlmsg_len);
    assert(at + RTA_SPACE(len) <= sizeof r->bytes);
    struct rtattr *attribute = (struct rtattr *)(r->bytes + at);
    attribute->rta_type = type;
    attribute->rta_len = (unsigned short)RTA_LENGTH(len);
    if (len > 0)
        memcpy(RTA_DATA(attribute), data, len);
    r->head.nlmsg_len = (uint32_t)(at + RTA_SPACE(len));
    return attribute;
}

/* Ends what was begun by an empty attribute: all behind it is inside it. */
static void enclose(struct request *r, struct rtattr *outer)
{
    outer->rta_len = (unsigned short)(r->bytes + r->head.nlmsg_len - (char *)outer);
}

static void add_name(struct request *r, uint16_t type, const char *name)
{
    add(r, type, name, strlen(name) + 1);
}

static void add_address(struct request *r, uint16_t type, const struct prefix *p)
{
    add(r, type, p->bytes, bytes_of_address(p->family));
}

/* --- talking */

int netlink_open(uint32_t groups)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int ask(int fd, struct request *r)
{
    char answer[REQUEST_BYTES * 2] __attribute__((aligned(NLMSG_ALIGNTO)));
    r->head.nlmsg_flags |= NLM_F_ACK;
    if (send(fd, r, r->head.nlmsg_len, 0) < 0)
        return -1;
    ssize_t got;
    while ((got = recv(fd, answer, sizeof answer, 0)) < 0 && errno == EINTR)
        ;
    const struct nlmsghdr *head = (const struct nlmsghdr *)answer;
    if (got < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) || head->nlmsg_type != NLMSG_ERROR) {
        errno = got < 0 ? errno : EPROTO;
        return -1;
    }
    int error = ((const struct nlmsgerr *)NLMSG_DATA(head))->error;
    errno = -error;
    return error == 0 || error == -EEXIST ? 0 : -1;
}

int netlink_pair(int fd, const char *name, const char *peer, int peer_namespace_fd)
{
    struct request r;
    static const struct ifinfomsg unnamed = {.ifi_family = AF_UNSPEC};
    begin(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof unnamed);
    add_name(&r, IFLA_IFNAME, name);
    struct rtattr *about = add(&r, IFLA_LINKINFO, NULL, 0);
    add(&r, IFLA_INFO_KIND, "veth", 4);
    struct rtattr *data = add(&r, IFLA_INFO_DATA, NULL, 0);
    struct rtattr *other = add(&r, VETH_INFO_PEER, &unnamed, sizeof unnamed);
    add_name(&r, IFLA_IFNAME, peer);
    add(&r, IFLA_NET_NS_FD, &peer_namespace_fd, sizeof peer_namespace_fd);
    enclose(&r, other);
    enclose(&r, data);
    enclose(&r, about);
    return ask(fd, &r);
}

int netlink_up(int fd, const char *name, uint32_t mtu)
{
    struct request r;
    struct ifinfomsg *link = begin(&r, RTM_NEWLINK, 0, sizeof *link);
    link->ifi_index = (int)if_nametoindex(name);
    link->ifi_flags = IFF_UP;
    link->ifi_change = IFF_UP;
    if (link->ifi_index == 0)
        return -1;
    if (mtu > 0)
        add(&r, IFLA_MTU, &mtu, sizeof mtu);
    return ask(fd, &r);
}

int netlink_address(int fd, const char *name, const struct prefix *address)
{
    struct request r;
    struct ifaddrmsg *body = begin(&r, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof *body);
    body->ifa_family = address->family;
    body->ifa_prefixlen = address->len;
    body->ifa_flags = IFA_F_NODAD; /* there is nobody to be asked whether it is taken */
    body->ifa_index = if_nametoindex(name);
    if (body->ifa_index == 0)
        return -1;
    add_address(&r, IFA_LOCAL, address);
    add_address(&r, IFA_ADDRESS, address);
    return ask(fd, &r);
}

int netlink_route(int fd, const struct route *route)
{
    struct request r;
    struct rtmsg *body = begin(&r, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof *body);
    *body = (struct rtmsg){.rtm_family = route->to.family,
                           .rtm_dst_len = route->to.len,
                           .rtm_table = RT_TABLE_MAIN,
                           .rtm_protocol = RTPROT_STATIC,
                           .rtm_scope = RT_SCOPE_UNIVERSE,
                           .rtm_type = route->type};
    if (route->to.len > 0)
        add_address(&r, RTA_DST, &route->to);
    if (route->over.family) {
        add_address(&r, RTA_GATEWAY, &route->over);
        body->rtm_flags = RTNH_F_ONLINK;
    }
    if (route->out) {
        uint32_t index = if_nametoindex(route->out);
        if (index == 0)
            return -1;
        add(&r, RTA_OIF, &index, sizeof index);
    }
    return ask(fd, &r);
}

/* --- listening */

static void tell_route(const struct nlmsghdr *head, void (*each)(void *, const struct route *),
                       void *data)
{
    const struct rtmsg *body = NLMSG_DATA(head);
    struct route route = {.type = body->rtm_type,
                          .to = {.family = body->rtm_family, .len = body->rtm_dst_len}};
    if (head->nlmsg_type != RTM_NEWROUTE || head->nlmsg_len < NLMSG_LENGTH(sizeof *body) ||
        (body->rtm_family != AF_INET && body->rtm_family != AF_INET6) ||
        (body->rtm_flags & RTM_F_CLONED))
        return;
    int left = (int)RTM_PAYLOAD(head);
    for (const struct rtattr *a = RTM_RTA(body); RTA_OK(a, left); a = RTA_NEXT(a, left))
        if (a->rta_type == RTA_DST && RTA_PAYLOAD(a) == bytes_of_address(body->rtm_family))
            memcpy(route.to.bytes, RTA_DATA(a), RTA_PAYLOAD(a));
    each(data, &route);
}

/* 1: there is more to come. */
static int read_routes(int fd, char *answer, void (*each)(void *, const struct route *), void *data)
{
    ssize_t got = recv(fd, answer, ANSWER_BYTES, 0);
    if (got < 0)
        return errno == EINTR ? 1 : -1;
    unsigned left = (unsigned)got;
    for (const struct nlmsghdr *head = (const struct nlmsghdr *)answer; NLMSG_OK(head, left);
         head = NLMSG_NEXT(head, left)) {
        if (head->nlmsg_type == NLMSG_DONE)
            return 0;
        if (head->nlmsg_type == NLMSG_ERROR || (head->nlmsg_flags & NLM_F_DUMP_INTR)) {
            errno = EAGAIN; /* something changed meanwhile: half of it may be missing */
            return -1;
        }
        tell_route(head, each, data);
    }
    return 1;
}

int netlink_routes(int fd, void (*each)(void *data, const struct route *route), void *data)
{
    struct request r;
    struct rtmsg *body = begin(&r, RTM_GETROUTE, NLM_F_DUMP, sizeof *body);
    body->rtm_family = AF_UNSPEC;
    char *answer = xmalloc(ANSWER_BYTES);
    int more = send(fd, &r, r.head.nlmsg_len, 0) < 0 ? -1 : 1;
    while (more > 0)
        more = read_routes(fd, answer, each, data);
    int saved = errno;
    free(answer);
    errno = saved;
    return more;
}
