/* /api/kernels/{id}/channels: the WebSocket of a kernel, in both framings.
 *
 * The upgrade is answered at once; messages wait for the kernel, not the handshake. A v1 message
 * goes from the kernel to the socket as it stands in the batch that was read; nothing of it is
 * parsed or copied. */
#include <string.h>

#include "gateway/core/notice.h"
#include "gateway/core/reader.h"
#include "gateway/dialect/jupyter.h"
#include "gateway/log.h"
#include "gateway/net/websocket.h"
#include "protocol/framing.h"
#include "protocol/ids.h"
#include "protocol/utf8.h"

#define SESSION_LIMIT_BYTES 100
#define CLOSE_UNSUPPORTED   1003 /* a text message where only binary ones are spoken */
#define CLOSE_BAD_DATA      1007
#define CLOSE_TRY_LATER     1013

/* Lives until the socket tells that it is closed. */
struct client {
    struct websocket *socket;
    struct reader *reader; /* NULL: it is over */
    bool v1;
    char session[SESSION_LIMIT_BYTES + 1];
};

static void stop(struct client *client, int code, const char *reason)
{
    reader_close(client->reader);
    client->reader = NULL;
    websocket_close(client->socket, code, reason);
}

static void on_sent(void *user, uint64_t sequence)
{
    struct client *client = user;
    if (client->reader)
        reader_sent(client->reader, sequence);
}

static void on_sending(void *user, uint64_t sequence)
{
    struct client *client = user;
    if (client->reader)
        reader_sending(client->reader, sequence);
}

static bool send_json(struct client *client, const struct journal_record *record)
{
    scoped(framed) struct framed f = {0};
    scoped(buffer) struct buffer text = {0};
    struct err e = {0};
    bool binary = false;
    if (!framing_v1_decode(record->frame, &f, &e) ||
        !framing_json_encode(&f.message, &text, &binary, &e)) {
        log_warn("a kernel sent what is no message", F_STR("why", e.text));
        return true;
    }
    size_t len = 0;
    char *data = buffer_take(&text, &len);
    struct shared *shared = shared_new(data, len);
    bool more = websocket_send(client->socket, shared, shared_view(shared), binary, on_sent,
                               record->sequence);
    shared_free(shared);
    return more;
}

static bool on_record(void *user, struct shared *owner, const struct journal_record *record)
{
    struct client *client = user;
    if (!client->v1)
        return send_json(client, record);
    return websocket_send(client->socket, owner, record->frame, true, on_sent, record->sequence);
}

static void on_end(void *user, int code, const char *reason)
{
    struct client *client = user;
    client->reader = NULL;
    websocket_close(client->socket, code, reason);
}

static const struct reader_events reader_events = {on_record, on_end, NULL, NULL};

/* Decodes a client's message; frame is its v1 form, in scratch if it came in the other framing. */
static bool decode(const struct client *client, struct bytes data, bool binary, struct framed *f,
                   struct buffer *scratch, struct bytes *frame, struct err *e)
{
    if (client->v1) {
        *frame = data;
        if (!binary)
            return fail(e, CLOSE_UNSUPPORTED, "this subprotocol speaks binary messages alone");
        if (framing_v1_decode(data, f, e))
            return true;
    } else if (framing_json_decode(data, binary, f, e)) {
        framing_v1_encode(&f->message, scratch);
        *frame = buffer_view(scratch);
        return true;
    }
    e->status = CLOSE_BAD_DATA;
    return false;
}

static void on_message(void *user, struct bytes data, bool binary)
{
    struct client *client = user;
    if (!client->reader)
        return;
    scoped(framed) struct framed f = {0};
    scoped(buffer) struct buffer scratch = {0};
    struct bytes frame;
    struct err e = {0};
    if (!decode(client, data, binary, &f, &scratch, &frame, &e)) {
        stop(client, e.status, e.text);
    } else if (f.message.channel == CHANNEL_IOPUB) {
        stop(client, CLOSE_BAD_DATA, "channel: clients do not send on iopub");
    } else if (!kernel_send(reader_kernel(client->reader), client->session, &f.message, frame,
                            &e)) {
        stop(client, e.status == 503 ? CLOSE_TRY_LATER : CLOSE_BAD_DATA, e.text);
    }
}

static void on_drain(void *user)
{
    struct client *client = user;
    if (client->reader)
        reader_resume(client->reader);
}

static void on_closed(void *user)
{
    struct client *client = user;
    reader_close(client->reader);
    free(client);
}

static const struct websocket_events socket_events = {on_message, on_drain, on_closed, on_sending,
                                                      NULL};

/* A client that comes to a dead kernel is told so at once. */
static void tell_dead(struct client *client, const struct kernel *k)
{
    scoped(buffer) struct buffer frame = {0};
    notice_end(&frame, kernel_id(k), "dead", kernel_cause(k), kernel_reason(k));
    size_t len = 0;
    char *data = buffer_take(&frame, &len);
    struct shared *owner = shared_new(data, len);
    const struct journal_record record = {.frame = shared_view(owner)};
    on_record(client, owner, &record);
    shared_free(owner);
}

static bool session_fits(const char *session)
{
    size_t len = strlen(session);
    if (len == 0 || len > SESSION_LIMIT_BYTES || !utf8_valid(bytes_of(session)))
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)session[i] < 0x20 || session[i] == 0x7f)
            return false;
    return true;
}

void jupyter_channels_open(struct exchange *x, void *core)
{
    struct err e = {0};
    const char *session = exchange_query(x, "session_id");
    struct kernel *k = kernels_find(core, exchange_principal(x), exchange_param(x, "id"), &e);
    bool given = session && *session;
    if (!k || (given && !session_fits(session) &&
               !fail(&e, 400, "session_id: must be at most %d bytes without control characters",
                     SESSION_LIMIT_BYTES))) {
        exchange_fail(x, &e);
        return;
    }
    struct client *client = xcalloc(1, sizeof(*client));
    if (given)
        memcpy(client->session, session, strlen(session) + 1);
    else
        uuid_make(client->session);
    client->v1 = websocket_offered(x, FRAMING_V1_NAME);
    client->socket =
        websocket_accept(x, client->v1 ? FRAMING_V1_NAME : NULL, &socket_events, client);
    client->reader = reader_open(k, client->session, given, &reader_events, client);
    if (kernel_state(k) == KERNEL_DEAD)
        tell_dead(client, k);
}
