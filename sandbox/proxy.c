/* The keeper's side of the proxy: starting it, and the listening socket in a sandbox's network
 * namespace, which a short-lived child makes there. Nothing of a sandbox is parsed here but the
 * allow-list, which an asker gave. */
#include "sandbox/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/allow.h"

#define NAMESPACE_USER 0
#define NAMESPACE_NET  3
#define BACKLOG        64
#define TEXT2(n)       #n
#define TEXT(n)        TEXT2(n)
#define ADDRESS        "http://127.0.0.1:" TEXT(PROXY_PORT)

const char *const network_environment[] = {
    "HTTP_PROXY=" ADDRESS,
    "HTTPS_PROXY=" ADDRESS,
    "http_proxy=" ADDRESS,
    "https_proxy=" ADDRESS,
    "NO_PROXY=localhost,127.0.0.1,::1",
    "no_proxy=localhost,127.0.0.1,::1",
    NULL,
};

bool network_read(json_t *value, enum network *out, struct err *e)
{
    struct allow allow;
    *out = NETWORK_NONE;
    if (!value || json_is_null(value))
        return true;
    if (json_is_string(value)) {
        if (strcmp(json_string_value(value), "none") == 0)
            return true;
        if (strcmp(json_string_value(value), "full") == 0) {
            *out = NETWORK_FULL;
            return true;
        }
    }
    json_t *list = json_object_get(value, "allow");
    if (!list || json_object_size(value) != 1)
        return fail(e, 400, "network: must be \"none\", \"full\" or {\"allow\": [host, ...]}");
    if (!allow_read(list, &allow, e))
        return false;
    allow_free(&allow);
    *out = NETWORK_ALLOW;
    return true;
}

bool proxy_start(struct outsider *o, uid_t uid, const char *audit_path, struct err *e)
{
    char uid_text[24];
    snprintf(uid_text, sizeof uid_text, "%u", (unsigned)uid);
    const char *const options[] = {"--uid", uid_text, audit_path ? "--audit" : NULL, audit_path,
                                   NULL};
    return outsider_start(o, options, e);
}

/* --- the socket in a sandbox */

static bool raise_loopback(int fd)
{
    struct ifreq request = {.ifr_name = "lo"};
    if (ioctl(fd, SIOCGIFFLAGS, &request) != 0)
        return false;
    request.ifr_flags |= IFF_UP | IFF_RUNNING;
    return ioctl(fd, SIOCSIFFLAGS, &request) == 0;
}

/* In the child. The socket, or -1. */
static int listen_inside(const int namespaces[WIRE_NAMESPACES])
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(PROXY_PORT),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    if (setns(namespaces[NAMESPACE_USER], CLONE_NEWUSER) != 0 ||
        setns(namespaces[NAMESPACE_NET], CLONE_NEWNET) != 0)
        return -1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || !raise_loopback(fd) ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, BACKLOG) != 0)
        return -1;
    return fd;
}

static int listener_of(const int namespaces[WIRE_NAMESPACES], struct err *e)
{
    int ends[2], fd = -1, status = 0;
    struct wire_message m = {0};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        fail_errno(e, 503, "cannot listen in the sandbox");
        return -1;
    }
    pid_t child = fork();
    if (child == 0) {
        int made = listen_inside(namespaces);
        bool told = made >= 0 && wire_send(ends[1], PROXY_OPEN, 0, NULL, &made, 1, NULL);
        _exit(told ? 0 : errno & 0xff);
    }
    close(ends[1]);
    if (child > 0 && wire_receive(ends[0], &m, NULL) == 1 && m.fd_count == 1) {
        fd = m.fds[0];
        m.fds[0] = -1;
    }
    wire_message_free(&m);
    close(ends[0]);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (fd < 0) {
        errno = WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
        fail_errno(e, 503, "cannot listen in the sandbox");
    }
    return fd;
}

bool proxy_open(struct outsider *o, const char *id, json_t *network,
                const int namespaces[WIRE_NAMESPACES], struct err *e)
{
    int fd = listener_of(namespaces, e);
    if (fd < 0)
        return false;
    json_t *body =
        json_pack("{s:s, s:O}", "sandbox", id, "allow", json_object_get(network, "allow"));
    bool sent = wire_send(outsider_fd(o), PROXY_OPEN, 0, body, &fd, 1, e);
    close(fd);
    return sent;
}

void proxy_rename(struct outsider *o, const char *from, const char *to)
{
    if (o)
        wire_send(outsider_fd(o), PROXY_RENAME, 0,
                  json_pack("{s:s, s:s}", "sandbox", from, "to", to), NULL, 0, NULL);
}

void proxy_close(struct outsider *o, const char *id)
{
    if (o)
        wire_send(outsider_fd(o), PROXY_CLOSE, 0, json_pack("{s:s}", "sandbox", id), NULL, 0, NULL);
}
