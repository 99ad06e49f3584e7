/* A Unix socket is bound here and not by libuv: bind under a umask is the only way in which the
 * path never exists with a wider mode (uv_pipe_chmod comes too late). */
#include "gateway/net/listener.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/net/limits.h"
#include "protocol/memory.h"

struct listener {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    char *path; /* owned; NULL on TCP */
    int port;
    void (*on_connection)(void *user, uv_stream_t *stream);
    void *user;
    void (*on_closed)(void *user);
    void *closed_user;
};

static void on_uv_connection(uv_stream_t *stream, int status)
{
    struct listener *l = stream->data;
    if (status == 0)
        l->on_connection(l->user, stream);
}

static bool address_of(const char *ip, int port, struct sockaddr_storage *out, struct err *e)
{
    if (strcmp(ip, "localhost") == 0)
        ip = "127.0.0.1";
    if (strcmp(ip, "*") == 0 || !*ip)
        ip = "0.0.0.0";
    if (uv_ip4_addr(ip, port, (struct sockaddr_in *)out) == 0 ||
        uv_ip6_addr(ip, port, (struct sockaddr_in6 *)out) == 0)
        return true;
    return fail(e, 400, "ip: %s is not an IP address", ip);
}

static int bound_port(const uv_tcp_t *tcp)
{
    struct sockaddr_storage address;
    int len = sizeof address;
    if (uv_tcp_getsockname(tcp, (struct sockaddr *)&address, &len) != 0)
        return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

static void on_attempt_closed(uv_handle_t *handle)
{
    free(handle);
}

/* One try at one port; on failure *taken tells whether another port may do. */
static struct listener *try_port(const char *ip, int port, uv_loop_t *loop, bool *taken,
                                 struct err *e)
{
    struct sockaddr_storage address = {0};
    *taken = false;
    if (!address_of(ip, port, &address, e))
        return NULL;
    struct listener *l = xcalloc(1, sizeof *l);
    uv_tcp_init(loop, &l->uv.tcp);
    l->uv.handle.data = l;
    int status = uv_tcp_bind(&l->uv.tcp, (struct sockaddr *)&address, 0);
    if (status == 0)
        status = uv_listen(&l->uv.stream, LISTEN_BACKLOG, on_uv_connection);
    if (status == 0) {
        l->port = bound_port(&l->uv.tcp);
        return l;
    }
    *taken = status == UV_EADDRINUSE;
    if (*taken)
        fail(e, 503, "port %d of %s is taken; choose another with --port, or --port 0 for any",
             port, ip);
    else
        fail(e, 503, "cannot listen at %s port %d: %s", ip, port, uv_strerror(status));
    uv_close(&l->uv.handle, on_attempt_closed);
    return NULL;
}

static struct listener *open_tcp(const struct settings_net *settings, uv_loop_t *loop,
                                 struct err *e)
{
    struct err why = {0}; /* a try that failed leaves nothing in e when a later one succeeds */
    bool taken = true;
    for (int64_t i = 0; taken && i <= settings->port_retries && settings->port + i <= 65535; i++) {
        struct listener *l = try_port(settings->ip, (int)(settings->port + i), loop, &taken, &why);
        if (l)
            return l;
    }
    *e = why;
    return NULL;
}

/* Removes what is at path if it is a socket that nobody serves. */
static bool clear_path(const struct sockaddr_un *address, struct err *e)
{
    struct stat found;
    const char *path = address->sun_path;
    if (lstat(path, &found) != 0)
        return errno == ENOENT || fail_errno(e, 503, "socket: cannot use %s", path);
    if (!S_ISSOCK(found.st_mode))
        return fail(e, 503, "socket: %s exists and is not a socket", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail_errno(e, 503, "socket: cannot make one");
    bool refused = connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 &&
                   errno == ECONNREFUSED;
    close(fd);
    if (!refused)
        return fail(e, 503, "socket: somebody serves at %s already", path);
    return unlink(path) == 0 || fail_errno(e, 503, "socket: cannot replace %s", path);
}

/* Returns a bound descriptor, or -1. */
static int bind_path(const char *path, struct err *e)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        fail(e, 400, "socket: the path is longer than %zu bytes", sizeof address.sun_path - 1);
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path));
    if (!clear_path(&address, e))
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t before = umask(0177);
    int status = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof address);
    umask(before);
    if (status == 0)
        return fd;
    fail_errno(e, 503, "socket: cannot listen at %s", path);
    if (fd >= 0)
        close(fd);
    return -1;
}

static struct listener *open_unix(const char *path, uv_loop_t *loop, struct err *e)
{
    int fd = bind_path(path, e);
    if (fd < 0)
        return NULL;
    struct listener *l = xcalloc(1, sizeof *l);
    uv_pipe_init(loop, &l->uv.pipe, 0);
    l->uv.handle.data = l;
    int status = uv_pipe_open(&l->uv.pipe, fd);
    if (status == 0)
        status = uv_listen(&l->uv.stream, LISTEN_BACKLOG, on_uv_connection);
    if (status == 0) {
        l->path = xstrdup(path);
        return l;
    }
    fail(e, 503, "socket: cannot listen at %s: %s", path, uv_strerror(status));
    unlink(path);
    uv_close(&l->uv.handle, on_attempt_closed);
    return NULL;
}

struct listener *listener_open(const struct settings_net *settings, uv_loop_t *loop,
                               void (*on_connection)(void *user, uv_stream_t *stream), void *user,
                               struct err *e)
{
    struct listener *l =
        *settings->socket ? open_unix(settings->socket, loop, e) : open_tcp(settings, loop, e);
    if (!l)
        return NULL;
    l->on_connection = on_connection;
    l->user = user;
    return l;
}

int listener_port(const struct listener *l)
{
    return l->port;
}

static void on_uv_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    void (*on_closed)(void *user) = l->on_closed;
    void *user = l->closed_user;
    free(l->path);
    free(l);
    if (on_closed)
        on_closed(user);
}

void listener_close(struct listener *l, void (*on_closed)(void *user), void *user)
{
    l->on_closed = on_closed;
    l->closed_user = user;
    if (l->path)
        unlink(l->path);
    uv_close(&l->uv.handle, on_uv_closed);
}
