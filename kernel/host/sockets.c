/* ZeroMQ: five bound sockets, their descriptors in the loop, and signing.
 *
 * ZMQ_FD is edge-triggered and any call on a socket may consume its edge: so each socket is drained
 * until EAGAIN in its callback, and sockets touched in a turn are looked at again before the loop
 * sleeps. */
#include "kernel/host/sockets.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <zmq.h>

#include "kernel/host/parcel.h"
#include "kernel/host/report.h"
#include "kernel/host/zeromq.h"

#define LINGER_MS       1000
#define MESSAGES_A_TURN 200
#define SMALL_PARTS     16
#define IPC_FIRST_PORT  1

struct socket {
    struct sockets *owner;
    enum port port;
    void *handle;
    int fd;
    struct watch *watch;
    bool touched;
    bool draining;
};

struct sockets {
    struct frontend frontend;
    struct loop *loop;
    struct receiver receiver;
    void (*on_subscribed)(void *data, struct bytes topic);
    void *context;
    struct key *key;
    struct inflight *inflight;
    struct watch *relief;
    struct parcel parcel;
    struct socket sockets[PORT_COUNT];
};

static const struct {
    const char *name;
    int type;
    enum channel channel; /* of what arrives; CHANNEL_COUNT: no messages */
} kinds[PORT_COUNT] = {
    [PORT_SHELL] = {"shell", ZMQ_ROUTER, CHANNEL_SHELL},
    [PORT_CONTROL] = {"control", ZMQ_ROUTER, CHANNEL_CONTROL},
    [PORT_STDIN] = {"stdin", ZMQ_ROUTER, CHANNEL_STDIN},
    [PORT_IOPUB] = {"iopub", ZMQ_XPUB, CHANNEL_COUNT},
    [PORT_HB] = {"hb", ZMQ_ROUTER, CHANNEL_COUNT},
};

static const enum port port_of[CHANNEL_COUNT] = {
    [CHANNEL_SHELL] = PORT_SHELL,
    [CHANNEL_CONTROL] = PORT_CONTROL,
    [CHANNEL_STDIN] = PORT_STDIN,
    [CHANNEL_IOPUB] = PORT_IOPUB,
};

static void echo(struct socket *s)
{
    parcel_send(s->handle, s->owner->parcel.parts, s->owner->parcel.frame_count, NULL);
}

static void take_subscription(struct socket *s)
{
    const struct parcel *p = &s->owner->parcel;
    if (p->frame_count != 1 || p->parts[0].len < 1 || (unsigned char)p->parts[0].data[0] > 1)
        return; /* what a subscriber sent upstream */
    struct bytes topic = {p->parts[0].data + 1, p->parts[0].len - 1};
    bool subscribes = p->parts[0].data[0] == 1;
    /* EINVAL: the subscriber has gone meanwhile. */
    zmq_setsockopt(s->handle, subscribes ? ZMQ_SUBSCRIBE : ZMQ_UNSUBSCRIBE, topic.data, topic.len);
    if (subscribes)
        s->owner->on_subscribed(s->owner->receiver.data, topic);
}

static void take_message(struct socket *s)
{
    struct sockets *owner = s->owner;
    struct parcel p = owner->parcel; /* the handler may drain, which receives into the owner's */
    owner->parcel = (struct parcel){0};
    struct message m = {.channel = kinds[s->port].channel};
    struct err e;
    if (message_split(p.parts, p.frame_count, owner->key, &m, &e))
        owner->receiver.on_message(owner->receiver.data, &owner->frontend, &m);
    else
        report_dropped("a message on %s was dropped: %s", kinds[s->port].name, e.text);
    if (owner->parcel.capacity == 0)
        owner->parcel = p;
    else
        parcel_free(&p);
}

/* Receives until EAGAIN, or until the turn's share is used up; true: there may be more. */
static bool drain(struct socket *s, int most)
{
    if (s->draining)
        return false;
    s->draining = true;
    s->touched = false;
    bool more = true;
    for (int i = 0; i < most && (more = parcel_receive(s->handle, &s->owner->parcel) == 1); i++) {
        if (s->owner->parcel.too_big)
            report_dropped("a message on %s was dropped: it is too large", kinds[s->port].name);
        else if (s->port == PORT_HB)
            echo(s);
        else if (s->port == PORT_IOPUB)
            take_subscription(s);
        else
            take_message(s);
    }
    parcel_clear(&s->owner->parcel);
    s->draining = false;
    s->touched |= more;
    return more;
}

static void on_socket(void *data, uint32_t events)
{
    (void)events;
    drain(data, MESSAGES_A_TURN);
}

static bool readable(const struct socket *s)
{
    int events = 0;
    size_t size = sizeof events;
    return zmq_getsockopt(s->handle, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN);
}

static bool before_sleep(void *data)
{
    struct sockets *sockets = data;
    bool more = false;
    for (size_t i = 0; i < PORT_COUNT; i++) {
        struct socket *s = &sockets->sockets[i];
        if (!s->touched)
            continue;
        s->touched = false;
        if (readable(s))
            drain(s, MESSAGES_A_TURN);
        more |= s->touched;
    }
    return more;
}

static void on_relief(void *data, uint32_t events)
{
    struct sockets *sockets = data;
    (void)events;
    inflight_settled(sockets->inflight);
    sockets->receiver.on_relief(sockets->receiver.data);
}

static bool sockets_congested(struct frontend *frontend)
{
    return inflight_above(((struct sockets *)frontend)->inflight);
}

static void sockets_drain(struct frontend *frontend)
{
    struct sockets *sockets = (struct sockets *)frontend;
    struct socket *s = &sockets->sockets[PORT_SHELL];
    /* Inside the callback of shell itself draining goes on there: a nested call must still receive.
     */
    bool nested = s->draining;
    s->draining = false;
    drain(s, 100 * MESSAGES_A_TURN);
    s->draining = nested;
    s->touched = true;
}

static void send_signed(struct sockets *sockets, struct socket *s, const struct message *m,
                        struct inflight *inflight)
{
    char signature[SIGNATURE_TEXT];
    struct bytes few[SMALL_PARTS];
    size_t need = m->identity_count + 6 + m->buffer_count;
    struct bytes *parts = need <= SMALL_PARTS ? few : xmalloc(need * sizeof *parts);
    size_t count = message_parts(m, sockets->key, signature, parts, need);
    assert(count > 0);
    parcel_send(s->handle, parts, count, inflight);
    s->touched = true;
    if (parts != few)
        free(parts);
}

void sockets_publish_to(struct sockets *sockets, struct bytes topic, const struct message *m)
{
    struct message addressed = *m;
    addressed.identities = &topic;
    addressed.identity_count = 1;
    send_signed(sockets, &sockets->sockets[PORT_IOPUB], &addressed, sockets->inflight);
}

static void sockets_send(struct frontend *frontend, const char *msg_type, const struct message *m)
{
    struct sockets *sockets = (struct sockets *)frontend;
    struct socket *s = &sockets->sockets[port_of[m->channel]];
    if (m->channel == CHANNEL_IOPUB) {
        drain(s, MESSAGES_A_TURN); /* a new subscriber is welcomed before it gets anything else */
        sockets_publish_to(sockets, bytes_of(msg_type), m);
        return;
    }
    send_signed(sockets, s, m, NULL);
}

static const struct frontend_class sockets_class = {
    .send = sockets_send,
    .congested = sockets_congested,
    .drain = sockets_drain,
};

static void set_int(void *socket, int option, int value)
{
    if (zmq_setsockopt(socket, option, &value, sizeof value) != 0)
        assert(!"a socket option that libzmq 4.3 knows");
}

static bool set_options(struct socket *s, const struct connection *connection, struct err *e)
{
    int64_t frame_limit = PARCEL_FRAME_LIMIT_BYTES;
    set_int(s->handle, ZMQ_LINGER, LINGER_MS);
    if (s->port != PORT_HB) /* an echo may be dropped; nothing else may */
        set_int(s->handle, ZMQ_SNDHWM, 0);
    zmq_setsockopt(s->handle, ZMQ_MAXMSGSIZE, &frame_limit, sizeof frame_limit);
    if (kinds[s->port].type == ZMQ_ROUTER)
        set_int(s->handle, ZMQ_ROUTER_HANDOVER, 1);
    if (kinds[s->port].type == ZMQ_XPUB) {
        /* A subscription counts from take_subscription() on: nothing can come before the welcome.
         */
        set_int(s->handle, ZMQ_XPUB_MANUAL, 1);
        set_int(s->handle, ZMQ_XPUB_NODROP, 1);
    }
    if (!connection->curve_secretkey)
        return true;
    set_int(s->handle, ZMQ_CURVE_SERVER, 1);
    if (zmq_setsockopt(s->handle, ZMQ_CURVE_SECRETKEY, connection->curve_secretkey, 41) != 0)
        return fail(e, 400, "curve_secretkey: is not a key that this libzmq can use");
    return true;
}

static int bound_port(void *socket)
{
    char endpoint[256];
    size_t size = sizeof endpoint;
    if (zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size) != 0)
        return 0;
    const char *colon = strrchr(endpoint, ':');
    return colon ? atoi(colon + 1) : 0;
}

static void pick_ipc_ports(struct connection *connection)
{
    if (strcmp(connection->transport, "ipc") != 0)
        return;
    for (int i = 0; i < PORT_COUNT; i++)
        if (connection->ports[i] == 0)
            connection->ports[i] = IPC_FIRST_PORT + i;
}

static bool bind_socket(struct sockets *sockets, enum port port, struct connection *connection,
                        struct err *e)
{
    struct socket *s = &sockets->sockets[port];
    *s = (struct socket){.owner = sockets, .port = port, .fd = -1};
    s->handle = zmq_socket(sockets->context, kinds[port].type);
    if (!s->handle)
        return fail_errno(e, 503, "cannot make a ZeroMQ socket");
    if (!set_options(s, connection, e))
        return false;
    scoped(string) char *endpoint = connection_endpoint(connection, port);
    if (zmq_bind(s->handle, endpoint) != 0)
        return fail(e, 503, "%s: cannot bind %s: %s", kinds[port].name, endpoint,
                    zmq_strerror(errno));
    if (connection->ports[port] == 0)
        connection->ports[port] = bound_port(s->handle);
    size_t size = sizeof s->fd;
    zmq_getsockopt(s->handle, ZMQ_FD, &s->fd, &size);
    s->watch = loop_watch(sockets->loop, s->fd, EPOLLIN, on_socket, s);
    s->touched = true;
    return true;
}

struct sockets *sockets_open(struct loop *loop, struct connection *connection,
                             const struct receiver *receiver,
                             void (*on_subscribed)(void *data, struct bytes topic), struct err *e)
{
    if (!zeromq_load(e))
        return NULL;
    struct sockets *sockets = xcalloc(1, sizeof *sockets);
    sockets->frontend.class = &sockets_class;
    sockets->loop = loop;
    sockets->receiver = *receiver;
    sockets->on_subscribed = on_subscribed;
    sockets->inflight = inflight_new();
    sockets->context = zmq_ctx_new();
    sockets->key = key_new(connection->signature_scheme, bytes_of(connection->key), e);
    if (!sockets->key)
        goto failed;
    pick_ipc_ports(connection);
    for (enum port port = 0; port < PORT_COUNT; port++)
        if (!bind_socket(sockets, port, connection, e))
            goto failed;
    sockets->relief = loop_watch(loop, inflight_fd(sockets->inflight), EPOLLIN, on_relief, sockets);
    loop_before_sleep(loop, before_sleep, sockets);
    return sockets;
failed:
    sockets_close(sockets);
    return NULL;
}

struct frontend *sockets_frontend(struct sockets *sockets)
{
    return &sockets->frontend;
}

void sockets_close(struct sockets *sockets)
{
    if (!sockets)
        return;
    for (size_t i = 0; i < PORT_COUNT; i++) {
        watch_close(sockets->sockets[i].watch);
        if (sockets->sockets[i].handle)
            zmq_close(sockets->sockets[i].handle);
    }
    watch_close(sockets->relief);
    while (zmq_ctx_term(sockets->context) != 0 && errno == EINTR)
        ;
    inflight_free(sockets->inflight);
    key_free(sockets->key);
    parcel_free(&sockets->parcel);
    free(sockets);
}
