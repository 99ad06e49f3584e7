/* The record of an execution as JSON: what was asked, how it stands, how it ended. The outcome was
 * made when it ended and is spliced in; nothing of what came from the kernel is printed again. */
#include <string.h>

#include "gateway/core/execution.h"
#include "gateway/core/execution_state.h"
#include "gateway/core/state.h"
#include "protocol/json.h"

static const char *const statuses[] = {
    "queued", "running", "ok",           "error",   "interrupted", "timeout",
    "killed", "oom",     "output_limit", "aborted", "cancelled",   "lost",
};

bool execution_status_known(const char *status)
{
    for (size_t i = 0; i < countof(statuses); i++)
        if (strcmp(statuses[i], status) == 0)
            return true;
    return false;
}

const char *execution_status_word(size_t index)
{
    return index < countof(statuses) ? statuses[index] : NULL;
}

bool execution_status_ends(size_t index)
{
    return index >= 2; /* queued, running */
}

/* The length of a colour or cursor sequence in raw JSON, whose ESC is written \u001b; 0: none. */
static size_t sequence_bytes(const char *at, size_t left)
{
    static const char escape[] = "\\u001b[";
    size_t len = strlen(escape);
    if (left <= len || strncasecmp(at, escape, len) != 0)
        return 0;
    while (len < left && at[len] >= 0x20 && at[len] <= 0x3f && at[len] != '"')
        len++;
    return len < left && at[len] >= 0x40 && at[len] <= 0x7e && at[len] != '\\' ? len + 1 : 0;
}

void execution_strip_ansi(struct bytes json, struct buffer *out)
{
    size_t from = 0;
    for (size_t i = 0; i < json.len;) {
        if (json.data[i] != '\\') {
            i++;
            continue;
        }
        size_t skip = sequence_bytes(json.data + i, json.len - i);
        if (skip) {
            buffer_add(out, json.data + from, i - from);
            from = i + skip;
        }
        i += skip ? skip : 2; /* the character behind a backslash begins nothing */
    }
    if (from < json.len)
        buffer_add(out, json.data + from, json.len - from);
}

static void add_text(struct buffer *out, const char *name, const char *text)
{
    buffer_printf(out, ",\"%s\":", name);
    if (text && *text)
        json_quote(out, bytes_of(text));
    else
        buffer_add_text(out, "null");
}

/* How many requests of any client stand before it; 0: it runs. */
static size_t queue_position(const struct execution *x)
{
    size_t position = 0;
    for (const struct request *r = x->kernel->requests.first; r; r = r->next) {
        if (strcmp(r->msg_id, x->row.id) == 0)
            break;
        position += strcmp(r->msg_type, "execute_request") == 0;
    }
    return position;
}

static void add_standing(const struct execution *x, struct buffer *out)
{
    const struct execution_row *row = &x->row;
    buffer_printf(out, "{\"id\":\"%s\"", row->id);
    add_text(out, "sandbox_id", row->sandbox_id);
    add_text(out, "context_id", row->kernel_id);
    add_text(out, "context", row->context);
    add_text(out, "status", row->status);
    add_text(out, "created", row->created);
    add_text(out, "started", row->started);
    add_text(out, "ended", row->ended);
    if (x->kernel && strcmp(row->status, "queued") == 0)
        buffer_printf(out, ",\"queue_position\":%zu", queue_position(x));
    else
        buffer_add_text(out, ",\"queue_position\":null");
    buffer_printf(out, ",\"awaits_input\":%s,\"events\":%llu",
                  x->input_header.len ? "true" : "false", (unsigned long long)x->events);
    add_text(out, "idempotency_key", row->key);
}

/* The members of a JSON object behind others of ours. */
static void add_members(struct buffer *out, const char *object)
{
    size_t len = strlen(object);
    if (len <= 2)
        return;
    buffer_add_text(out, ",");
    buffer_add(out, object + 1, len - 2);
}

static void add_asked(const struct execution *x, bool with_code, struct buffer *out)
{
    size_t len = strlen(x->row.asked);
    size_t end = with_code ? len - 1 : execution_asked_head(x->row.asked, len);
    buffer_add_text(out, ",");
    buffer_add(out, x->row.asked + 1, end - 1);
}

static void write_record(const struct execution *x, bool with_code, const char *settled,
                         struct buffer *out)
{
    add_standing(x, out);
    add_asked(x, with_code, out);
    if (x->row.outcome)
        add_members(out, x->row.outcome);
    if (settled)
        add_members(out, settled);
    buffer_add_text(out, "}");
}

void execution_write(const struct execution *x, bool with_code, struct buffer *out)
{
    write_record(x, with_code, x->row.settled, out);
}

void execution_write_ended(const struct execution *x, bool with_code, struct buffer *out)
{
    write_record(x, with_code, NULL, out);
}
