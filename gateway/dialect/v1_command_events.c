/* The events of a command, read from its log by any number of readers, each at its own pace: a slow
 * one costs a piece of memory and delays nobody.
 *
 * One event is an object {"number", "kind", "time", …}, kind one of
 *   "started"
 *   "stdout", "stderr": "offset" and "bytes" in that stream, and "text", or "base64" where it was
 *     asked for or the bytes are no UTF-8
 *   "end": the outcome, as in the model.
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
    enum v1_stream form;
    bool base64, follow;
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
    if (reader->form == STREAM_EVENTS)
        buffer_printf(out, "id: %" PRIu64 "\nevent: %s\ndata: ", record->number,
                      kinds[record->kind]);
    v1_command_event_write(out, reader->run, record, text, offset, reader->base64);
    buffer_add_text(out, reader->form == STREAM_EVENTS ? "\n\n" : "\n");
}

/* --- the stream */

static void release(struct event_reader *reader)
{
    command_watch_close(reader->watch);
    free(reader);
}

/* The bytes of one output, or events. */
static void add(struct buffer *out, const struct event_reader *reader, const struct record *record,
                struct bytes text, uint64_t offset)
{
    if (reader->form == STREAM_STDOUT || reader->form == STREAM_STDERR) {
        if (record->kind == (reader->form == STREAM_STDOUT ? RECORD_STDOUT : RECORD_STDERR))
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
    if (reader->waits)
        return;
    if (run_log_end(command_run_log(reader->run)) || !reader->follow) {
        exchange_end(reader->x);
        release(reader);
    }
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

void v1_command_stream(struct exchange *x, struct command_run *r, enum v1_stream form, bool base64,
                       uint64_t after, bool follow, int status)
{
    static const struct pieces_events events = {on_ready, on_client_gone};
    struct event_reader *reader = xcalloc(1, sizeof *reader);
    *reader = (struct event_reader){.x = x,
                                    .run = r,
                                    .cursor = {.next = after + 1},
                                    .form = form,
                                    .base64 = base64,
                                    .follow = follow};
    static const char *const types[] = {[STREAM_LINES] = "application/x-ndjson",
                                        [STREAM_EVENTS] = "text/event-stream",
                                        [STREAM_STDOUT] = "application/octet-stream",
                                        [STREAM_STDERR] = "application/octet-stream"};
    if (!exchange_begin(x, status, types[form], &events, reader)) {
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
    uint64_t after = 0;
    bool base64 = false, follow = true;
    if (!r)
        return;
    if (!v1_events_after(x, &after, &e) ||
        !read_flag(exchange_query(x, "follow"), "follow", &follow, &e) ||
        !v1_command_encoding(exchange_query(x, "encoding"), &base64, &e)) {
        exchange_fail(x, &e);
        return;
    }
    v1_command_stream(x, r, form == STREAM_NONE ? STREAM_LINES : form, base64, after, follow, 200);
}

void v1_command_output(struct exchange *x, void *core)
{
    struct err e = {0};
    struct command_run *r = v1_command_find(x, core);
    const char *name = exchange_query(x, "stream");
    bool follow = true, of_stderr = name && strcmp(name, "stderr") == 0;
    if (!r)
        return;
    if ((name && !of_stderr && strcmp(name, "stdout") != 0 &&
         !fail(&e, 400, "stream: must be stdout or stderr")) ||
        !read_flag(exchange_query(x, "follow"), "follow", &follow, &e))
        exchange_fail(x, &e);
    else
        v1_command_stream(x, r, of_stderr ? STREAM_STDERR : STREAM_STDOUT, false, 0, follow, 200);
}
