/* The waiting end of a branch.
 *
 * Who is born tells it by one datagram on a socket of its own, from which the system reads its
 * pid, as we count: it may live in another PID namespace. It is nobody's child here: its end is
 * seen by its pidfd, and its status known where the system remembers it. */
#include "kernel/host/cradle.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "kernel/host/last_status.h"
#include "protocol/json.h"
#include "sandbox/wire.h"

#define STATUS_LOOK_MS 10 /* the system knows the status when its parent has reaped it */
#define STATUS_LOOKS   50
#define NOBODY_BORN    "the other kernel ended, or its fork did at once"

struct cradle {
    struct loop *loop;
    const char *path; /* borrowed */
    const int *theirs;
    struct birth_events events;
    int listen_fd, peer_fd, birth_fd, pidfd; /* -1: none */
    struct watch *listener, *peer, *birth, *end;
    struct timer *timer;
    int looks;
};

static void close_fd(int *fd, struct watch **watch)
{
    watch_close(take(watch));
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void stop_waiting(struct cradle *c)
{
    close_fd(&c->listen_fd, &c->listener);
    close_fd(&c->peer_fd, &c->peer);
    close_fd(&c->birth_fd, &c->birth);
    timer_stop(c->timer);
    unlink(c->path);
}

static void give_up(struct cradle *c, const char *why)
{
    struct err e;
    fail(&e, 503, "no interpreter was branched: %s", why);
    stop_waiting(c);
    c->events.on_failed(c->events.data, &e); /* may free c */
}

static void tell_end(struct cradle *c)
{
    struct interpreter_end end = {.wait_status = -1, .limit_bytes = -1, .peak_bytes = -1};
    bool known = last_status_of(c->pidfd, &end.wait_status);
    if (!known && c->looks++ < STATUS_LOOKS) {
        timer_start(c->timer, STATUS_LOOK_MS);
        return;
    }
    end.unknown = !known;
    c->events.on_ended(c->events.data, &end); /* may free c */
}

static void on_timer(void *data)
{
    struct cradle *c = data;
    if (c->pidfd >= 0)
        tell_end(c);
    else
        give_up(c, "nobody came in time");
}

static void on_end(void *data, uint32_t events)
{
    struct cradle *c = data;
    (void)events;
    watch_close(take(&c->end));
    tell_end(c);
}

/* The pid of who sent the datagram; 0: there is none (yet). */
static pid_t read_birth(int fd)
{
    char byte;
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(struct ucred))];
    } ancillary;
    struct iovec part = {&byte, 1};
    struct msghdr head = {.msg_iov = &part,
                          .msg_iovlen = 1,
                          .msg_control = &ancillary,
                          .msg_controllen = sizeof ancillary};
    if (recvmsg(fd, &head, MSG_DONTWAIT) != 1)
        return 0;
    struct cmsghdr *first = CMSG_FIRSTHDR(&head);
    struct ucred who = {0};
    if (first && first->cmsg_level == SOL_SOCKET && first->cmsg_type == SCM_CREDENTIALS)
        memcpy(&who, CMSG_DATA(first), sizeof who);
    return who.pid;
}

static void on_birth(void *data, uint32_t events)
{
    struct cradle *c = data;
    (void)events;
    pid_t pid = read_birth(c->birth_fd);
    c->pidfd = pid > 0 ? pidfd_open(pid, 0) : -1;
    if (c->pidfd < 0) { /* the other host says why, if it can */
        close_fd(&c->birth_fd, &c->birth);
        if (c->peer_fd < 0)
            give_up(c, NOBODY_BORN);
        return;
    }
    stop_waiting(c);
    c->end = loop_watch(c->loop, c->pidfd, EPOLLIN, on_end, c);
    c->events.on_started(c->events.data, pid, c->pidfd);
}

/* The other host says why there will be none; or it goes, because there is one, or because it died.
 */
static void on_peer(void *data, uint32_t events)
{
    struct cradle *c = data;
    struct wire_message m;
    struct err e;
    const char *why = NULL;
    (void)events;
    int got = wire_receive(c->peer_fd, &m, &e);
    if (got == 0)
        return;
    if (got < 0) {
        close_fd(&c->peer_fd, &c->peer);
        if (c->birth_fd < 0)
            give_up(c, NOBODY_BORN);
        return;
    }
    field_str(m.body, "message", OPTIONAL, &why, NULL);
    scoped(string) char *text = xstrdup(why ? why : NOBODY_BORN);
    wire_message_free(&m);
    give_up(c, text);
}

static bool is_ours(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

static bool hand_over(struct cradle *c, struct err *e)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return fail_errno(e, 503, "no sockets are left");
    c->birth_fd = pair[0];
    setsockopt(c->birth_fd, SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int));
    int fds[BRANCH_FDS] = {c->theirs[END_LINK], c->theirs[END_STDOUT], c->theirs[END_STDERR],
                           c->theirs[END_PAGE], pair[1]};
    bool sent = wire_send(c->peer_fd, WIRE_BRANCH, 0, NULL, fds, BRANCH_FDS, e);
    close(pair[1]);
    if (!sent)
        return false;
    c->birth = loop_watch(c->loop, c->birth_fd, EPOLLIN, on_birth, c);
    c->peer = loop_watch(c->loop, c->peer_fd, EPOLLIN, on_peer, c);
    return true;
}

static void on_connection(void *data, uint32_t events)
{
    struct cradle *c = data;
    struct err e;
    (void)events;
    int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 || !is_ours(fd)) {
        if (fd >= 0)
            close(fd);
        return;
    }
    c->peer_fd = fd;
    close_fd(&c->listen_fd, &c->listener);
    if (!hand_over(c, &e))
        give_up(c, e.text);
}

static bool listen_at(struct cradle *c, struct err *e)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(c->path) >= sizeof address.sun_path)
        return fail(e, 400, "--await-branch: longer than %zu bytes", sizeof address.sun_path - 1);
    strcpy(address.sun_path, c->path);
    c->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t before = umask(0177);
    bool bound = bind(c->listen_fd, (struct sockaddr *)&address, sizeof address) == 0;
    umask(before);
    if (!bound || listen(c->listen_fd, 1) != 0)
        return fail_errno(e, 503, "--await-branch: cannot listen at %s", c->path);
    c->listener = loop_watch(c->loop, c->listen_fd, EPOLLIN, on_connection, c);
    return true;
}

struct cradle *cradle_open(struct loop *loop, const char *path, const int theirs[ENDS],
                           const struct birth_events *events, struct err *e)
{
    struct cradle *c = xcalloc(1, sizeof *c);
    *c = (struct cradle){.loop = loop, .path = path, .theirs = theirs, .events = *events};
    c->listen_fd = c->peer_fd = c->birth_fd = c->pidfd = -1;
    c->timer = loop_timer(loop, on_timer, c);
    if (listen_at(c, e)) {
        timer_start(c->timer, CRADLE_WAIT_MS);
        return c;
    }
    cradle_free(c);
    return NULL;
}

void cradle_free(struct cradle *c)
{
    if (!c)
        return;
    if (c->listen_fd >= 0)
        stop_waiting(c);
    close_fd(&c->peer_fd, &c->peer);
    close_fd(&c->birth_fd, &c->birth);
    close_fd(&c->pidfd, &c->end);
    timer_close(c->timer);
    free(c);
}
