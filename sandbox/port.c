/* A child that shares the keeper's memory and descriptors joins the sandbox's user and network
 * namespaces, makes the socket (or opens the tables) there and ends, in some tens of microseconds:
 * what it made is then the keeper's. Nothing is sent or waited for; a connection over loopback is
 * mostly there when connect returns, and who gets the socket waits for it otherwise.
 *
 * Invariant: the address is loopback of that namespace, whatever is asked for. */
#include "sandbox/port.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sandbox/confine.h"
#include "sandbox/join.h"

#define NAMESPACE_USER 0
#define NAMESPACE_NET  3

struct guest {
    const int *namespaces;
    bool (*act)(struct guest *g); /* false: cause */
    uint16_t port;
    bool six;
    int cause; /* an errno; 0: done */
    bool connected;
    int fds[PORT_TABLES]; /* -1: not open */
};

/* Over loopback the answer is mostly there as connect returns, though that says EINPROGRESS. */
static bool look(struct guest *g)
{
    struct pollfd p = {.fd = g->fds[0], .events = POLLOUT};
    int cause = 0;
    socklen_t len = sizeof cause;
    if (poll(&p, 1, 0) == 0)
        return true;
    getsockopt(g->fds[0], SOL_SOCKET, SO_ERROR, &cause, &len);
    g->connected = cause == 0;
    errno = cause;
    return g->connected;
}

static bool connect_inside(struct guest *g)
{
    struct sockaddr_in four = {.sin_family = AF_INET,
                               .sin_port = htons(g->port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 six = {
        .sin6_family = AF_INET6, .sin6_port = htons(g->port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    g->fds[0] = socket(g->six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (g->fds[0] < 0)
        return false;
    int status = connect(g->fds[0], g->six ? (struct sockaddr *)&six : (struct sockaddr *)&four,
                         g->six ? sizeof six : sizeof four);
    return status == 0 ? (g->connected = true) : errno == EINPROGRESS && look(g);
}

static bool open_inside(struct guest *g)
{
    g->fds[0] = open("/proc/self/net/tcp", O_RDONLY | O_CLOEXEC);
    if (g->fds[0] < 0)
        return false;
    g->fds[1] = open("/proc/self/net/tcp6", O_RDONLY | O_CLOEXEC);
    if (g->fds[1] < 0 && errno == ENOENT) /* a kernel without IPv6 */
        g->fds[1] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return g->fds[1] >= 0;
}

static int be_guest(void *data)
{
    struct guest *g = data;
    const int joined[] = {g->namespaces[NAMESPACE_USER], g->namespaces[NAMESPACE_NET]};
    g->cause = confine_join(joined, 2) && g->act(g) ? 0 : errno;
    _exit(0);
}

/* True: done; else what was opened is closed, and errno says why. */
static bool visit(struct guest *g)
{
    g->fds[0] = g->fds[1] = -1;
    g->cause = EAGAIN;
    if (join_visit(be_guest, g, CLONE_FILES) && !g->cause)
        return true;
    int cause = g->cause;
    for (size_t n = 0; n < PORT_TABLES; n++)
        if (g->fds[n] >= 0)
            close(g->fds[n]);
    errno = cause;
    return false;
}

int port_connect(const int *namespaces, uint16_t port, bool six, bool *connected, struct err *e)
{
    struct guest g = {.namespaces = namespaces, .act = connect_inside, .port = port, .six = six};
    if (visit(&g)) {
        *connected = g.connected;
        return g.fds[0];
    }
    if (errno == ECONNREFUSED || errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT)
        fail(e, 502, "nothing listens at port %u in the sandbox", port);
    else
        fail_errno(e, 503, "cannot connect to port %u in the sandbox", port);
    return -1;
}

bool port_tables(const int *namespaces, int out[PORT_TABLES], struct err *e)
{
    struct guest g = {.namespaces = namespaces, .act = open_inside};
    if (!visit(&g))
        return fail_errno(e, 503, "cannot see the ports of the sandbox");
    for (size_t n = 0; n < PORT_TABLES; n++)
        out[n] = g.fds[n];
    return true;
}
