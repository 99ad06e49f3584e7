/* An execution's events to one client as they come, as lines of JSON or as server-sent events.
 *
 * Invariant: what is gathered for the socket is bounded: nothing more is taken from the follower
 * while the client has not taken the last piece. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/dialect/v1_executions.h"
#include "protocol/json.h"

#define PIECE_BYTES (64 * 1024)

struct stream {
    struct exchange *exchange;
    struct execution *execution; /* owned */
    struct execution_follower *follower;
    enum v1_stream form;
    const struct v1_stream_words *words; /* NULL: ours */
    uint64_t after;
    struct buffer out;
    bool slow;    /* the client has not taken the last piece */
    bool settled; /* goes on to artifacts_settled, */
    bool waiting; /* which it waits for */
};

enum v1_stream v1_stream_wanted(const struct exchange *x)
{
    const char *accept = exchange_header(x, "accept");
    if (accept && strstr(accept, "text/event-stream"))
        return STREAM_EVENTS;
    if (accept && strstr(accept, "application/x-ndjson"))
        return STREAM_LINES;
    return STREAM_NONE;
}

static bool read_number(const char *text, const char *name, uint64_t *out, struct err *e)
{
    size_t len = text ? strlen(text) : 1;
    *out = 0;
    if (len == 0 || len > 18 || (text && strspn(text, "0123456789") != len))
        return fail(e, 400, "%s: must be a number", name);
    if (text)
        *out = strtoull(text, NULL, 10);
    return true;
}

/* An EventSource that comes back asks for the same URL, and says besides where it was. */
bool v1_events_after(const struct exchange *x, uint64_t *after, struct err *e)
{
    uint64_t seen;
    if (!read_number(exchange_query(x, "after"), "after", after, e) ||
        !read_number(exchange_header(x, "last-event-id"), "Last-Event-ID", &seen, e))
        return false;
    if (seen > *after)
        *after = seen;
    return true;
}

static void stream_free(struct stream *s)
{
    execution_release(s->execution);
    buffer_free(&s->out);
    free(s);
}

static void send_out(struct stream *s)
{
    if (s->out.len && !s->slow) {
        s->slow = !exchange_send(s->exchange, buffer_view(&s->out));
        if (s->slow) /* hundreds that wait keep no memory for what is not there yet */
            buffer_free(&s->out);
        else
            buffer_clear(&s->out);
    }
}

static void begin_item(struct stream *s, uint64_t number)
{
    if (s->form == STREAM_EVENTS)
        buffer_printf(&s->out, "id: %llu\ndata: ", (unsigned long long)number);
}

static void end_item(struct stream *s)
{
    buffer_add_text(&s->out, s->form == STREAM_EVENTS ? "\n\n" : "\n");
}

static bool is_text(const struct stream *s)
{
    return s->form == STREAM_STDOUT || s->form == STREAM_STDERR;
}

static bool on_event(void *user, const struct execution_event *event)
{
    struct stream *s = user;
    if (s->words) {
        s->words->event(event, &s->out);
    } else if (is_text(s)) {
        v1_event_write_text(event, s->form == STREAM_STDERR, &s->out);
    } else {
        begin_item(s, event->number);
        v1_event_write(event, &s->out);
        end_item(s);
    }
    if (s->out.len >= PIECE_BYTES)
        send_out(s);
    return !s->slow;
}

static void on_pause(void *user)
{
    send_out(user);
}

static void add_problem(struct stream *s, const struct err *e)
{
    if (s->words) {
        s->words->problem(e, &s->out);
        return;
    }
    buffer_add_text(&s->out, s->form == STREAM_EVENTS ? "event: problem\ndata: " : "");
    buffer_printf(&s->out, "{\"type\":\"problem\",\"status\":%d,\"detail\":", e->status);
    json_quote(&s->out, bytes_of(e->text));
    buffer_add_text(&s->out, "}");
    end_item(s);
}

static void finish(struct stream *s)
{
    exchange_send(s->exchange, buffer_view(&s->out));
    exchange_end(s->exchange);
    stream_free(s);
}

static void on_settled(void *user, const struct err *e)
{
    struct stream *s = user;
    uint64_t number = execution_events_count(s->execution) + 1;
    if (!s->exchange) {
        stream_free(s);
        return;
    }
    if (e) {
        add_problem(s, e);
    } else if (number > s->after) {
        begin_item(s, number);
        v1_event_write_settled(s->execution, &s->out);
        end_item(s);
    }
    finish(s);
}

static void on_end(void *user, const struct err *e)
{
    struct stream *s = user;
    s->follower = NULL;
    uint64_t last = execution_events_count(s->execution);
    if (is_text(s) && e) { /* the text has no place for the reason: it breaks off */
        exchange_cut(s->exchange);
        stream_free(s);
        return;
    }
    if (e) {
        add_problem(s, e);
    } else if (s->words) {
        s->words->end(s->execution, &s->out);
    } else if (!is_text(s) && last > s->after) {
        begin_item(s, last);
        v1_event_write_end(s->execution, &s->out);
        end_item(s);
    }
    if (!s->settled || (e && !execution_ended(s->execution))) {
        finish(s);
        return;
    }
    send_out(s);
    s->waiting = true;
    execution_await(s->execution, EXECUTION_SETTLED, on_settled, s);
}

static void on_ready(void *user)
{
    struct stream *s = user;
    s->slow = false;
    send_out(s);
    if (!s->slow && s->follower)
        execution_follow_on(s->follower);
}

static void on_gone(void *user)
{
    struct stream *s = user;
    execution_follow_close(s->follower);
    s->exchange = NULL;
    if (!s->waiting)
        stream_free(s);
}

static void stream_begin(struct exchange *x, struct execution *execution, const struct stream *as)
{
    static const struct pieces_events pieces = {on_ready, on_gone};
    static const struct follower_events events = {on_event, on_pause, on_end};
    static const char *const types[] = {[STREAM_LINES] = "application/x-ndjson",
                                        [STREAM_EVENTS] = "text/event-stream",
                                        [STREAM_STDOUT] = "text/plain; charset=utf-8",
                                        [STREAM_STDERR] = "text/plain; charset=utf-8"};
    struct err e = {0};
    struct stream *s = xmemdup(as, sizeof(*as));
    s->follower = execution_follow(execution, s->after, &events, s, &e);
    if (!s->follower) {
        free(s);
        exchange_fail(x, &e);
        return;
    }
    s->exchange = x;
    s->execution = execution_keep(execution);
    if (!exchange_begin(x, 200, types[s->form], &pieces, s)) {
        execution_follow_close(s->follower);
        stream_free(s);
        return;
    }
    exchange_send(x, (struct bytes){0}); /* the head goes at once */
    execution_follow_on(s->follower);
}

void v1_stream_reply(struct exchange *x, struct execution *execution, enum v1_stream form,
                     uint64_t after, bool settled)
{
    struct stream as = {.form = form, .after = after, .settled = settled};
    stream_begin(x, execution, &as);
}

void v1_stream_reply_as(struct exchange *x, struct execution *execution,
                        const struct v1_stream_words *words)
{
    struct stream as = {.form = STREAM_LINES, .words = words};
    stream_begin(x, execution, &as);
}
