/* Sockets to a foreign kernel.
 *
 * ZMQ_FD is edge-triggered and any call on a socket may consume its edge: the callback only marks
 * the client, and client_pump() receives until EAGAIN before the loop sleeps. A monitor on each
 * socket tells when the kernel's end of the connection is closed: ZeroMQ has handed over everything
 * it read by then. */
#include "kernel/host/client.h"

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <zmq.h>

#include "kernel/host/parcel.h"
#include "kernel/host/report.h"

#define MESSAGES_A_TURN  500
#define SMALL_PARTS      16
#define RECONNECT_MS     20 /* a kernel that starts is tried so often */
#define MONITORED_EVENTS (ZMQ_EVENT_CONNECTED | ZMQ_EVENT_DISCONNECTED)

struct line {
    struct client *owner;
    enum channel channel;
    void *handle;
    void *monitor;
    struct watch *watch;
    struct watch *monitor_watch;
    bool connected;
};

struct client {
    struct loop *loop;
    struct client_events events;
    struct key *key;
    struct parcel parcel;
    struct line lines[CHANNEL_COUNT];
    bool touched, paused;
};

static const struct {
    int type;
    enum port port;
} kinds[CHANNEL_COUNT] = {
    [CHANNEL_SHELL] = {ZMQ_DEALER, PORT_SHELL},
    [CHANNEL_CONTROL] = {ZMQ_DEALER, PORT_CONTROL},
    [CHANNEL_STDIN] = {ZMQ_DEALER, PORT_STDIN},
    [CHANNEL_IOPUB] = {ZMQ_SUB, PORT_IOPUB},
};

/* Output first: a reply is told after what was published before it, as far as it has come. */
static const enum channel order[] = {CHANNEL_IOPUB, CHANNEL_STDIN, CHANNEL_SHELL, CHANNEL_CONTROL};

static void on_touched(void *data, uint32_t events)
{
    struct client *c = data;
    (void)events;
    c->touched = true;
}

static void set_int(void *socket, int option, int value)
{
    if (zmq_setsockopt(socket, option, &value, sizeof value) != 0)
        assert(!"a socket option that libzmq 4.3 knows");
}

static struct watch *watch_socket(struct client *c, void *handle)
{
    int fd = -1;
    size_t size = sizeof fd;
    zmq_getsockopt(handle, ZMQ_FD, &fd, &size);
    return loop_watch(c->loop, fd, EPOLLIN, on_touched, c);
}

static bool open_monitor(struct line *line, void *context, struct err *e)
{
    scoped(string) char *endpoint = xasprintf("inproc://monitor-%p", (void *)line);
    line->monitor = zmq_socket(context, ZMQ_PAIR);
    if (!line->monitor || zmq_socket_monitor(line->handle, endpoint, MONITORED_EVENTS) != 0 ||
        zmq_connect(line->monitor, endpoint) != 0)
        return fail(e, 503, "cannot watch a ZeroMQ socket: %s", zmq_strerror(errno));
    line->monitor_watch = watch_socket(line->owner, line->monitor);
    return true;
}

static bool open_line(struct client *c, void *context, enum channel channel,
                      const struct connection *connection, const char *identity, struct err *e)
{
    struct line *line = &c->lines[channel];
    *line = (struct line){.owner = c, .channel = channel};
    line->handle = zmq_socket(context, kinds[channel].type);
    if (!line->handle)
        return fail(e, 503, "cannot make a ZeroMQ socket: %s", zmq_strerror(errno));
    set_int(line->handle, ZMQ_LINGER, 0);
    set_int(line->handle, ZMQ_SNDHWM, 0);
    set_int(line->handle, ZMQ_RCVHWM, 0);
    set_int(line->handle, ZMQ_RECONNECT_IVL, RECONNECT_MS);
    if (kinds[channel].type == ZMQ_SUB)
        zmq_setsockopt(line->handle, ZMQ_SUBSCRIBE, "", 0);
    else
        zmq_setsockopt(line->handle, ZMQ_ROUTING_ID, identity, strlen(identity));
    if (!open_monitor(line, context, e))
        return false;
    scoped(string) char *endpoint = connection_endpoint(connection, kinds[channel].port);
    if (zmq_connect(line->handle, endpoint) != 0)
        return fail(e, 503, "cannot connect to %s: %s", endpoint, zmq_strerror(errno));
    line->watch = watch_socket(c, line->handle);
    return true;
}

struct client *client_open(void *context, struct loop *loop, const struct connection *connection,
                           const struct client_events *events, struct err *e)
{
    struct client *c = xcalloc(1, sizeof *c);
    *c = (struct client){.loop = loop, .events = *events, .touched = true};
    char identity[UUID_TEXT];
    uuid_make(identity);
    c->key = key_new(connection->signature_scheme, bytes_of(connection->key), e);
    bool good = c->key != NULL;
    for (enum channel channel = 0; good && channel < CHANNEL_COUNT; channel++)
        good = open_line(c, context, channel, connection, identity, e);
    if (good)
        return c;
    client_close(c);
    return NULL;
}

void client_close(struct client *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < CHANNEL_COUNT; i++) {
        struct line *line = &c->lines[i];
        watch_close(line->watch);
        watch_close(line->monitor_watch);
        if (line->monitor)
            zmq_close(line->monitor);
        if (line->handle)
            zmq_close(line->handle);
    }
    key_free(c->key);
    parcel_free(&c->parcel);
    free(c);
}

void client_send(struct client *c, const struct message *m)
{
    struct message bare = *m;
    bare.identities = NULL;
    bare.identity_count = 0;
    char signature[SIGNATURE_TEXT];
    struct bytes few[SMALL_PARTS];
    size_t need = 6 + m->buffer_count;
    struct bytes *parts = need <= SMALL_PARTS ? few : xmalloc(need * sizeof *parts);
    size_t count = message_parts(&bare, c->key, signature, parts, need);
    assert(count > 0 && m->channel != CHANNEL_IOPUB);
    if (!parcel_send(c->lines[m->channel].handle, parts, count, NULL))
        report_dropped("a message for the kernel was dropped: %s", zmq_strerror(errno));
    c->touched = true;
    if (parts != few)
        free(parts);
}

static void tell(struct client *c, enum channel channel)
{
    struct message m = {.channel = channel};
    struct err e;
    if (c->parcel.too_big)
        report_dropped("a message of the kernel on %s was dropped: it is too large",
                       channel_name(channel));
    else if (!message_split(c->parcel.parts, c->parcel.frame_count, c->key, &m, &e))
        report_dropped("a message of the kernel on %s was dropped: %s", channel_name(channel),
                       e.text);
    else
        c->events.on_message(c->events.data, &m);
}

/* True: there may be more. */
static bool drain(struct client *c, enum channel channel)
{
    for (int i = 0; i < MESSAGES_A_TURN; i++) {
        if (c->events.congested(c->events.data)) {
            c->paused = true;
            return false;
        }
        if (parcel_receive(c->lines[channel].handle, &c->parcel) != 1)
            return false;
        tell(c, channel);
    }
    return true;
}

/* An event is two frames, of which the first begins with its number in the byte order of the
 * machine. */
static void read_monitor(struct client *c, struct line *line)
{
    while (parcel_receive(line->monitor, &c->parcel) == 1) {
        uint16_t event = 0;
        if (c->parcel.frame_count > 0 && c->parcel.parts[0].len >= sizeof event)
            memcpy(&event, c->parcel.parts[0].data, sizeof event);
        line->connected = event == ZMQ_EVENT_CONNECTED;
    }
}

bool client_pump(struct client *c)
{
    if (!c->touched || c->paused)
        return false;
    c->touched = false;
    for (size_t i = 0; i < CHANNEL_COUNT; i++)
        read_monitor(c, &c->lines[i]);
    bool more = false;
    for (size_t i = 0; i < countof(order); i++)
        more |= drain(c, order[i]);
    parcel_clear(&c->parcel);
    c->touched |= more || c->paused;
    return more && !c->paused;
}

void client_resume(struct client *c)
{
    c->touched |= c->paused;
    c->paused = false;
}

bool client_dry(const struct client *c)
{
    return !c->touched && !c->paused;
}

bool client_drained(const struct client *c)
{
    for (size_t i = 0; i < CHANNEL_COUNT; i++)
        if (c->lines[i].connected)
            return false;
    return client_dry(c);
}
