/* command, and subscribe to a command: its events, read from its log while the client takes them.
 *
 * Invariant: nothing is read while the client's window is full, so that a call that waits holds no
 * events. */
#include "gateway/dialect/members.h"
#include "gateway/dialect/v1.h"
#include "gateway/dialect/v1_commands.h"
#include "gateway/dialect/v1_docs.h"
#include "gateway/dialect/v1_stream.h"
#include "gateway/net/trace.h"

static void add_records(struct v1_call *c, const struct buffer *records, uint64_t at[2])
{
    struct bytes rest = buffer_view(records), text;
    struct record record;
    while (run_log_next(&rest, &record, &text)) {
        bool second = record.kind == RECORD_STDERR;
        v1_command_event_write(v1_call_event(c), c->run, &record, text, at[second], c->base64);
        if (record.kind == RECORD_STDOUT || second)
            at[second] += record.len;
    }
}

/* Sends what there is, as far as there is room. May end the call. */
static void pump(struct v1_call *c)
{
    scoped(buffer) struct buffer records = {0};
    while (!v1_socket_full(c->socket) && command_run_find(c->run, &c->cursor)) {
        uint64_t at[2] = {c->cursor.bytes[0], c->cursor.bytes[1]};
        buffer_clear(&records);
        if (!command_run_read(c->run, &c->cursor, &records, V1_PIECE_BYTES))
            break;
        add_records(c, &records, at);
        if (c->out.len >= V1_PIECE_BYTES)
            v1_call_send(c);
    }
    if (v1_socket_full(c->socket)) {
        if (c->out.len)
            v1_call_send(c);
        v1_call_wait(c);
    } else if (run_log_end(command_run_log(c->run)) && !command_run_find(c->run, &c->cursor)) {
        v1_call_finish(c);
    } else if (c->out.len || !c->named) {
        v1_call_send(c);
    }
}

static void on_more(void *user)
{
    struct v1_call *c = user;
    if (list_empty(&c->waiting))
        pump(c);
}

/* It is forgotten, before all of it was read. */
static void on_gone(void *user)
{
    struct v1_call *c = user;
    struct err e;
    if (core_draining(c->socket->core))
        fail(&e, 503, "the gateway is ending; the command is not");
    else
        fail(&e, 404, "the command was forgotten meanwhile");
    c->watch = NULL;
    v1_call_fail(c, &e);
}

static void follow(struct v1_call *c, struct command_run *r)
{
    c->run = r;
    c->resume = pump;
    c->cursor = (struct run_cursor){.next = c->after + 1};
    c->watch = command_run_watch(r, on_more, on_gone, c);
    pump(c);
}

static void on_started(void *user, struct command_run *r, const struct err *e)
{
    struct v1_call *c = user;
    if (!v1_call_back(c))
        return;
    if (e)
        v1_call_fail(c, e);
    else
        follow(c, r);
}

void v1_stream_command(struct v1_call *c, const struct v1_frame *f)
{
    struct err e = {0};
    scoped(buffer) struct buffer input = {0};
    struct command_request request = {
        .key = f->key, .body = f->body_text, .traceparent = trace_parent(f->traceparent)};
    struct sandbox *s = v1_call_sandbox(c, f, false);
    if (!s)
        return;
    if (!members_check(f->body, &v1_command_request_schema, &e) ||
        !v1_command_request_read(f->body, &request, &input, &c->base64, &e)) {
        v1_call_fail(c, &e);
        return;
    }
    c->after = f->after;
    c->owed++;
    command_runs_start(s, &request, on_started, c);
}

void v1_stream_subscribe_command(struct v1_call *c, const struct v1_frame *f)
{
    struct err e = {0};
    struct sandbox *s = v1_call_sandbox(c, f, true);
    if (!s)
        return;
    struct command_run *r = command_runs_find(s, f->command, &e);
    if (!r || !v1_command_encoding(f->encoding, &c->base64, &e)) {
        v1_call_fail(c, &e);
        return;
    }
    c->after = f->after;
    follow(c, r);
}
