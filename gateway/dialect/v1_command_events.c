/* The events of a command, read from its log by any number of readers, each at its own pace: a slow
 * one costs a piece of memory and delays nobody.
 *
 * One event is an object {"number", "kind", "time", …}, kind one of
 *   "started"
 *   "stdout", "stderr": "offset" and "bytes" in that stream, and "text", or "base64" where it was
 *     asked for or the bytes are no UTF-8
 *   "end": the outcome, as in the model
 *   "artifacts_settled": "settled", "artifacts", "files_changed"; if it was asked for.
 * As NDJSON a line each; as server-sent events with the number as id and the kind as event. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gateway/dialect/v1.h"
#include "gateway/dialect/v1_commands.h"
#include "protocol/ids.h"
#include "protocol/json.h"
#include "protocol/utf8.h"

#define PIECE_BYTES (128 * 1024)
#define TURN_BYTES  (1024 * 1024) /* of a log, read before others have their turn */

struct event_reader {
    struct exchange *x;
    struct command_run *run; /* NULL: forgotten */
    struct command_watch *watch;
    struct run_cursor cursor;
    struct v1_command_stream what;
    bool waits; /* for the client, or for its next turn */
};

/* --- one event */

static void add_output(struct buffer *out, struct bytes text, uint64_t offset, bool base64)
{
    buffer_printf(out, ",\"offset\":%" PRIu64 ",\"bytes\":%zu,", offset, text.len);
    if (!base64 && utf8_valid(text)) {
        buffer_add_text(out, "\"text\":");
        json_quote(out, text);
    } else {
        buffer_add_text(out, "\"base64\":\"");
        v1_base64(out, text);
        buffer_add_text(out, "\"");
    }
}

static void add_end(struct buffer *out, const struct command_run *r)
{
    scoped(json) json_t *outcome = v1_command_outcome(r);
    scoped(string) char *text = json_dumps(outcome, JSON_COMPACT);
    buffer_add_text(out, ",");
    buffer_add(out, text + 1, strlen(text) - 2);
}

static const char *const kinds[] = {[RECORD_STARTED] = "started",
                                    [RECORD_STDOUT] = "stdout",
                                    [RECORD_STDERR] = "stderr",
                                    [RECORD_ENDED] = "end"};

void v1_command_event_write(struct buffer *out, const struct command_run *r,
                            const struct record *record, struct bytes text, uint64_t offset,
                            bool base64)
{
    char time[TIME_TEXT];
    time_text((struct timespec){record->time_us / 1000000, record->time_us % 1000000 * 1000}, time);
    buffer_printf(out, "{\"number\":%" PRIu64 ",\"kind\":\"%s\",\"time\":\"%s\"", record->number,
                  kinds[record->kind], time);
    if (record->kind == RECORD_ENDED)
        add_end(out, r);
    else if (record->kind != RECORD_STARTED)
        add_output(out, text, offset, base64);
    buffer_add_text(out, "}");
}

static void add_event(struct buffer *out, const struct event_reader *reader,
                      const struct record *record, struct bytes text, uint64_t offset)
{
    if (reader->what.form == STREAM_EVENTS)
        buffer_printf(out, "id: %" PRIu64 "\nevent: %s\ndata: ", record->number,
                      kinds[record->kind]);
    v1_command_event_write(out, reader->run, record, text, offset, reader->what.base64);
    buffer_add_text(out, reader->what.form == STREAM_EVENTS ? "\n\n" : "\n");
}

uint64_t v1_command_settled_number(const struct command_run *r)
{
    return run_log_last(command_run_log(r)) + 1;
}

void v1_command_settled_write(struct buffer *out, const struct command_run *r)
{
    scoped(json) json_t *settled = json_loads(command_run_settlement(r), 0, NULL);
    scoped(json) json_t *event =
        json_pack("{s:I, s:s, s:O?}", "number", (json_int_t)v1_command_settled_number(r), "kind",
                  "artifacts_settled", "time", json_object_get(settled, "settled"));
    json_object_update(event, settled);
    scoped(string) char *text = json_dumps(event, JSON_COMPACT);
    buffer_add_text(out, text);
}

static void add_settled(struct buffer *out, const struct event_reader *reader)
{
    bool lines = reader->what.form != STREAM_EVENTS;
    if (!lines)
        buffer_printf(out, "id: %" PRIu64 "\nevent: artifacts_settled\ndata: ",
                      v1_command_settled_number(reader->run));
    v1_command_settled_write(out, reader->run);
    buffer_add_text(out, lines ? "\n" : "\n\n");
}

/* --- the stream */

static void release(struct event_reader *reader)
{
    command_watch_close(reader->watch);
    free(reader);
}

static bool is_text(const struct event_reader *reader)
{
    return reader->what.form == STREAM_STDOUT || reader->what.form == STREAM_STDERR;
}

/* The bytes of one output, or events. */
static void add(struct buffer *out, const struct event_reader *reader, const struct record *record,
                struct bytes text, uint64_t offset)
{
    if (is_text(reader)) {
        if (record->kind == (reader->what.form == STREAM_STDOUT ? RECORD_STDOUT : RECORD_STDERR))
            buffer_add_bytes(out, text);
    } else {
        add_event(out, reader, record, text, offset);
    }
}

/* The next piece of what is wanted; false: there is none now, or none in the next *left bytes of
 * the log, from which goes what was read. */
static bool next_piece(struct event_reader *reader, struct buffer *out, size_t *left)
{
    scoped(buffer) struct buffer records = {0};
    struct record record;
    struct bytes text;
    while (!out->len && *left && command_run_find(reader->run, &reader->cursor)) {
        uint64_t at[2] = {reader->cursor.bytes[0], reader->cursor.bytes[1]};
        buffer_clear(&records);
        if (!command_run_read(reader->run, &reader->cursor, &records, PIECE_BYTES))
            break;
        *left -= records.len < *left ? records.len : *left;
        struct bytes rest = buffer_view(&records);
        while (run_log_next(&rest, &record, &text)) {
            bool second = record.kind == RECORD_STDERR;
            add(out, reader, &record, text, at[second]);
            if (record.kind == RECORD_STDOUT || second)
                at[second] += record.len;
        }
    }
    return out->len > 0;
}

/* All of the log was given. */
static void finish(struct event_reader *reader)
{
    scoped(buffer) struct buffer out = {0};
    struct exchange *x = reader->x;
    const struct command_run *r = reader->run;
    bool settled = reader->what.settled && !is_text(reader);
    if (settled && command_run_unsettled(r)) { /* it breaks off: there is more, from another */
        release(reader);
        exchange_cut(x);
        return;
    }
    if (settled && !command_run_settlement(r) && reader->what.follow)
        return;
    if (settled && command_run_settlement(r) && v1_command_settled_number(r) > reader->what.after)
        add_settled(&out, reader);
    if (out.len)
        exchange_send(x, buffer_view(&out));
    exchange_end(x);
    release(reader);
}

static void pump(struct event_reader *reader)
{
    scoped(buffer) struct buffer out = {0};
    size_t left = TURN_BYTES;
    while (!reader->waits && next_piece(reader, &out, &left)) {
        reader->waits = !exchange_send(reader->x, buffer_view(&out));
        buffer_clear(&out);
    }
    if (!reader->waits && !left) {
        exchange_yield(reader->x);
        reader->waits = true;
    }
    if (!reader->waits && (run_log_end(command_run_log(reader->run)) || !reader->what.follow))
        finish(reader);
}

static void on_ready(void *user)
{
    struct event_reader *reader = user;
    reader->waits = false;
    pump(reader);
}

static void on_client_gone(void *user)
{
    release(user);
}

static void on_more(void *user)
{
    struct event_reader *reader = user;
    if (!reader->waits)
        pump(reader);
}

/* The command is forgotten before its reader had all of it. */
static void on_run_gone(void *user)
{
    struct event_reader *reader = user;
    reader->watch = NULL;
    exchange_cut(reader->x);
    release(reader);
}

void v1_command_stream(struct exchange *x, struct command_run *r,
                       const struct v1_command_stream *what)
{
    static const struct pieces_events events = {on_ready, on_client_gone};
    struct event_reader *reader = xcalloc(1, sizeof *reader);
    *reader =
        (struct event_reader){.x = x, .run = r, .cursor = {.next = what->after + 1}, .what = *what};
    static const char *const types[] = {[STREAM_LINES] = "application/x-ndjson",
                                        [STREAM_EVENTS] = "text/event-stream",
                                        [STREAM_STDOUT] = "application/octet-stream",
                                        [STREAM_STDERR] = "application/octet-stream"};
    if (!exchange_begin(x, what->status, types[what->form], &events, reader)) {
        free(reader);
        return;
    }
    exchange_send(x, (struct bytes){0}); /* the head, though nothing may come for long */
    reader->watch = command_run_watch(r, on_more, on_run_gone, reader);
    pump(reader);
}

/* --- GET …/events */

static bool read_flag(const char *text, const char *name, bool *out, struct err *e)
{
    if (!text)
        return true;
    if (strcmp(text, "0") != 0 && strcmp(text, "1") != 0)
        return fail(e, 400, "%s: must be 0 or 1", name);
    *out = *text == '1';
    return true;
}

void v1_command_events(struct exchange *x, void *core)
{
    struct err e = {0};
    struct command_run *r = v1_command_find(x, core);
    enum v1_stream form = v1_stream_wanted(x);
    struct v1_command_stream what = {
        .form = form == STREAM_NONE ? STREAM_LINES : form, .follow = true, .status = 200};
    if (!r)
        return;
    if (!v1_events_after(x, &what.after, &e) || !v1_settled_wanted(x, &what.settled, &e) ||
        !read_flag(exchange_query(x, "follow"), "follow", &what.follow, &e) ||
        !v1_command_encoding(exchange_query(x, "encoding"), &what.base64, &e))
        exchange_fail(x, &e);
    else
        v1_command_stream(x, r, &what);
}

void v1_command_output(struct exchange *x, void *core)
{
    struct err e = {0};
    struct command_run *r = v1_command_find(x, core);
    const char *name = exchange_query(x, "stream");
    bool of_stderr = name && strcmp(name, "stderr") == 0;
    struct v1_command_stream what = {
        .form = of_stderr ? STREAM_STDERR : STREAM_STDOUT, .follow = true, .status = 200};
    if (!r)
        return;
    if ((name && !of_stderr && strcmp(name, "stdout") != 0 &&
         !fail(&e, 400, "stream: must be stdout or stderr")) ||
        !read_flag(exchange_query(x, "follow"), "follow", &what.follow, &e))
        exchange_fail(x, &e);
    else
        v1_command_stream(x, r, &what);
}
