/* The host's end of the link to a gateway.
 *
 * Each message is made once, as the frame that goes over the socket, and kept until it is
 * acknowledged; a gateway that attaches is sent everything above the number it has stored. Frames
 * of other kinds wait in `control` and go out between two messages. */
#include "kernel/host/uplink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/host/report.h"
#include "kernel/host/unacked.h"
#include "protocol/framing.h"
#include "protocol/json.h"
#include "protocol/link.h"

#define PEERS_LIMIT         4 /* connected but not attached yet */
#define VECTORS             64
#define TURN_BYTES          (4 * 1024 * 1024)
#define FILE_RUN_BYTES      (256 * 1024)
#define FINISH_MS           5000 /* for a gateway that is attached but does not read */
#define HERALDS_MS          3
#define SOCKET_BUFFER_BYTES (1024 * 1024)

struct peer {
    struct uplink *uplink;
    int fd;
    struct watch *watch;
    struct link_reader *reader;
    bool attached;
};

struct uplink {
    struct frontend frontend;
    struct loop *loop;
    struct uplink_plan plan;
    int listen_fd;
    struct watch *listener;
    struct peer *peers[PEERS_LIMIT];
    struct peer *gateway; /* the attached one; NULL: none */
    struct peer *taking;  /* whose frame is being taken: NULL again when it was closed by it */
    struct unacked *unacked;
    uint64_t next;    /* the number of the message that is sent next */
    size_t next_done; /* bytes of it that have been sent */
    struct buffer control;
    size_t control_done;
    uint64_t control_after; /* a RESULT does not overtake the messages that came before it */
    bool reading;
    bool was_full;
    bool urgent;           /* what waits to be sent is more than heralds */
    struct timer *heralds; /* until they are sent by themselves */
    struct timer *lease;
    bool forsaken; /* the lease is over */
    struct timer *patience;
    char *started;
    struct buffer death; /* the last frame, until it is sent */
    bool finishing, death_sent;
    bool asked; /* the end was: nobody who comes back wonders */
    void (*on_finished)(void *data);
    void *finished_data;
};

static void write_out(struct uplink *u);

static void peer_close(struct peer *peer)
{
    struct uplink *u = peer->uplink;
    for (size_t i = 0; i < PEERS_LIMIT; i++)
        if (u->peers[i] == peer)
            u->peers[i] = NULL;
    if (u->taking == peer)
        u->taking = NULL;
    watch_close(peer->watch);
    close(peer->fd);
    link_reader_free(peer->reader);
    free(peer);
}

static void finished(struct uplink *u)
{
    void (*call)(void *data) = u->on_finished;
    u->on_finished = NULL;
    if (call)
        call(u->finished_data);
}

static bool all_delivered(const struct uplink *u)
{
    return unacked_first(u->unacked) > unacked_last(u->unacked);
}

/* Nobody who comes within the lease is to learn anything. */
static bool may_leave(const struct uplink *u)
{
    return u->plan.lease_s == 0 || u->forsaken || (u->asked && all_delivered(u));
}

static void gateway_gone(struct uplink *u)
{
    if (!u->gateway)
        return;
    peer_close(take(&u->gateway));
    buffer_clear(&u->control);
    u->control_done = u->next_done = 0;
    u->death_sent = false;
    if (u->finishing && may_leave(u))
        finished(u);
    else if (u->plan.lease_s)
        timer_start(u->lease, u->plan.lease_s * 1000);
    if (u->finishing)
        timer_stop(u->patience);
}

static void on_lease(void *data)
{
    struct uplink *u = data;
    u->forsaken = true;
    if (u->finishing)
        finished(u);
    else
        u->plan.on_lease_over(u->plan.data);
}

static void on_patience_over(void *data)
{
    finished(data);
}

static bool control_is_next(const struct uplink *u)
{
    return u->control.len && u->next_done == 0 &&
           (u->control_done > 0 || u->next > u->control_after);
}

/* What goes out next of messages that are in the file: many at once, or one where control waits. */
static int gather_from_file(struct uplink *u, struct iovec *vector)
{
    uint64_t last;
    size_t most = u->control.len ? 0 : FILE_RUN_BYTES;
    struct bytes run = unacked_get_run(u->unacked, u->next, most, &last);
    if (run.len <= u->next_done)
        return 0;
    *vector = (struct iovec){(char *)run.data + u->next_done, run.len - u->next_done};
    return 1;
}

/* Fills vectors with what goes out next; returns how many. */
static int gather(struct uplink *u, struct iovec *vectors)
{
    if (control_is_next(u)) {
        vectors[0] =
            (struct iovec){u->control.data + u->control_done, u->control.len - u->control_done};
        return 1;
    }
    uint64_t last = unacked_last(u->unacked);
    if (u->next <= last && !unacked_in_memory(u->unacked, u->next))
        return gather_from_file(u, vectors);
    int count = 0;
    size_t bytes = 0, skip = u->next_done;
    for (uint64_t n = u->next; n <= last && count < VECTORS && bytes < TURN_BYTES; n++) {
        if (!unacked_in_memory(u->unacked, n))
            break;
        struct bytes frame = unacked_get(u->unacked, n);
        if (frame.len <= skip)
            break;
        vectors[count++] = (struct iovec){(char *)frame.data + skip, frame.len - skip};
        bytes += frame.len - skip;
        skip = 0;
        if (u->control.len && n >= u->control_after)
            break;
    }
    return count;
}

static void advance(struct uplink *u, size_t sent)
{
    if (control_is_next(u)) {
        u->control_done += sent;
        if (u->control_done == u->control.len) {
            buffer_clear(&u->control);
            u->control_done = 0;
        }
        return;
    }
    while (sent) {
        size_t left = unacked_size(u->unacked, u->next) - u->next_done;
        if (sent < left) {
            u->next_done += sent;
            return;
        }
        sent -= left;
        u->next_done = 0;
        u->next++;
    }
}

static void add_death(struct uplink *u)
{
    if (!u->finishing || u->death_sent || u->next <= unacked_last(u->unacked))
        return;
    u->control_after = 0;
    buffer_add_bytes(&u->control, buffer_view(&u->death));
    u->death_sent = true;
}

static void write_out(struct uplink *u)
{
    timer_stop(u->heralds);
    u->urgent = true; /* what the socket does not take now */
    while (u->gateway) {
        struct iovec vectors[VECTORS];
        add_death(u);
        int count = gather(u, vectors);
        if (count == 0)
            break;
        struct msghdr message = {.msg_iov = vectors, .msg_iovlen = (size_t)count};
        ssize_t sent = sendmsg(u->gateway->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN) {
            watch_want(u->gateway->watch, EPOLLIN | EPOLLOUT);
            return;
        }
        if (sent < 0) {
            gateway_gone(u);
            return;
        }
        advance(u, (size_t)sent);
    }
    u->urgent = false;
    if (u->gateway)
        watch_want(u->gateway->watch, EPOLLIN);
    if (u->finishing && u->death_sent && u->gateway && all_delivered(u) && u->control.len == 0)
        finished(u);
}

static void send_control(struct uplink *u, enum link_kind kind, uint64_t number, const char *json)
{
    struct bytes part = bytes_of(json);
    if (!u->gateway)
        return;
    if (u->control.len == 0)
        u->control_after = kind == LINK_STATE ? 0 : unacked_last(u->unacked);
    link_encode(&u->control, &(struct link_frame){
                                 .kind = kind, .number = number, .parts = &part, .part_count = 1});
}

static json_t *number_or_null(int64_t number, int64_t none)
{
    return number == none ? json_null() : json_integer(number);
}

/* What is no UTF-8 in it is replaced; NULL stays null. Given. */
static json_t *sentence(const char *text)
{
    json_t *whole = text ? json_string(text) : json_null();
    if (whole)
        return whole;
    struct buffer quoted = {0};
    json_quote(&quoted, bytes_of(text));
    whole = json_loadb(quoted.data, quoted.len, JSON_DECODE_ANY, NULL);
    buffer_free(&quoted);
    return whole ? whole : json_null();
}

static void send_state(struct uplink *u)
{
    struct backend_state state = {0};
    u->plan.backend->class->state(u->plan.backend, &state);
    const char *file = u->plan.connection_file;
    json_t *json = json_pack(
        "{s:i, s:i, s:o, s:o, s:s, s:s, s:o, s:o, s:s?, s:o*}", "version", LINK_VERSION, "pid",
        (int)getpid(), "interpreter_pid", number_or_null(state.pid, 0), "interpreter_session",
        number_or_null(state.pid, 0), "execution_state",
        u->finishing ? "dead" : state.execution_state, "started", u->started, "connection_file",
        file ? json_string(file) : json_null(), "reason", sentence(state.reason), "cause",
        state.reason ? cause_word(state.cause) : NULL, "executions", state.executions);
    char *text = json_dumps(json, JSON_COMPACT);
    send_control(u, LINK_STATE, unacked_last(u->unacked), text);
    free(text);
    json_decref(json);
}

static void on_outcome(void *data, uint64_t number, bool ok, int status, const char *message)
{
    struct uplink *u = data;
    struct buffer json = {0};
    buffer_printf(&json, "{\"ok\":%s,\"status\":%d,\"message\":", ok ? "true" : "false", status);
    json_quote(&json, bytes_of(message));
    buffer_add_text(&json, "}");
    send_control(u, LINK_RESULT, number, buffer_text(&json));
    buffer_free(&json);
    write_out(u);
}

static struct outcome outcome_of(struct uplink *u, const struct link_frame *frame)
{
    return (struct outcome){on_outcome, u, frame->number};
}

static struct bytes part(const struct link_frame *frame, size_t n)
{
    return n < frame->part_count ? frame->parts[n] : (struct bytes){0};
}

static void forget(struct uplink *u, uint64_t number)
{
    unacked_ack(u->unacked, number);
    if (u->was_full && unacked_bytes(u->unacked) < UNACKED_LOW_WATER_BYTES) {
        u->was_full = false;
        u->plan.receiver.on_relief(u->plan.receiver.data);
    }
}

static bool take_attach(struct peer *peer, const struct link_frame *frame, struct err *e)
{
    struct uplink *u = peer->uplink;
    int64_t version = 0;
    scoped(json) json_t *body = json_parse_object(part(frame, 0), "ATTACH", 64 * 1024, e);
    if (!body || !field_int(body, "version", REQUIRED, 0, INT32_MAX, &version, e))
        return false;
    if (version != LINK_VERSION)
        return fail(e, 400, "version: this host speaks version %d of the link", LINK_VERSION);
    if (u->gateway != peer)
        gateway_gone(u);
    for (size_t i = 0; i < PEERS_LIMIT; i++)
        if (u->peers[i] == peer)
            u->peers[i] = NULL;
    u->gateway = peer;
    peer->attached = true;
    timer_stop(u->lease);
    forget(u, frame->number);
    u->next = unacked_first(u->unacked);
    u->next_done = 0;
    if (u->finishing)
        timer_start(u->patience, FINISH_MS);
    send_state(u);
    write_out(u);
    return true;
}

static bool take_message(struct uplink *u, const struct link_frame *frame, struct err *e)
{
    scoped(framed) struct framed framed = {0};
    struct bytes identity = part(frame, 0);
    if (!framing_v1_decode(part(frame, 1), &framed, e)) {
        report_dropped("a message of the gateway was dropped: %s", e->text);
        return true;
    }
    framed.message.identities = &identity;
    framed.message.identity_count = 1;
    u->plan.receiver.on_message(u->plan.receiver.data, &u->frontend, &framed.message);
    return true;
}

static bool take_ack(struct uplink *u, const struct link_frame *frame, struct err *e)
{
    if (frame->number >= u->next)
        return fail(e, 400, "a message was acknowledged that had not been sent");
    forget(u, frame->number);
    write_out(u);
    return true;
}

static bool take_interrupt(struct uplink *u, const struct link_frame *frame, struct err *e)
{
    (void)e;
    u->plan.backend->class->interrupt(u->plan.backend, outcome_of(u, frame));
    return true;
}

static bool take_restart(struct uplink *u, const struct link_frame *frame, struct err *e)
{
    (void)e;
    u->plan.backend->class->restart(u->plan.backend, outcome_of(u, frame));
    return true;
}

static bool take_stop(struct uplink *u, const struct link_frame *frame, struct err *e)
{
    const char *reason = "";
    scoped(json) json_t *body = json_parse_object(part(frame, 0), "STOP", 64 * 1024, e);
    if (!body || !field_str(body, "reason", OPTIONAL, &reason, e))
        return false;
    u->plan.backend->class->stop(u->plan.backend, CAUSE_ASKED, reason, outcome_of(u, frame));
    return true;
}

static bool take_adopt(struct uplink *u, const struct link_frame *frame, struct err *e)
{
    (void)e;
    u->plan.backend->class->adopt(u->plan.backend, part(frame, 0), outcome_of(u, frame));
    return true;
}

static bool take_branch(struct uplink *u, const struct link_frame *frame, struct err *e)
{
    (void)e;
    u->plan.backend->class->branch(u->plan.backend, part(frame, 0), outcome_of(u, frame));
    return true;
}

static bool take_save(struct uplink *u, const struct link_frame *frame, struct err *e)
{
    enum link_kind asked = frame->kind == LINK_SAVE_KERNEL ? LINK_SAVE : LINK_RESTORE;
    (void)e;
    u->plan.backend->class->transfer(u->plan.backend, asked, part(frame, 0), outcome_of(u, frame));
    return true;
}

static bool take_cancel(struct uplink *u, const struct link_frame *frame, struct err *e)
{
    (void)e;
    u->plan.backend->class->cancel(u->plan.backend, part(frame, 0), outcome_of(u, frame));
    return true;
}

static const struct {
    enum link_kind kind;
    bool (*accept)(struct uplink *u, const struct link_frame *frame, struct err *e);
} kinds[] = {
    {LINK_CLIENT_MESSAGE, take_message},
    {LINK_ACK, take_ack},
    {LINK_INTERRUPT, take_interrupt},
    {LINK_RESTART, take_restart},
    {LINK_STOP, take_stop},
    {LINK_ADOPT_KERNEL, take_adopt},
    {LINK_BRANCH_KERNEL, take_branch},
    {LINK_SAVE_KERNEL, take_save},
    {LINK_RESTORE_KERNEL, take_save},
    {LINK_CANCEL, take_cancel},
};

static bool take_frame(struct peer *peer, const struct link_frame *frame, struct err *e)
{
    struct uplink *u = peer->uplink;
    if (!peer->attached)
        return frame->kind == LINK_ATTACH ? take_attach(peer, frame, e)
                                          : fail(e, 400, "the first frame is not ATTACH");
    if (u->finishing && frame->kind != LINK_ACK && frame->kind != LINK_ATTACH) {
        if (frame->kind != LINK_CLIENT_MESSAGE)
            on_outcome(u, frame->number, false, 409, "the kernel has ended");
        return true;
    }
    for (size_t i = 0; i < countof(kinds); i++)
        if (kinds[i].kind == frame->kind)
            return kinds[i].accept(u, frame, e);
    return fail(e, 400, "a frame of unknown kind %u", frame->kind);
}

static void drop_peer(struct peer *peer)
{
    if (peer->uplink->gateway == peer)
        gateway_gone(peer->uplink);
    else
        peer_close(peer);
}

/* Takes the frames that are whole. False: the peer is gone. */
static bool take_frames(struct peer *peer)
{
    struct uplink *u = peer->uplink;
    for (;;) {
        struct link_frame frame;
        struct err e;
        int result = link_reader_next(peer->reader, &frame, &e);
        if (result == 0)
            return true;
        u->taking = peer;
        bool good = result > 0 && take_frame(peer, &frame, &e);
        if (u->taking != peer)
            return false;
        u->taking = NULL;
        if (!good) {
            report("a gateway was cut off: %s", e.text);
            drop_peer(peer);
            return false;
        }
    }
}

static void read_peer(struct peer *peer)
{
    struct uplink *u = peer->uplink;
    u->reading = true;
    for (size_t used = 0; used < TURN_BYTES;) {
        size_t room;
        char *space = link_reader_space(peer->reader, &room);
        ssize_t got = recv(peer->fd, space, room, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            break;
        if (got <= 0) {
            drop_peer(peer);
            break;
        }
        used += (size_t)got;
        link_reader_filled(peer->reader, (size_t)got);
        if (!take_frames(peer) || (size_t)got < room)
            break; /* a stream socket that gave less is empty; the watch tells of more */
    }
    u->reading = false;
}

static void on_peer(void *data, uint32_t events)
{
    struct peer *peer = data;
    struct uplink *u = peer->uplink;
    if ((events & EPOLLOUT) && u->gateway == peer) {
        write_out(u);
        if (u->gateway != peer)
            return;
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        read_peer(peer);
}

static void on_connection(void *data, uint32_t events)
{
    struct uplink *u = data;
    (void)events;
    int fd = accept4(u->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    for (size_t i = 0; i < PEERS_LIMIT; i++) {
        if (u->peers[i])
            continue;
        struct peer *peer = xcalloc(1, sizeof *peer);
        *peer = (struct peer){.uplink = u, .fd = fd};
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){SOCKET_BUFFER_BYTES}, sizeof(int));
        peer->reader = link_reader_new(LINK_LIMIT_BYTES);
        peer->watch = loop_watch(u->loop, fd, EPOLLIN, on_peer, peer);
        u->peers[i] = peer;
        return;
    }
    report_dropped("a connection to the uplink was refused: too many that did not attach");
    close(fd);
}

/* The frame of a KERNEL_MESSAGE: its head is known only after the v1 frame behind it has been
 * written. */
static void encode(struct buffer *out, uint64_t number, struct bytes identity, struct bytes type,
                   const struct message *m)
{
    struct bytes parts[3] = {identity, type, {0}};
    struct link_frame frame = {
        .kind = LINK_KERNEL_MESSAGE, .number = number, .parts = parts, .part_count = 3};
    struct buffer head = {0};
    link_encode_head(&head, &frame);
    buffer_add_bytes(out, buffer_view(&head)); /* of the right length, filled in below */
    buffer_add_bytes(out, identity);
    buffer_add_bytes(out, type);
    size_t before = out->len;
    framing_v1_encode(m, out);
    parts[2] = (struct bytes){out->data + before, out->len - before};
    buffer_clear(&head);
    link_encode_head(&head, &frame);
    memcpy(out->data, head.data, head.len);
    buffer_free(&head);
}

/* What says only that a cell begins. A short one ends within moments, and its gateway shall wake up
 * once for all of it. */
static bool is_herald(const char *msg_type, const struct message *m)
{
    static const char busy[] = "\"busy\"";
    return strcmp(msg_type, "execute_input") == 0 ||
           (strcmp(msg_type, "status") == 0 &&
            memmem(m->content.data, m->content.len, busy, strlen(busy)));
}

static void on_heralds(void *data)
{
    write_out(data);
}

static void uplink_send(struct frontend *frontend, const char *msg_type, const struct message *m)
{
    struct uplink *u = (struct uplink *)frontend;
    struct bytes everybody = {0};
    struct buffer frame = {0};
    struct bytes identity = m->identity_count ? m->identities[0] : everybody;
    encode(&frame, unacked_last(u->unacked) + 1, identity, bytes_of(msg_type), m);
    unacked_add(u->unacked, &frame);
    u->urgent = u->urgent || !is_herald(msg_type, m);
    if (unacked_bytes(u->unacked) > UNACKED_HIGH_WATER_BYTES)
        u->was_full = true;
}

static bool uplink_congested(struct frontend *frontend)
{
    return ((struct uplink *)frontend)->was_full;
}

static void uplink_drain(struct frontend *frontend)
{
    struct uplink *u = (struct uplink *)frontend;
    if (u->gateway && !u->reading)
        read_peer(u->gateway);
}

static bool before_sleep(void *data)
{
    struct uplink *u = data;
    if (!u->gateway || !(u->next <= unacked_last(u->unacked) || u->control.len))
        return false;
    if (u->urgent || u->control.len)
        write_out(u);
    else if (!timer_running(u->heralds))
        timer_start(u->heralds, HERALDS_MS);
    return false;
}

static const struct frontend_class uplink_class = {
    .send = uplink_send,
    .congested = uplink_congested,
    .drain = uplink_drain,
};

/* A socket file that nobody serves any more is in the way; one that answers is not ours to remove.
 */
static bool make_way(const struct sockaddr_un *address, struct err *e)
{
    struct stat about;
    if (lstat(address->sun_path, &about) != 0)
        return true;
    if (!S_ISSOCK(about.st_mode))
        return fail(e, 409, "%s: exists and is not a socket", address->sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool served = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0;
    close(fd);
    if (served)
        return fail(e, 409, "%s: another process serves it", address->sun_path);
    unlink(address->sun_path);
    return true;
}

/* Who started us listens already and is perhaps connected: nothing has to be waited for. */
static bool take_listener(struct uplink *u, struct err *e)
{
    int fd = u->plan.listen_fd, listens = 0;
    socklen_t size = sizeof listens;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || !listens ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
        return fail(e, 400, "--uplink-fd: descriptor %d does not listen", fd);
    u->listen_fd = fd;
    return true;
}

static bool listen_on(struct uplink *u, struct err *e)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(u->plan.path) >= sizeof address.sun_path)
        return fail(e, 400, "--uplink: the path is longer than %zu bytes",
                    sizeof address.sun_path - 1);
    strcpy(address.sun_path, u->plan.path);
    if (u->plan.listen_fd)
        return take_listener(u, e);
    if (!make_way(&address, e))
        return false;
    u->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t old = umask(0177);
    bool bound = bind(u->listen_fd, (struct sockaddr *)&address, sizeof address) == 0;
    umask(old);
    if (!bound || listen(u->listen_fd, 16) != 0)
        return fail_errno(e, 503, "%s: cannot listen", u->plan.path);
    return true;
}

struct uplink *uplink_open(struct loop *loop, const struct uplink_plan *plan, struct err *e)
{
    struct uplink *u = xcalloc(1, sizeof *u);
    u->frontend.class = &uplink_class;
    u->loop = loop;
    u->plan = *plan;
    u->listen_fd = -1;
    u->next = 1;
    char now[TIME_TEXT];
    time_now_text(now);
    u->started = xstrdup(now);
    const char *slash = strrchr(plan->path, '/');
    scoped(string) char *directory =
        slash ? xstrndup(plan->path, (size_t)(slash - plan->path) + 1) : xstrdup(".");
    u->unacked = unacked_new(directory, plan->memory_bytes);
    u->heralds = loop_timer(loop, on_heralds, u);
    u->lease = loop_timer(loop, on_lease, u);
    u->patience = loop_timer(loop, on_patience_over, u);
    if (!listen_on(u, e)) {
        u->plan.path = NULL; /* it is not ours to remove */
        uplink_close(u);
        return NULL;
    }
    u->listener = loop_watch(loop, u->listen_fd, EPOLLIN, on_connection, u);
    loop_before_sleep(loop, before_sleep, u);
    if (plan->lease_s)
        timer_start(u->lease, plan->lease_s * 1000);
    return u;
}

struct frontend *uplink_frontend(struct uplink *u)
{
    return &u->frontend;
}

/* What DEATH holds; given. */
static char *death_json(const struct backend_end *end)
{
    int status = end->last.wait_status;
    bool signaled = status >= 0 && WIFSIGNALED(status);
    int exit_status = status >= 0 && !signaled ? WEXITSTATUS(status) : -1;
    json_t *json =
        json_pack("{s:o, s:s, s:o, s:o}", "reason", sentence(end->reason ? end->reason : ""),
                  "cause", cause_word(end->cause), "exit_status", number_or_null(exit_status, -1),
                  "signal", number_or_null(signaled ? WTERMSIG(status) : -1, -1));
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

void uplink_finish(struct uplink *u, const struct backend_end *end, void (*on_finished)(void *data),
                   void *data)
{
    char *text = death_json(end);
    struct bytes body = bytes_of(text);
    link_encode(&u->death, &(struct link_frame){.kind = LINK_DEATH,
                                                .number = unacked_last(u->unacked),
                                                .parts = &body,
                                                .part_count = 1});
    free(text);
    u->finishing = true;
    u->asked = end->cause == CAUSE_ASKED;
    u->on_finished = on_finished;
    u->finished_data = data;
    if (u->gateway) {
        timer_start(u->patience, FINISH_MS);
        write_out(u);
    } else if (may_leave(u)) {
        finished(u);
    }
}

/* What a gateway keeps beside the socket, the kernel's environment among it; the folder too when it
 * is empty then. */
static void clear_folder(const char *socket)
{
    static const char *const names[] = {
        "kernel.json",        "kernel.json.new",    "host.log",
        "connection.json",    "sandbox.json",       "history.sqlite",
        "history.sqlite-wal", "history.sqlite-shm", "history.sqlite-journal"};
    const char *slash = strrchr(socket, '/');
    if (!slash || slash == socket)
        return;
    scoped(string) char *dir = xstrndup(socket, (size_t)(slash - socket));
    for (size_t i = 0; i < countof(names); i++) {
        scoped(string) char *path = xasprintf("%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

void uplink_close(struct uplink *u)
{
    if (!u)
        return;
    for (size_t i = 0; i < PEERS_LIMIT; i++)
        if (u->peers[i])
            peer_close(u->peers[i]);
    if (u->gateway)
        peer_close(u->gateway);
    watch_close(u->listener);
    if (u->listen_fd >= 0)
        close(u->listen_fd);
    if (u->plan.path)
        unlink(u->plan.path);
    timer_close(u->heralds);
    timer_close(u->lease);
    timer_close(u->patience);
    unacked_free(u->unacked); /* and with it the spill file */
    if (u->plan.path && u->forsaken)
        clear_folder(u->plan.path);
    buffer_free(&u->control);
    buffer_free(&u->death);
    free(u->started);
    free(u);
}
