/* One poll for all; what is read of stdin waits here until it was taken. */
#include "gateway/cli/follow.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "gateway/cli/cli.h"
#include "protocol/ids.h"
#include "protocol/json.h"

#define INPUT_BYTES (256 * 1024)
#define LATER_MS    50

#define RECONNECT_TRIES 50
#define RECONNECT_MS    200

/* What is on its way. */
struct flow {
    struct follow *f;
    struct buffer lines; /* of the reply, the last one not whole */
    char *input;         /* INPUT_BYTES; NULL until something is read */
    size_t input_len;
    bool holds_input; /* it was not taken yet */
};

int follow_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

bool follow_write(int fd, struct bytes data, struct err *e)
{
    while (data.len) {
        ssize_t done = write(fd, data.data, data.len);
        if (done < 0 && errno == EAGAIN) {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            poll(&wait, 1, -1);
        } else if (done < 0 && errno != EINTR) {
            return fail_errno(e, CLI_FAILED, "cannot write the output");
        } else if (done > 0) {
            data.data += done;
            data.len -= (size_t)done;
        }
    }
    return true;
}

static bool take_line(struct flow *flow, struct bytes line, struct err *e)
{
    if (line.len == 0)
        return true;
    scoped(json) json_t *event =
        json_parse_object(line, "the gateway's event", FOLLOW_EVENT_LIMIT_BYTES, e);
    if (!event) {
        e->status = CLI_FAILED;
        return false;
    }
    json_t *number = json_object_get(event, "number");
    if (json_is_integer(number))
        flow->f->last_event = json_integer_value(number);
    return flow->f->on_event(flow->f->user, event, line, e);
}

/* Every whole line there is. */
static bool take_lines(struct flow *flow, size_t searched, struct err *e)
{
    size_t begin = 0;
    while (flow->lines.len > searched) {
        const char *end = memchr(flow->lines.data + searched, '\n', flow->lines.len - searched);
        if (!end)
            break;
        size_t len = (size_t)(end - flow->lines.data) - begin;
        if (!take_line(flow, (struct bytes){flow->lines.data + begin, len}, e))
            return false;
        begin += len + 1;
        searched = begin;
    }
    buffer_drop(&flow->lines, begin);
    return true;
}

/* *ended: the reply has. */
static bool on_reply(struct flow *flow, bool *ended, struct err *e)
{
    struct bytes piece;
    size_t before = flow->lines.len;
    if (!call_next(flow->f->call, &piece, e))
        return false;
    if (piece.len == 0) {
        *ended = true;
        return true;
    }
    if (before + piece.len > FOLLOW_EVENT_LIMIT_BYTES)
        return fail(e, CLI_FAILED, "an event is longer than %d bytes", FOLLOW_EVENT_LIMIT_BYTES);
    buffer_add_bytes(&flow->lines, piece);
    return take_lines(flow, before, e);
}

static bool offer_input(struct flow *flow, struct err *e)
{
    struct follow *f = flow->f;
    enum follow_input how = f->on_input(f->user, (struct bytes){flow->input, flow->input_len}, e);
    flow->holds_input = how == INPUT_LATER;
    if (how == INPUT_CLOSED || (how == INPUT_TAKEN && flow->input_len == 0))
        f->input_fd = -1;
    return how != INPUT_FAILED;
}

static bool on_input_ready(struct flow *flow, struct err *e)
{
    if (!flow->input)
        flow->input = xmalloc(INPUT_BYTES);
    ssize_t got = read(flow->f->input_fd, flow->input, INPUT_BYTES);
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    flow->input_len = got > 0 ? (size_t)got : 0; /* what cannot be read has ended */
    return offer_input(flow, e);
}

static bool on_signal_ready(struct follow *f, struct err *e)
{
    struct signalfd_siginfo info;
    while (read(f->signal_fd, &info, sizeof info) == sizeof info)
        if (!f->on_signal(f->user, (int)info.ssi_signo, e))
            return false;
    return true;
}

static bool is_due(struct follow *f)
{
    if (!f->due_ms || monotonic_ms() < f->due_ms)
        return false;
    f->due_ms = 0;
    return true;
}

/* How long poll may wait; -1: as long as it takes. */
static int patience_ms(const struct follow *f, bool later)
{
    int64_t left_ms = f->due_ms ? f->due_ms - monotonic_ms() : -1;
    if (f->due_ms && left_ms < 0)
        left_ms = 0;
    return (int)(later && (left_ms < 0 || left_ms > LATER_MS) ? LATER_MS : left_ms);
}

static bool wait_once(struct flow *flow, bool *ended, struct err *e)
{
    struct follow *f = flow->f;
    struct pollfd fds[] = {
        {.fd = call_fd(f->call), .events = POLLIN},
        {.fd = f->signal_fd, .events = POLLIN},
        {.fd = flow->holds_input ? -1 : f->input_fd, .events = POLLIN},
    };
    bool later = flow->holds_input && f->input_fd >= 0;
    bool ready = call_ready(f->call); /* what came with the head is in no poll */
    if (poll(fds, countof(fds), ready ? 0 : patience_ms(f, later)) < 0)
        return errno == EINTR || fail_errno(e, CLI_FAILED, "cannot wait");
    if (is_due(f) && !f->on_due(f->user, e))
        return false;
    if (fds[1].revents && !on_signal_ready(f, e))
        return false;
    if ((ready || fds[0].revents) && !on_reply(flow, ended, e))
        return false;
    if (later)
        return offer_input(flow, e);
    return !fds[2].revents || *ended || f->input_fd < 0 || on_input_ready(flow, e);
}

bool follow(struct follow *f, struct err *e)
{
    struct flow flow = {.f = f};
    bool ended = false, ok = true;
    while (ok && !ended)
        ok = wait_once(&flow, &ended, e);
    if (ok && flow.lines.len)
        ok = take_line(&flow, buffer_view(&flow.lines), e);
    buffer_free(&flow.lines);
    free(flow.input);
    return ok;
}

/* Those behind the last event; NULL: e. */
static struct call *go_on(const struct follow *f, const struct target *t, const char *path,
                          struct err *e)
{
    scoped(string) char *events = xasprintf("%s/events?after=%lld%s", path,
                                            (long long)f->last_event, f->query ? f->query : "");
    const struct call_request request = {
        .method = "GET", .path = events, .accept = "application/x-ndjson"};
    for (int tries = 0; tries < RECONNECT_TRIES; tries++) {
        poll(NULL, 0, RECONNECT_MS);
        scoped(call) struct call *c = call_send(t, &request, e);
        if (c && call_accepted(c, e))
            return take(&c);
        if (e->status != CLI_UNREACHED && e->status != CLI_FAILED && e->status != 503)
            return NULL;
    }
    return NULL;
}

bool follow_through(struct follow *f, const struct target *t, const char *path, struct err *e)
{
    scoped(call) struct call *again = NULL;
    bool ok = true;
    while (ok && !f->ended) {
        ok = follow(f, e);
        if (f->ended || (!ok && !call_broken(f->call)))
            break;
        call_free(take(&again));
        f->call = again = go_on(f, t, path, e);
        ok = again != NULL;
    }
    return f->ended;
}
