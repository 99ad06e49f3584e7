/* Bytes both ways, behind a head that is read whole and made anew. Each side may end its half
 * first.
 *
 * Invariant: no more than FLOW_LIMIT_BYTES wait in one direction, or a head of the same length. */
#include "gateway/cli/port_link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/ids.h"

#define FLOW_LIMIT_BYTES PORT_HEAD_LIMIT_BYTES

enum side { LOCAL, GATEWAY };

/* From one side to the other. */
struct flow {
    struct buffer data;
    bool in_head; /* data is a head that is not whole, and waits for the rest */
    bool ended;   /* nothing more comes */
    bool passed;  /* which the other side was told */
};

struct port_link {
    const struct port_way *way;
    const struct target *target;
    int fd[2];            /* by side; GATEWAY: -1 before there is a whole head */
    struct flow flows[2]; /* by the side that they come from */
    bool refused;         /* answered here: what else comes is thrown away */
    int64_t began_ms;     /* monotonic */
};

struct port_link *port_link_new(int fd, const struct port_way *way, const struct target *t)
{
    struct port_link *l = xcalloc(1, sizeof *l);
    l->way = way;
    l->target = t;
    l->fd[LOCAL] = fd;
    l->fd[GATEWAY] = -1;
    l->began_ms = monotonic_ms();
    l->flows[LOCAL].in_head = true;
    l->flows[GATEWAY].in_head = *way->prefix != '\0';
    return l;
}

void port_link_free(struct port_link *l)
{
    if (!l)
        return;
    for (int side = LOCAL; side <= GATEWAY; side++) {
        if (l->fd[side] >= 0)
            close(l->fd[side]);
        buffer_free(&l->flows[side].data);
    }
    free(l);
}

bool port_link_in_head(const struct port_link *l)
{
    return l->flows[LOCAL].in_head;
}

void port_link_wants(const struct port_link *l, struct pollfd out[2])
{
    for (int side = LOCAL; side <= GATEWAY; side++) {
        const struct flow *in = &l->flows[side], *back = &l->flows[1 - side];
        bool reads = !in->ended && in->data.len < FLOW_LIMIT_BYTES;
        bool writes = back->data.len && !back->in_head;
        /* one that is not waited for would tell of its end again and again */
        out[side] =
            (struct pollfd){.fd = reads || writes ? l->fd[side] : -1,
                            .events = (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0))};
    }
}

/* A reply of our own, which is the last word. */
static void answer(struct port_link *l, const struct err *e)
{
    struct buffer *out = &l->flows[GATEWAY].data;
    buffer_clear(out);
    buffer_printf(out,
                  "HTTP/1.1 %d Refused\r\nContent-Type: text/plain; charset=utf-8\r\n"
                  "Content-Length: %zu\r\nConnection: close\r\n\r\n%s\n",
                  e->status, strlen(e->text) + 1, e->text);
    l->refused = true;
    l->flows[GATEWAY].in_head = false;
    l->flows[GATEWAY].ended = true;
    l->flows[LOCAL].in_head = false;
    buffer_clear(&l->flows[LOCAL].data);
}

static bool reach(struct port_link *l, struct err *e)
{
    l->fd[GATEWAY] = target_connect(l->target, e);
    if (l->fd[GATEWAY] < 0)
        return false;
    int flags = fcntl(l->fd[GATEWAY], F_GETFL);
    fcntl(l->fd[GATEWAY], F_SETFL, flags | O_NONBLOCK);
    return true;
}

/* The head of the request, once it is whole. */
static void send_request(struct port_link *l, struct err *e)
{
    struct flow *flow = &l->flows[LOCAL];
    size_t len = port_head_length(buffer_view(&flow->data));
    struct err why = {0};
    scoped(buffer) struct buffer out = {0};
    if (!len && flow->data.len < PORT_HEAD_LIMIT_BYTES)
        return;
    if (!len) {
        fail(&why, 431, "the head of the request is longer than %d bytes", PORT_HEAD_LIMIT_BYTES);
        answer(l, &why);
        return;
    }
    if (!port_request_head(l->way, (struct bytes){flow->data.data, len}, &out, &why)) {
        answer(l, &why);
        return;
    }
    if (!reach(l, e)) {
        fail(&why, 502, "%s", e->text);
        answer(l, &why);
        return;
    }
    buffer_add(&out, flow->data.data + len, flow->data.len - len);
    buffer_free(&flow->data);
    flow->data = out;
    out = (struct buffer){0};
    flow->in_head = false;
}

/* The heads of replies: those of 1xx are followed by another one. False: what comes is none. */
static bool pass_reply(struct port_link *l)
{
    struct flow *flow = &l->flows[GATEWAY];
    scoped(buffer) struct buffer out = {0};
    size_t len = port_head_length(buffer_view(&flow->data));
    if (!len)
        return flow->data.len < PORT_HEAD_LIMIT_BYTES;
    int status = port_reply_head(l->way, (struct bytes){flow->data.data, len}, &out);
    if (!status)
        return false;
    flow->in_head = false;
    buffer_add(&out, flow->data.data + len, flow->data.len - len);
    buffer_free(&flow->data);
    flow->data = out;
    out = (struct buffer){0};
    return true;
}

static bool take_heads(struct port_link *l, struct err *e)
{
    if (l->flows[LOCAL].in_head)
        send_request(l, e);
    return !l->flows[GATEWAY].in_head || pass_reply(l);
}

/* False: the connection broke. */
static bool read_side(struct port_link *l, enum side side)
{
    struct flow *flow = &l->flows[side];
    char *place = buffer_reserve(&flow->data, FLOW_LIMIT_BYTES);
    ssize_t got = recv(l->fd[side], place, FLOW_LIMIT_BYTES, MSG_DONTWAIT);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    flow->data.len += l->refused ? 0 : (size_t)got;
    flow->ended = got == 0;
    return true;
}

static bool write_side(struct port_link *l, enum side side)
{
    struct flow *flow = &l->flows[1 - side];
    ssize_t sent = send(l->fd[side], flow->data.data, flow->data.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR;
    buffer_drop(&flow->data, (size_t)sent);
    return true;
}

/* Tells the other side of an end, when it has all that came before. */
static void pass_ends(struct port_link *l)
{
    for (int from = LOCAL; from <= GATEWAY; from++) {
        struct flow *flow = &l->flows[from];
        if (!flow->ended || flow->passed || (flow->data.len && !flow->in_head))
            continue;
        flow->passed = true;
        if (l->fd[1 - from] >= 0)
            shutdown(l->fd[1 - from], SHUT_WR);
    }
}

bool port_link_turn(struct port_link *l, const struct pollfd ready[2], struct err *e)
{
    struct pollfd wanted[2];
    port_link_wants(l, wanted);
    for (int side = LOCAL; side <= GATEWAY; side++) {
        short events = ready[side].revents;
        bool readable = events & (POLLIN | POLLHUP | POLLERR);
        if (readable && (wanted[side].events & POLLIN) && !read_side(l, (enum side)side))
            return false;
        if (events & POLLERR || (events & POLLOUT && !write_side(l, (enum side)side)))
            return false;
    }
    if (!take_heads(l, e))
        return false;
    if (l->flows[LOCAL].ended && l->fd[GATEWAY] < 0 && !l->refused)
        return false; /* it left before it had asked */
    if (port_link_in_head(l) && monotonic_ms() - l->began_ms > PORT_LINK_HEAD_MS)
        return false; /* it holds a place, and asks nothing */
    pass_ends(l);
    return !l->flows[LOCAL].passed || !l->flows[GATEWAY].passed;
}
