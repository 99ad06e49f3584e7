/* GET /v1/stream: one WebSocket on which a client runs code and commands in any of its sandboxes,
 * and follows, answers and ends them (docs/stream.md).
 *
 * Invariant: no more than V1_WINDOW_BYTES of frames are queued when another frame of events is; a
 * call that has more waits in the socket's list, and nobody else waits for it. */
#include "gateway/dialect/v1_stream.h"

#include <string.h>

#include "gateway/dialect/v1.h"
#include "gateway/dialect/v1_docs.h"
#include "protocol/json.h"
#include "protocol/utf8.h"

#define VERSION           1
#define CLOSE_UNSUPPORTED 1003
#define CLOSE_TRY_LATER   1013

enum cookie { COOKIE_LAST = 1, COOKIE_REFUSAL = 2, COOKIE_BITS = 2 };

static void (*const ops[FRAME_OPS])(struct v1_call *c, const struct v1_frame *f) = {
    [FRAME_RUN] = v1_stream_run,
    [FRAME_COMMAND] = v1_stream_command,
    [FRAME_SUBSCRIBE] = v1_stream_subscribe,
    [FRAME_UNSUBSCRIBE] = v1_stream_unsubscribe,
    [FRAME_INPUT] = v1_stream_input,
    [FRAME_CANCEL] = v1_stream_cancel,
    [FRAME_INTERRUPT] = v1_stream_interrupt,
    [FRAME_STDIN] = v1_stream_stdin,
    [FRAME_SIGNAL] = v1_stream_signal,
    [FRAME_PING] = v1_stream_ping,
};

/* --- what is sent */

bool v1_socket_full(const struct v1_socket *s)
{
    return s->queued_bytes >= V1_WINDOW_BYTES;
}

/* Inside of a write: nothing is sent from here. */
static void on_sent(void *user, uint64_t cookie)
{
    struct v1_socket *s = user;
    s->queued_bytes -= (size_t)(cookie >> COOKIE_BITS);
    s->untaken -= (cookie & COOKIE_LAST) != 0;
    s->refusals -= (cookie & COOKIE_REFUSAL) != 0;
    if (!list_empty(&s->waiting) && s->queued_bytes <= V1_WINDOW_BYTES / 2)
        websocket_later(s->socket);
}

void v1_socket_send(struct v1_socket *s, struct buffer *frame, bool last, bool refusal)
{
    size_t len = 0;
    if (!utf8_valid(buffer_view(frame))) { /* what code in a cell sent as JSON is not looked at */
        struct buffer clean = {0};
        utf8_clean(&clean, buffer_view(frame));
        buffer_free(frame);
        *frame = clean;
    }
    char *data = buffer_take(frame, &len);
    struct shared *shared = shared_new(data, len);
    s->queued_bytes += len;
    websocket_send(s->socket, shared, shared_view(shared), false, on_sent,
                   (uint64_t)len << COOKIE_BITS | (last ? COOKIE_LAST : 0u) |
                       (refusal ? COOKIE_REFUSAL : 0u));
    shared_free(shared);
}

static void send_hello(struct v1_socket *s)
{
    struct buffer frame = {0};
    int64_t limit = websocket_message_limit(s->socket);
    buffer_printf(&frame, "{\"type\":\"hello\",\"version\":%d,\"principal\":", VERSION);
    json_quote(&frame, bytes_of(s->who.name));
    buffer_printf(&frame,
                  ",\"limits\":{\"frame_bytes\":%lld,\"id_bytes\":%d,\"calls\":%d,"
                  "\"window_bytes\":%d}}",
                  (long long)(limit < V1_FRAME_LIMIT_BYTES ? limit : V1_FRAME_LIMIT_BYTES),
                  V1_FRAME_ID_LIMIT, V1_CALLS_MOST, V1_WINDOW_BYTES);
    v1_socket_send(s, &frame, false, false);
}

/* A frame that belongs to no call. */
static void refuse(struct v1_socket *s, const char *id, const struct err *e)
{
    struct buffer frame = {0};
    if (++s->refusals > V1_REFUSALS_MOST) {
        websocket_close(s->socket, CLOSE_TRY_LATER, "answers are not read");
        return;
    }
    buffer_add_text(&frame, "{\"id\":");
    if (*id)
        json_quote(&frame, bytes_of(id));
    else
        buffer_add_text(&frame, "null");
    buffer_add_text(&frame, ",\"problem\":");
    exchange_problem(&frame, e);
    buffer_add_text(&frame, ",\"done\":true}");
    v1_socket_send(s, &frame, false, true);
}

/* The client has room again: those that wait have their turns. */
static void on_turn(void *user)
{
    struct v1_socket *s = user;
    for (int i = 0; i < V1_RESUMED_AT_ONCE && !v1_socket_full(s) && !list_empty(&s->waiting); i++) {
        struct v1_call *c = list_owner(s->waiting.next, struct v1_call, waiting);
        list_remove(&c->waiting);
        c->resume(c);
    }
    if (!list_empty(&s->waiting) && s->queued_bytes <= V1_WINDOW_BYTES / 2)
        websocket_later(s->socket);
}

/* --- what comes */

static void on_message(void *user, struct bytes data, bool binary)
{
    struct v1_socket *s = user;
    struct v1_frame f;
    struct err e = {0};
    if (binary) {
        websocket_close(s->socket, CLOSE_UNSUPPORTED, "frames are text");
        return;
    }
    if (!v1_frame_read(data, &f, &e)) {
        refuse(s, f.id, &e);
    } else if (v1_call_find(s, f.id)) {
        fail(&e, 409, "id: \"%s\" is that of an open call", f.id);
        refuse(s, "", &e);
    } else if (s->untaken >= V1_CALLS_MOST) {
        fail(&e, 429, "%d calls are open, or not read, the most allowed", V1_CALLS_MOST);
        refuse(s, f.id, &e);
    } else {
        ops[f.op](v1_call_new(s, &f), &f);
    }
    v1_frame_free(&f);
}

struct sandbox *v1_call_sandbox(struct v1_call *c, const struct v1_frame *f, bool any)
{
    struct err e = {0};
    const struct v1_socket *s = c->socket;
    struct sandbox *found = any ? sandboxes_find_any(s->core, &s->who, f->sandbox, &e)
                                : sandboxes_find(s->core, &s->who, f->sandbox, &e);
    if (!found)
        v1_call_fail(c, &e);
    return found;
}

/* --- the socket */

static void on_closed(void *user)
{
    struct v1_socket *s = user;
    while (!list_empty(&s->calls))
        v1_call_drop(list_owner(s->calls.next, struct v1_call, link));
    free(s);
}

static void open_stream(struct exchange *x, void *core)
{
    static const struct websocket_events events = {
        .on_message = on_message, .on_closed = on_closed, .on_turn = on_turn};
    struct v1_socket *s = xcalloc(1, sizeof(*s));
    s->core = core;
    s->who = *exchange_principal(x);
    list_init(&s->calls);
    list_init(&s->waiting);
    s->socket = websocket_accept(x, NULL, &events, s);
    send_hello(s);
}

static const struct route rows[] = {
    {GET,
     "/v1/stream",
     open_stream,
     "A WebSocket for runs, commands, their events and their input, in all sandboxes",
     {0},
     ACCESS_TOKEN,
     ERRORS_PROBLEM,
     ROUTE_UPGRADE,
     &v1_stream_doc},
};

const struct route_table v1_stream_routes = {rows, countof(rows)};
