/* Datagrams with descriptors: sent whole or not at all, read into a struct that owns what came.
 * Used by the keeper, its fork server and the hosts. Invariant: no descriptor that arrived is lost;
 * each is in a message that is freed, or closed here. */
#include "sandbox/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "protocol/byte_order.h"
#include "protocol/json.h"

#define HEAD_BYTES 8

/* SCM_MAX_FD of the kernel: what a peer can send at most, all of which must be closed. */
#define ARRIVING_FDS_MOST 253

union ancillary {
    char space[CMSG_SPACE(ARRIVING_FDS_MOST * sizeof(int))];
    struct cmsghdr align;
};

static void close_fds(int *fds, size_t count)
{
    for (size_t n = 0; n < count; n++) {
        if (fds[n] >= 0)
            close(fds[n]);
        fds[n] = -1;
    }
}

void wire_message_free(struct wire_message *m)
{
    json_decref(m->body);
    close_fds(m->fds, m->fd_count);
    *m = (struct wire_message){0};
}

bool wire_parse(struct bytes datagram, struct wire_message *out, struct err *e)
{
    *out = (struct wire_message){0};
    if (datagram.len < HEAD_BYTES)
        return fail(e, 400, "datagram: shorter than its head of %d bytes", HEAD_BYTES);
    out->kind = load_u32le(datagram.data);
    out->number = load_u32le(datagram.data + 4);
    struct bytes text = {datagram.data + HEAD_BYTES, datagram.len - HEAD_BYTES};
    out->body = json_parse_object(text, "datagram", WIRE_LIMIT_BYTES, e);
    return out->body != NULL;
}

static char *datagram_of(uint32_t kind, uint32_t number, json_t *body, size_t *len, struct err *e)
{
    char *data = xmalloc(WIRE_LIMIT_BYTES);
    size_t room = WIRE_LIMIT_BYTES - HEAD_BYTES;
    size_t text = json_dumpb(body, data + HEAD_BYTES, room, JSON_COMPACT);
    if (text == 0 || text > room) {
        free(data);
        fail(e, text ? 413 : 500, text ? "datagram: longer than %u bytes" : "datagram: not JSON",
             WIRE_LIMIT_BYTES);
        return NULL;
    }
    store_u32le(data, kind);
    store_u32le(data + 4, number);
    *len = HEAD_BYTES + text;
    return data;
}

static void attach_fds(struct msghdr *head, union ancillary *room, const int *fds, size_t count)
{
    if (count == 0)
        return;
    head->msg_control = room;
    head->msg_controllen = CMSG_SPACE(count * sizeof *fds);
    struct cmsghdr *part = CMSG_FIRSTHDR(head);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(count * sizeof *fds);
    memcpy(CMSG_DATA(part), fds, count * sizeof *fds);
}

bool wire_send(int fd, uint32_t kind, uint32_t number, json_t *body, const int *fds,
               size_t fd_count, struct err *e)
{
    scoped(json) json_t *whole = body ? body : json_object();
    size_t len;
    if (fd_count > WIRE_FDS_MOST)
        return fail(e, 500, "datagram: more than %d descriptors", WIRE_FDS_MOST);
    scoped(string) char *data = datagram_of(kind, number, whole, &len, e);
    if (!data)
        return false;
    union ancillary room = {0};
    struct iovec part = {data, len};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
    attach_fds(&head, &room, fds, fd_count);
    ssize_t sent;
    while ((sent = sendmsg(fd, &head, MSG_NOSIGNAL)) < 0 && errno == EINTR)
        ;
    if (sent < 0 && (errno == EAGAIN || errno == ETOOMANYREFS))
        return fail(e, 503, "the peer reads too slowly");
    return sent >= 0 || fail_errno(e, 503, "the peer is gone");
}

/* Moves the descriptors that came into *out; false: there were more than any message has. */
static bool take_fds(struct msghdr *head, struct wire_message *out)
{
    bool good = true;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(head); part; part = CMSG_NXTHDR(head, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t n = 0; n < count; n++) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + n * sizeof fd, sizeof fd);
            if (out->fd_count < WIRE_FDS_MOST) {
                out->fds[out->fd_count++] = fd;
            } else {
                close(fd);
                good = false;
            }
        }
    }
    return good;
}

static int broken(struct wire_message *out)
{
    close_fds(out->fds, out->fd_count);
    out->fd_count = 0;
    return -1;
}

/* A peer that closes before it has read all makes an error of ours, told once and before what it
 * had sent itself: that is read all the same. */
static bool to_be_asked_again(bool *reset)
{
    bool first = errno == ECONNRESET && !*reset;
    *reset = *reset || first;
    return first || errno == EINTR;
}

int wire_receive(int fd, struct wire_message *out, struct err *e)
{
    char data[WIRE_LIMIT_BYTES];
    union ancillary room;
    struct iovec part = {data, sizeof data};
    struct msghdr head = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &room, .msg_controllen = sizeof room};
    ssize_t got;
    *out = (struct wire_message){0};
    bool reset = false;
    while ((got = recvmsg(fd, &head, MSG_CMSG_CLOEXEC)) < 0 && to_be_asked_again(&reset))
        ;
    if (got < 0 && errno == EAGAIN)
        return 0;
    if (got <= 0) {
        fail(e, 0, "the peer is gone");
        return -1;
    }
    struct wire_message came = {0};
    bool fitting = take_fds(&head, &came);
    bool good = wire_parse((struct bytes){data, (size_t)got}, out, e);
    memcpy(out->fds, came.fds, sizeof came.fds);
    out->fd_count = came.fd_count;
    if (!good)
        return broken(out);
    if (fitting && !(head.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        return 1;
    json_decref(take(&out->body));
    fail(e, 400, "datagram: longer than %u bytes or with more than %d descriptors",
         WIRE_LIMIT_BYTES, WIRE_FDS_MOST);
    return broken(out);
}
