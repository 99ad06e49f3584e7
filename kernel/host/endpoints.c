/* Ports are picked as jupyter_client picks them: bound, asked for, and released. Another program
 * can take one before the kernel binds it; the relay starts the kernel again on other ports then.
 */
#include "kernel/host/endpoints.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

bool endpoints_make(const char *file, bool ipc, struct connection *out, struct err *e)
{
    connection_default(out);
    if (!ipc)
        return true;
    size_t len = strlen(file);
    if (len > 5 && strcmp(file + len - 5, ".json") == 0)
        len -= 5;
    char *prefix = xasprintf("%.*s-ipc", (int)len, file);
    free(out->transport);
    free(out->ip);
    out->transport = xstrdup("ipc");
    out->ip = prefix;
    for (int i = 0; i < PORT_COUNT; i++)
        out->ports[i] = i + 1;
    struct sockaddr_un address;
    if (strlen(prefix) + strlen("-1") >= sizeof address.sun_path) {
        fail(e, 400, "--relay: the path is too long for ipc sockets (at most %zu bytes)",
             sizeof address.sun_path - strlen("-ipc-1") - 1);
        connection_free(out);
        return false;
    }
    return true;
}

/* Binds a socket to any port and leaves it open; the port, or 0. */
static int any_port(int *fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0 || bind(*fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        getsockname(*fd, (struct sockaddr *)&address, &len) != 0)
        return 0;
    return ntohs(address.sin_port);
}

bool endpoints_pick(struct connection *c, struct err *e)
{
    if (strcmp(c->transport, "tcp") != 0)
        return true;
    int fds[PORT_COUNT];
    bool good = true;
    for (int i = 0; i < PORT_COUNT; i++) {
        c->ports[i] = any_port(&fds[i]);
        good = good && c->ports[i] > 0;
    }
    for (int i = 0; i < PORT_COUNT; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return good || fail(e, 503, "no free ports on 127.0.0.1 for the kernel");
}

void endpoints_clear(const struct connection *c)
{
    if (!c->transport || strcmp(c->transport, "ipc") != 0)
        return;
    for (int i = 0; i < PORT_COUNT; i++) {
        scoped(string) char *path = xasprintf("%s-%d", c->ip, c->ports[i]);
        unlink(path);
    }
}
