/* Results, logs and errors of a run in the words of sandbox_sdk. What was displayed is spliced in
 * as the kernel wrote it; only the text of streams is decoded, because it is told in lines. */
#include "gateway/dialect/sdbx_result.h"

#include <string.h>

#include "gateway/dialect/sdbx.h"
#include "protocol/json.h"

/* Media types and their words. */
static const struct {
    const char *type, *word;
} formats[] = {
    {"text/plain", "text"},
    {"text/html", "html"},
    {"text/markdown", "markdown"},
    {"image/svg+xml", "svg"},
    {"image/png", "png"},
    {"image/jpeg", "jpeg"},
    {"application/pdf", "pdf"},
    {"text/latex", "latex"},
    {"application/json", "json"},
    {"application/javascript", "javascript"},
    {"image/gif", "image/gif"},
    {"image/webp", "image/webp"},
    {"application/geo+json", "application/geo+json"},
    {"application/vnd.plotly.v1+json", "application/vnd.plotly.v1+json"},
    {"application/vnd.vega.v5+json", "application/vnd.vega.v5+json"},
    {"application/vnd.vegalite.v5+json", "application/vnd.vegalite.v5+json"},
    {"application/vnd.bokehjs_exec.v0+json", "application/vnd.bokehjs_exec.v0+json"},
    {"application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-view+json"},
};

enum kind { KIND_OTHER, KIND_STREAM, KIND_RESULT, KIND_DISPLAY, KIND_ERROR };

static enum kind kind_of(const struct execution_event *event)
{
    static const struct {
        const char *type;
        enum kind kind;
    } kinds[] = {
        {"stream", KIND_STREAM},
        {"execute_result", KIND_RESULT},
        {"display_data", KIND_DISPLAY},
        {"error", KIND_ERROR},
    };
    for (size_t i = 0; i < countof(kinds); i++)
        if (bytes_is(event->msg_type, kinds[i].type))
            return kinds[i].kind;
    return KIND_OTHER;
}

/* The members of a result, without braces: `"text":...,"is_main_result":true`. */
static void add_result(const struct message *m, bool main, struct buffer *out)
{
    struct slice data = {.name = "data"}, found[countof(formats)];
    for (size_t i = 0; i < countof(formats); i++)
        found[i] = (struct slice){.name = formats[i].type};
    if (json_slices(m->content, &data, 1, NULL) && json_slice_is_object(data.value) &&
        json_slices(data.value, found, countof(found), NULL))
        for (size_t i = 0; i < countof(formats); i++) {
            if (!found[i].value.len)
                continue;
            buffer_printf(out, "\"%s\":", formats[i].word);
            buffer_add_bytes(out, found[i].value);
            buffer_add_text(out, ",");
        }
    const char *is = main ? "true" : "false";
    buffer_printf(out, "\"is_main_result\":%s,\"isMainResult\":%s", is, is);
}

/* --- errors */

/* A run that did not end by an error of its code. */
struct ending {
    const char *status, *name, *value;
};

static const struct ending *ending_of(const char *status)
{
    static const struct ending endings[] = {
        {"timeout", "TimeoutError", "the run passed its deadline and was ended"},
        {"output_limit", "OutputLimitError", "the run put out more than it may"},
        {"killed", "KernelDiedError", "the interpreter ended"},
        {"oom", "OutOfMemoryError", "there was no memory left"},
        {"lost", "KernelDiedError", "nobody can say how the run ended"},
        {"interrupted", "KeyboardInterrupt", "the run was interrupted"},
        {"cancelled", "CancelledError", "the run was cancelled before it began"},
        {"aborted", "AbortedError", "a run before it failed"},
    };
    for (size_t i = 0; i < countof(endings); i++)
        if (strcmp(endings[i].status, status) == 0)
            return &endings[i];
    return NULL;
}

static json_t *joined(json_t *lines)
{
    scoped(buffer) struct buffer text = {0};
    json_t *line;
    size_t i;
    json_array_foreach(lines, i, line)
    {
        buffer_add_text(&text, i ? "\n" : "");
        buffer_add(&text, json_string_value(line), json_string_length(line));
    }
    return json_stringn(text.data ? text.data : "", text.len);
}

/* Of a record, or of an error as execution_error_write has it; given. */
static json_t *error_model(json_t *error)
{
    json_t *name = json_object_get(error, "name"), *value = json_object_get(error, "value");
    return json_pack("{s:O?, s:O?, s:o}", "name", name, "value", value, "traceback",
                     joined(json_object_get(error, "traceback")));
}

static json_t *error_of(json_t *record)
{
    json_t *error = json_object_get(record, "error");
    const char *status = json_string_value(json_object_get(record, "status"));
    const char *reason = json_string_value(json_object_get(record, "reason"));
    const struct ending *ending = ending_of(status ? status : "");
    if (!ending)
        return json_is_object(error) ? error_model(error) : json_null();
    return json_pack("{s:s, s:s, s:o}", "name", ending->name, "value",
                     reason ? reason : ending->value, "traceback",
                     joined(json_object_get(error, "traceback")));
}

/* --- what is told of the run itself */

static json_t *or_null(json_t *value)
{
    return value ? json_incref(value) : json_null();
}

static json_t *outcome(const struct execution *x)
{
    static const char *const members[][2] = {
        {"executionCount", "execution_count"},
        {"executionId", "id"},
        {"contextId", "context_id"},
        {"startTime", "started"},
        {"endTime", "ended"},
        {"duration", "run_ms"},
    };
    scoped(buffer) struct buffer text = {0};
    execution_write_ended(x, false, &text);
    scoped(json) json_t *record = json_loadb(text.data, text.len, JSON_ALLOW_NUL, NULL);
    json_t *m = json_pack("{s:o, s:s}", "error", error_of(record), "status", execution_status(x));
    for (size_t i = 0; i < countof(members); i++)
        sdbx_set(m, members[i][0], or_null(json_object_get(record, members[i][1])));
    return m;
}

/* --- gathered */

struct gathering {
    struct buffer results;
    struct buffer streams[2]; /* stdout and stderr, decoded */
    bool shown, truncated;
};

static bool gather(void *user, const struct execution_event *event)
{
    struct gathering *g = user;
    enum kind kind = kind_of(event);
    size_t held = g->results.len + g->streams[0].len + g->streams[1].len;
    if (event->is_last)
        return true;
    if (held + event->message->content.len > SDBX_OUTPUTS_BYTES) {
        g->truncated = true;
        return false;
    }
    if (kind == KIND_STREAM) {
        bool of_stderr;
        size_t len = 0;
        scoped(string) char *text =
            json_slice_string(v1_event_raw_text(event->message, &of_stderr), &len);
        if (text)
            buffer_add(&g->streams[of_stderr], text, len);
    } else if (kind == KIND_RESULT || kind == KIND_DISPLAY) {
        buffer_add_text(&g->results, g->shown ? ",{" : "{");
        add_result(event->message, kind == KIND_RESULT, &g->results);
        buffer_add_text(&g->results, "}");
        g->shown = true;
    }
    return true;
}

static struct bytes without_last_end(struct bytes text)
{
    bool ends = text.len && text.data[text.len - 1] == '\n';
    return (struct bytes){text.data, text.len - ends};
}

static void add_lines(struct bytes text, struct buffer *out)
{
    struct bytes rest = without_last_end(text);
    buffer_add_text(out, "[");
    while (text.len) {
        const char *end = rest.len ? memchr(rest.data, '\n', rest.len) : NULL;
        json_quote(out, (struct bytes){rest.data, end ? (size_t)(end - rest.data) : rest.len});
        if (!end)
            break;
        buffer_add_text(out, ",");
        rest.len -= (size_t)(end + 1 - rest.data);
        rest.data = end + 1;
    }
    buffer_add_text(out, "]");
}

static void add_results(const struct gathering *g, bool well, struct buffer *out)
{
    buffer_add_text(out, "{\"results\":[");
    buffer_add_bytes(out, buffer_view(&g->results));
    if (well && !g->shown && g->streams[0].len) {
        buffer_add_text(out, "{\"type\":\"stdout\",\"text\":");
        json_quote(out, without_last_end(buffer_view(&g->streams[0])));
        buffer_add_text(out, ",\"is_main_result\":true,\"isMainResult\":true}");
    }
    buffer_add_text(out, "],\"logs\":{\"stdout\":");
    add_lines(buffer_view(&g->streams[0]), out);
    buffer_add_text(out, ",\"stderr\":");
    add_lines(buffer_view(&g->streams[1]), out);
    buffer_add_text(out, "},");
}

void sdbx_write_whole(struct execution *x, struct buffer *out)
{
    struct gathering g = {0};
    struct err e = {0};
    scoped(json) json_t *m = outcome(x);
    bool whole = execution_events_read(x, 0, gather, &g, &e) && !g.truncated;
    json_object_set_new(m, "truncated", json_boolean(!whole));
    scoped(string) char *text = json_dumps(m, JSON_COMPACT);
    add_results(&g, strcmp(execution_status(x), "ok") == 0, out);
    buffer_add_text(out, text + 1);
    buffer_free(&g.results);
    buffer_free(&g.streams[0]);
    buffer_free(&g.streams[1]);
}

/* --- as it comes */

static void add_error_line(const struct message *m, struct buffer *out)
{
    scoped(buffer) struct buffer text = {0};
    buffer_add_text(&text, "{");
    execution_error_write(m->content, true, &text);
    buffer_add_text(&text, "}");
    scoped(json) json_t *error = json_loadb(text.data, text.len, JSON_ALLOW_NUL, NULL);
    scoped(json) json_t *told = error_model(error);
    json_object_set_new(told, "type", json_string("error"));
    scoped(string) char *line = json_dumps(told, JSON_COMPACT);
    buffer_printf(out, "%s\n", line);
}

static void add_event(const struct execution_event *event, struct buffer *out)
{
    bool of_stderr;
    enum kind kind = kind_of(event);
    struct bytes text;
    size_t from = out->len;
    switch (kind) {
    case KIND_STREAM:
        text = v1_event_raw_text(event->message, &of_stderr);
        buffer_printf(out, "{\"type\":\"%s\",\"text\":", of_stderr ? "stderr" : "stdout");
        buffer_add_bytes(out, text.len ? text : bytes_of("\"\""));
        buffer_add_text(out, "}");
        break;
    case KIND_RESULT:
    case KIND_DISPLAY:
        buffer_add_text(out, "{\"type\":\"result\",");
        add_result(event->message, kind == KIND_RESULT, out);
        buffer_add_text(out, "}");
        break;
    case KIND_ERROR:
        add_error_line(event->message, out);
        return;
    case KIND_OTHER:
        return;
    }
    v1_join_lines(out, from);
    buffer_add_text(out, "\n");
}

static void add_end(const struct execution *x, struct buffer *out)
{
    scoped(json) json_t *m = outcome(x);
    json_object_set_new(m, "type", json_string("end"));
    scoped(string) char *text = json_dumps(m, JSON_COMPACT);
    buffer_add_text(out, text);
    buffer_add_text(out, "\n");
}

static void add_problem(const struct err *e, struct buffer *out)
{
    buffer_printf(out, "{\"type\":\"problem\",\"status\":%d,\"message\":", e->status);
    json_quote(out, bytes_of(e->text));
    buffer_add_text(out, "}\n");
}

const struct v1_stream_words sdbx_words = {add_event, add_end, add_problem};
