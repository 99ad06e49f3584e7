/* GET /v1/sandboxes/{id}/files/{path}?watch=1: what changes in a folder, as events for as long as
 * the client listens.
 *
 * An event is {"number", "type", "time"} and, of what happened to a file, "path", "url" and
 * "folder", of a move "from", of the end "reason". Types: "ready" is the first; "created",
 * "modified", "attributes", "moved", "deleted"; "overflow": changes were not told; "end" is the
 * last. As NDJSON a line each; as server-sent events with the number as id and the type as event.
 */
#include <inttypes.h>

#include "gateway/core/file_watch.h"
#include "gateway/dialect/v1_executions.h"
#include "gateway/dialect/v1_files.h"
#include "protocol/ids.h"
#include "protocol/json.h"
#include "protocol/memory.h"
#include "protocol/utf8.h"

struct watching {
    struct exchange *x;
    struct file_watch *watch;
    uint64_t number;
    bool lines; /* NDJSON */
};

static void add_text(struct buffer *out, const char *name, const char *bytes)
{
    scoped(buffer) struct buffer clean = {0};
    utf8_clean(&clean, bytes_of(bytes));
    buffer_printf(out, ",\"%s\":", name);
    json_quote(out, buffer_view(&clean));
}

static void begin_event(struct watching *w, struct buffer *out, const char *type)
{
    char time[TIME_TEXT];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    time_text(now, time);
    w->number++;
    if (!w->lines)
        buffer_printf(out, "id: %" PRIu64 "\nevent: %s\ndata: ", w->number, type);
    buffer_printf(out, "{\"number\":%" PRIu64 ",\"type\":\"%s\",\"time\":\"%s\"", w->number, type,
                  time);
}

static void end_event(const struct watching *w, struct buffer *out)
{
    buffer_add_text(out, w->lines ? "}\n" : "}\n\n");
}

static void add_event(struct watching *w, struct buffer *out, const struct watch_event *event)
{
    static const char *const types[] = {
        [WATCH_CREATED] = "created", [WATCH_MODIFIED] = "modified",
        [WATCH_MOVED] = "moved",     [WATCH_ATTRIBUTES] = "attributes",
        [WATCH_DELETED] = "deleted", [WATCH_OVERFLOW] = "overflow",
        [WATCH_ENDED] = "end",
    };
    begin_event(w, out, types[event->kind]);
    if (event->path) {
        scoped(string) char *url = v1_files_url(w->x, event->path);
        add_text(out, "path", event->path);
        add_text(out, "url", url);
        if (event->from)
            add_text(out, "from", event->from);
        buffer_printf(out, ",\"folder\":%s", event->folder ? "true" : "false");
    }
    end_event(w, out);
}

static void send(struct watching *w, const struct buffer *out)
{
    if (exchange_send(w->x, buffer_view(out))) /* else on_ready asks for more */
        file_watch_next(w->watch);
}

static void on_events(void *user, const struct watch_events *events)
{
    struct watching *w = user;
    scoped(buffer) struct buffer out = {0};
    for (size_t i = 0; i < events->count; i++)
        add_event(w, &out, &events->event[i]);
    send(w, &out);
}

static void on_end(void *user, const char *reason)
{
    struct watching *w = user;
    struct exchange *x = w->x;
    scoped(buffer) struct buffer out = {0};
    begin_event(w, &out, "end");
    add_text(&out, "reason", reason);
    end_event(w, &out);
    free(w);
    exchange_send(x, buffer_view(&out));
    exchange_end(x);
}

static void on_ready(void *user)
{
    struct watching *w = user;
    file_watch_next(w->watch);
}

static void on_gone(void *user)
{
    struct watching *w = user;
    file_watch_close(w->watch);
    free(w);
}

static void on_open(void *user, struct file_watch *watch, const struct err *e)
{
    static const struct pieces_events pieces = {on_ready, on_gone};
    struct watching *w = user;
    struct exchange *x = w->x;
    scoped(buffer) struct buffer out = {0};
    w->watch = watch;
    if (e) {
        free(w);
        exchange_fail(x, e);
        return;
    }
    if (!exchange_begin(x, 200, w->lines ? "application/x-ndjson" : "text/event-stream", &pieces,
                        w)) {
        file_watch_close(watch);
        free(w);
        return;
    }
    exchange_ends_with_client(x);
    begin_event(w, &out, "ready");
    end_event(w, &out);
    send(w, &out);
}

void v1_files_watch(struct exchange *x, struct core *c)
{
    static const struct file_watch_events events = {on_events, on_end};
    struct err e = {0};
    bool deep;
    struct sandbox *s = v1_files_sandbox(x, c);
    if (!s)
        return;
    if (!v1_files_flag(x, "recursive", &deep, &e)) {
        exchange_fail(x, &e);
        return;
    }
    struct watching *w = xcalloc(1, sizeof *w);
    w->x = x;
    w->lines = v1_stream_wanted(x) != STREAM_EVENTS;
    file_watch_open(s, exchange_principal(x), v1_files_path(x), deep, &events, w, on_open);
}
