/* Events and outputs of executions as JSON. The kernel's own JSON is sliced and spliced, never
 * parsed and printed again: so numbers, escapes and large displays stay as they are. */
#include <string.h>

#include "gateway/dialect/v1_executions.h"
#include "protocol/json.h"

static void add_member(struct buffer *out, const char *name, struct bytes raw)
{
    buffer_printf(out, ",\"%s\":", name);
    buffer_add_bytes(out, raw.len ? raw : bytes_of("null"));
}

/* Of a bundle: its text/plain, when that is a string. */
static struct bytes plain_text(struct bytes data)
{
    struct slice text = {.name = "text/plain"};
    if (!json_slice_is_object(data) || !json_slices(data, &text, 1, NULL) || !text.value.len ||
        text.value.data[0] != '"')
        return (struct bytes){0};
    return text.value;
}

struct bytes v1_event_raw_text(const struct message *m, bool *of_stderr)
{
    struct slice members[] = {{.name = "name"}, {.name = "text"}};
    *of_stderr = json_slices(m->content, members, countof(members), NULL) &&
                 bytes_is(members[0].value, "\"stderr\"");
    return members[1].value;
}

static void write_display(const struct message *m, struct buffer *out)
{
    enum { DATA, METADATA, TRANSIENT, COUNT };
    struct slice members[] = {[DATA] = {.name = "data"},
                              [METADATA] = {.name = "metadata"},
                              [TRANSIENT] = {.name = "transient"},
                              [COUNT] = {.name = "execution_count"}};
    json_slices(m->content, members, countof(members), NULL);
    struct slice display = {.name = "display_id"};
    if (json_slice_is_object(members[TRANSIENT].value))
        json_slices(members[TRANSIENT].value, &display, 1, NULL);
    add_member(out, "data", members[DATA].value);
    add_member(out, "metadata", members[METADATA].value);
    add_member(out, "text", plain_text(members[DATA].value));
    if (display.value.len)
        add_member(out, "display_id", display.value);
    if (members[COUNT].value.len)
        add_member(out, "execution_count", members[COUNT].value);
}

static void write_error(const struct message *m, struct buffer *out)
{
    buffer_add_text(out, ",");
    execution_error_write(m->content, false, out);
}

static void write_input(const struct message *m, struct buffer *out)
{
    struct slice members[] = {{.name = "prompt"}, {.name = "password"}};
    json_slices(m->content, members, countof(members), NULL);
    add_member(out, "prompt", members[0].value);
    add_member(out, "password", members[1].value);
}

static void write_started(const struct message *m, struct buffer *out)
{
    struct slice members[] = {{.name = "execution_count"}};
    json_slices(m->content, members, 1, NULL);
    add_member(out, "execution_count", members[0].value);
}

static void write_clear(const struct message *m, struct buffer *out)
{
    struct slice members[] = {{.name = "wait"}};
    json_slices(m->content, members, 1, NULL);
    add_member(out, "wait", members[0].value);
}

static void write_message(const struct message *m, struct buffer *out)
{
    struct slice members[] = {{.name = "msg_type"}};
    json_slices(m->header, members, 1, NULL);
    add_member(out, "msg_type", members[0].value);
    add_member(out, "content", m->content);
}

static const struct row {
    const char *msg_type, *type;
    void (*write)(const struct message *m, struct buffer *out);
} rows[] = {
    {"stream", NULL, NULL}, /* stdout or stderr: v1_event_raw_text */
    {"execute_result", "result", write_display},
    {"display_data", "display", write_display},
    {"update_display_data", "update_display", write_display},
    {"error", "error", write_error},
    {"input_request", "input", write_input},
    {"execute_input", "started", write_started},
    {"clear_output", "clear", write_clear},
    {NULL, "message", write_message}, /* comms, and what others publish */
};

static const struct row *row_of(struct bytes msg_type)
{
    const struct row *row = rows;
    while (row->msg_type && !bytes_is(msg_type, row->msg_type))
        row++;
    return row;
}

void v1_event_write_text(const struct execution_event *event, bool wants_stderr, struct buffer *out)
{
    bool of_stderr;
    size_t len = 0;
    if (!bytes_is(event->msg_type, "stream"))
        return;
    struct bytes text = v1_event_raw_text(event->message, &of_stderr);
    if (of_stderr != wants_stderr || !text.len)
        return;
    scoped(string) char *decoded = json_slice_string(text, &len);
    if (decoded)
        buffer_add(out, decoded, len);
}

void v1_join_lines(struct buffer *out, size_t from)
{
    static const char ends[] = {'\n', '\r'};
    for (size_t i = 0; i < countof(ends); i++)
        for (char *at = out->data + from;
             (at = memchr(at, ends[i], out->len - (size_t)(at - out->data)));)
            *at = ' ';
}

void v1_event_write(const struct execution_event *event, struct buffer *out)
{
    const struct row *row = row_of(event->msg_type);
    bool of_stderr = false;
    struct bytes text =
        row->write ? (struct bytes){0} : v1_event_raw_text(event->message, &of_stderr);
    const char *type = row->type ? row->type : of_stderr ? "stderr" : "stdout";
    struct slice date = {.name = "date"};
    size_t from = out->len;
    json_slices(event->message->header, &date, 1, NULL);
    buffer_printf(out, "{\"number\":%llu,\"type\":\"%s\"", (unsigned long long)event->number, type);
    add_member(out, "time", date.value);
    if (row->write)
        row->write(event->message, out);
    else
        add_member(out, "text", text);
    buffer_add_text(out, "}");
    v1_join_lines(out, from);
}

void v1_event_write_end(const struct execution *x, struct buffer *out)
{
    size_t from = out->len;
    buffer_printf(out, "{\"number\":%llu,\"type\":\"end\",\"execution\":",
                  (unsigned long long)execution_events_count(x));
    execution_write_ended(x, false, out);
    buffer_add_text(out, "}");
    v1_join_lines(out, from);
}

/* The members of what is settled, behind ours. */
void v1_event_write_settled(const struct execution *x, struct buffer *out)
{
    const char *settled = execution_settled(x);
    size_t len = strlen(settled);
    buffer_printf(out, "{\"number\":%llu,\"type\":\"artifacts_settled\"",
                  (unsigned long long)execution_events_count(x) + 1);
    if (len > 2) {
        buffer_add_text(out, ",");
        buffer_add(out, settled + 1, len - 2);
    }
    buffer_add_text(out, "}");
}

bool v1_wanted(const struct exchange *x, const char *name, bool *out, struct err *e)
{
    const char *text = exchange_query(x, name);
    *out = text && strcmp(text, "1") == 0;
    return !text || *out || strcmp(text, "0") == 0 || fail(e, 400, "%s: must be 1 or 0", name);
}

bool v1_settled_wanted(const struct exchange *x, bool *out, struct err *e)
{
    return v1_wanted(x, "settled", out, e);
}

/* --- outputs, gathered */

struct gathering {
    size_t limit_bytes;
    struct buffer out[2]; /* raw JSON text of stdout and stderr, without quotes */
    struct buffer items;
    struct buffer text; /* of the last result */
    uint64_t last;      /* number of the last event that is in */
    bool truncated;
};

/* Raw JSON strings joined are the raw JSON string of their texts joined. */
static void gather_text(struct gathering *g, const struct message *m)
{
    bool of_stderr;
    struct bytes text = v1_event_raw_text(m, &of_stderr);
    if (text.len > 2 && text.data[0] == '"')
        buffer_add(&g->out[of_stderr], text.data + 1, text.len - 2);
}

static void gather_item(struct gathering *g, const struct row *row, const struct message *m)
{
    buffer_add_text(&g->items, g->items.len ? ",{\"type\":\"" : "{\"type\":\"");
    buffer_add_text(&g->items, row->type);
    buffer_add_text(&g->items, "\"");
    row->write(m, &g->items);
    buffer_add_text(&g->items, "}");
    if (strcmp(row->type, "result") != 0)
        return;
    struct slice data = {.name = "data"};
    json_slices(m->content, &data, 1, NULL);
    buffer_clear(&g->text);
    buffer_add_bytes(&g->text, plain_text(data.value));
}

static bool gather(void *user, const struct execution_event *event)
{
    struct gathering *g = user;
    if (event->is_last)
        return true;
    const struct row *row = row_of(event->msg_type);
    size_t held = g->out[0].len + g->out[1].len + g->items.len;
    if (held + event->message->content.len > g->limit_bytes) {
        g->truncated = true;
        return false;
    }
    g->last = event->number;
    if (!row->write)
        gather_text(g, event->message);
    else if (row->write == write_display)
        gather_item(g, row, event->message);
    return true;
}

static void add_outputs(const struct gathering *g, const struct err *e, struct buffer *out)
{
    buffer_add_text(out, ",\"outputs\":{\"stdout\":\"");
    buffer_add_bytes(out, buffer_view(&g->out[0]));
    buffer_add_text(out, "\",\"stderr\":\"");
    buffer_add_bytes(out, buffer_view(&g->out[1]));
    buffer_add_text(out, "\"");
    add_member(out, "text", buffer_view(&g->text));
    buffer_add_text(out, ",\"displays\":[");
    buffer_add_bytes(out, buffer_view(&g->items));
    buffer_printf(out, "],\"truncated\":%s,\"after\":%llu",
                  g->truncated || e->status ? "true" : "false", (unsigned long long)g->last);
    if (e->status) {
        buffer_add_text(out, ",\"problem\":");
        json_quote(out, bytes_of(e->text));
    }
    buffer_add_text(out, "}}");
}

void v1_execution_write_whole(struct execution *x, size_t limit_bytes, bool settled,
                              struct buffer *out)
{
    struct gathering g = {.limit_bytes = limit_bytes};
    struct err e = {0};
    execution_events_read(x, 0, gather, &g, &e);
    if (settled)
        execution_write(x, true, out);
    else
        execution_write_ended(x, true, out);
    out->len--; /* its last brace */
    add_outputs(&g, &e, out);
    for (size_t i = 0; i < countof(g.out); i++)
        buffer_free(&g.out[i]);
    buffer_free(&g.items);
    buffer_free(&g.text);
}
