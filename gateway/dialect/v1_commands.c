/* /v1/sandboxes/{id}/commands: run a program, list, show, write to its stdin, send it a signal, end
 * and forget it. Its events are in v1_command_events.c.
 *
 * A command is {"id", "status", "argv", "shell", "cwd", "background", "deadline_ms", "exit_code",
 * "signal", "reason", "bytes": {"stdout", "stderr"}, "started", "ended", "run_ms", "last_event",
 * "created"}, when it is settled "settled", "artifacts", "files_changed", and where one alone is
 * asked for "stdout", "stderr", "encoding", "lossy" and "truncated". */
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "gateway/core/bundle.h"
#include "gateway/dialect/v1.h"
#include "gateway/dialect/v1_commands.h"
#include "gateway/dialect/v1_docs.h"
#include "gateway/dialect/v1_page.h"
#include "gateway/net/trace.h"
#include "protocol/ids.h"
#include "protocol/json.h"
#include "protocol/utf8.h"

#define BODY_LIMIT_BYTES (32 * 1024 * 1024) /* JSON of what command_run.h allows */
#define DEADLINE_MOST_MS (INT64_C(7) * 24 * 3600 * 1000)

/* --- the model */

void v1_base64(struct buffer *out, struct bytes data)
{
    if (!data.len)
        return;
    char *into = buffer_reserve(out, (data.len + 2) / 3 * 4 + 1);
    out->len += (size_t)EVP_EncodeBlock((unsigned char *)into, (const unsigned char *)data.data,
                                        (int)data.len);
}

bool v1_command_encoding(const char *text, bool *base64, struct err *e)
{
    if (!text)
        return true;
    *base64 = strcmp(text, "base64") == 0;
    return *base64 || strcmp(text, "text") == 0 ||
           fail(e, 400, "encoding: must be \"text\" or \"base64\"");
}

static json_t *time_or_null(int64_t us)
{
    char text[TIME_TEXT];
    if (!us)
        return json_null();
    time_text((struct timespec){us / 1000000, us % 1000000 * 1000}, text);
    return json_string(text);
}

static json_t *or_null(json_t *value)
{
    return value ? json_incref(value) : json_null();
}

json_t *v1_command_outcome(const struct command_run *r)
{
    const struct run_log *log = command_run_log(r);
    json_t *end = run_log_end(log);
    int64_t started = run_log_started_us(log), ended = run_log_ended_us(log);
    return json_pack("{s:s, s:o, s:o, s:o, s:{s:I, s:I}, s:o, s:o, s:o}", "status",
                     command_run_status(r), "exit_code", or_null(json_object_get(end, "exit_code")),
                     "signal", or_null(json_object_get(end, "signal")), "reason",
                     or_null(json_object_get(end, "reason")), "bytes", "stdout",
                     (json_int_t)run_log_bytes(log, RECORD_STDOUT), "stderr",
                     (json_int_t)run_log_bytes(log, RECORD_STDERR), "started",
                     time_or_null(started), "ended", time_or_null(ended), "run_ms",
                     started && ended ? json_integer((ended - started) / 1000) : json_null());
}

static json_t *model(const struct command_run *r)
{
    json_t *m = v1_command_outcome(r);
    json_object_update(m, command_run_record(r));
    json_object_del(m, "body_sha256");
    if (command_run_settlement(r)) {
        scoped(json) json_t *settled = json_loads(command_run_settlement(r), 0, NULL);
        json_object_update(m, settled);
    }
    json_object_set_new(m, "id", json_string(command_run_id(r)));
    json_object_set_new(m, "last_event",
                        json_integer((json_int_t)run_log_last(command_run_log(r))));
    return m;
}

static json_t *output_text(const struct buffer *output, bool base64, bool *lossy)
{
    scoped(buffer) struct buffer text = {0};
    struct bytes bytes = buffer_view(output);
    if (base64) {
        v1_base64(&text, bytes);
    } else if (utf8_valid(bytes)) {
        buffer_add_bytes(&text, bytes);
    } else {
        *lossy = true;
        utf8_clean(&text, bytes);
    }
    return json_stringn(text.data ? text.data : "", text.len);
}

/* --- one with what it wrote */

/* A model whose outputs are still being read, so many bytes a turn: those of one may be few, and
 * far behind in the log. It is as the command was when it was asked for. */
struct showing {
    struct exchange *x;
    struct core *core;
    struct command_watch *watch;
    json_t *model;
    bool base64;
    struct v1_command_outputs outputs;
};

static void free_showing(struct showing *w)
{
    command_watch_close(w->watch);
    json_decref(w->model);
    v1_command_outputs_free(&w->outputs);
    free(w);
}

static void show_on(void *user)
{
    struct showing *w = user;
    json_t *m = w->model;
    struct exchange *x = w->x;
    bool lossy = false;
    if (!v1_command_outputs_read(&w->outputs)) {
        exchange_later(x, show_on, w);
        return;
    }
    json_object_set_new(m, "stdout", output_text(&w->outputs.text[0], w->base64, &lossy));
    json_object_set_new(m, "stderr", output_text(&w->outputs.text[1], w->base64, &lossy));
    json_object_set_new(m, "encoding", json_string(w->base64 ? "base64" : "text"));
    json_object_set_new(m, "lossy", json_boolean(lossy));
    json_object_set_new(m, "truncated", json_boolean(v1_command_outputs_cut(&w->outputs)));
    json_incref(m);
    free_showing(w);
    exchange_reply_json(x, 200, m);
}

static void on_shown_more(void *user)
{
    (void)user;
}

void v1_command_gone(const struct core *core, struct err *e)
{
    if (core_draining(core))
        fail(e, 503, "the gateway is ending; the command is not");
    else
        fail(e, 404, "the command was forgotten meanwhile");
}

static void on_shown_gone(void *user)
{
    struct showing *w = user;
    struct exchange *x = w->x;
    struct err e;
    v1_command_gone(w->core, &e);
    w->watch = NULL;
    free_showing(w);
    exchange_fail(x, &e);
}

static void show_whole(struct exchange *x, struct core *core, struct command_run *r, bool base64)
{
    struct showing *w = xcalloc(1, sizeof *w);
    *w = (struct showing){
        .x = x,
        .core = core,
        .model = model(r),
        .base64 = base64,
    };
    v1_command_outputs_begin(&w->outputs, r);
    w->watch = command_run_watch(r, on_shown_more, on_shown_gone, w);
    show_on(w);
}

/* --- finding */

/* What is known of commands is told of a paused sandbox, too. */
static struct sandbox *find_sandbox(struct exchange *x, struct core *core, bool paused_too)
{
    struct err e = {0};
    const char *id = exchange_param(x, "id");
    const struct principal *who = exchange_principal(x);
    struct sandbox *s =
        paused_too ? sandboxes_find_any(core, who, id, &e) : sandboxes_find(core, who, id, &e);
    if (!s)
        exchange_fail(x, &e);
    return s;
}

struct command_run *v1_command_find(struct exchange *x, struct core *core)
{
    struct err e = {0};
    struct sandbox *s = find_sandbox(x, core, true);
    struct command_run *r = s ? command_runs_find(s, exchange_param(x, "command"), &e) : NULL;
    if (s && !r)
        exchange_fail(x, &e);
    return r;
}

/* --- POST …/commands */

struct waiting {
    struct exchange *x;
    struct core *core;
    struct command_run *run;
    struct command_watch *watch;
    enum v1_stream form;
    bool background, base64, settled;
    bool shows; /* it is not waited for, but to be shown */
};

static void on_run_gone(void *user)
{
    struct waiting *w = user;
    struct err e;
    v1_command_gone(w->core, &e);
    if (!w->shows && e.status == 404)
        fail(&e, 409, "the command was ended and forgotten");
    exchange_fail(w->x, &e);
    free(w);
}

static void on_more(void *user)
{
    struct waiting *w = user;
    const struct err *e = w->settled ? command_run_unsettled(w->run) : NULL;
    if (w->shows ? run_log_behind(command_run_log(w->run)) : !run_log_end(command_run_log(w->run)))
        return;
    if (w->settled && !e && !command_run_settlement(w->run))
        return;
    command_watch_close(w->watch);
    if (e)
        exchange_fail(w->x, e);
    else
        show_whole(w->x, w->core, w->run, w->base64);
    free(w);
}

static void on_started(void *user, struct command_run *r, const struct err *e)
{
    struct waiting *w = user;
    struct exchange *x = w->x;
    if (e) {
        free(w);
        exchange_fail(x, e);
        return;
    }
    scoped(string) char *location =
        xasprintf("%s%s/%s", exchange_base_url(x), exchange_path(x), command_run_id(r));
    exchange_add_header(x, "Location", location);
    if (!w->background && w->form == STREAM_NONE) {
        w->run = r;
        w->watch = command_run_watch(r, on_more, on_run_gone, w);
        on_more(w);
        return;
    }
    const struct v1_command_stream what = {.form = w->form,
                                           .base64 = w->base64,
                                           .follow = true,
                                           .settled = w->settled,
                                           .status = w->background ? 202 : 200};
    if (w->form != STREAM_NONE)
        v1_command_stream(x, r, &what);
    else
        exchange_reply_json(x, 202, model(r));
    free(w);
}

bool v1_command_input_read(json_t *value, struct buffer *out, struct err *e)
{
    struct base64 state = {0};
    json_t *coded = json_object_get(value, "base64");
    json_t *text = json_is_object(value) ? coded : value;
    struct bytes bytes = {json_string_value(text), json_string_length(text)};
    if (!json_is_string(text) || json_object_size(value) > 1)
        return fail(e, 400, "stdin: must be a string, or an object with base64 alone");
    if (!coded)
        buffer_add_bytes(out, bytes);
    else if (!base64_decode(&state, bytes, out) || !base64_whole(&state))
        return fail(e, 400, "stdin: base64: is not base64");
    return true;
}

bool v1_command_request_read(json_t *body, struct command_request *q, struct buffer *input,
                             bool *base64, struct err *e)
{
    const char *encoding = NULL;
    json_t *argv = json_object_get(body, "argv"), *given = json_object_get(body, "stdin");
    q->argv = json_is_null(argv) ? NULL : argv;
    if (!field_str(body, "shell", OPTIONAL, &q->shell, e) ||
        !field_str(body, "cwd", OPTIONAL, &q->cwd, e) ||
        !field_object(body, "env", OPTIONAL, &q->env, e) ||
        !field_str(body, "encoding", OPTIONAL, &encoding, e) ||
        !v1_command_encoding(encoding, base64, e) ||
        !field_bool(body, "background", OPTIONAL, &q->background, e) ||
        !field_int(body, "deadline_ms", OPTIONAL, 1, DEADLINE_MOST_MS, &q->deadline_ms, e))
        return false;
    q->has_input = given && !json_is_null(given);
    q->stdin_open = q->background && !q->has_input;
    if (!field_bool(body, "stdin_open", OPTIONAL, &q->stdin_open, e) ||
        (q->has_input && !v1_command_input_read(given, input, e)))
        return false;
    q->input = buffer_view(input);
    return true;
}

static void create(struct exchange *x, void *core)
{
    struct err e = {0};
    struct command_request request = {.key = exchange_header(x, "idempotency-key"),
                                      .traceparent =
                                          trace_parent(exchange_header(x, "traceparent")),
                                      .body = exchange_body(x)};
    scoped(buffer) struct buffer input = {0};
    bool base64 = false, settled = false;
    struct sandbox *s = find_sandbox(x, core, false);
    if (!s)
        return;
    scoped(json) json_t *body = v1_body_within(x, BODY_LIMIT_BYTES);
    if (!body)
        return;
    if (!v1_settled_wanted(x, &settled, &e) ||
        !v1_command_request_read(body, &request, &input, &base64, &e)) {
        exchange_fail(x, &e);
        return;
    }
    struct waiting *w = xcalloc(1, sizeof *w);
    *w = (struct waiting){.x = x,
                          .core = core,
                          .form = v1_stream_wanted(x),
                          .background = request.background,
                          .base64 = base64,
                          .settled = settled};
    command_runs_start(s, &request, on_started, w);
}

/* --- the others */

static void add_to_page(void *user, struct command_run *r)
{
    const char *created = json_string_value(json_object_get(command_run_record(r), "created"));
    page_add_text(user, created, command_run_id(r), r);
}

static void list(struct exchange *x, void *core)
{
    struct err e = {0};
    struct page page;
    struct sandbox *s = find_sandbox(x, core, true);
    if (!s)
        return;
    if (!page_read(x, true, &page, &e)) {
        exchange_fail(x, &e);
        return;
    }
    json_t *models = json_array();
    command_runs_each(s, add_to_page, &page);
    page_cut(&page);
    for (size_t i = 0; i < page.count; i++)
        json_array_append_new(models, model(page.items[i].object));
    exchange_reply_json(x, 200,
                        json_pack("{s:o, s:o}", "commands", models, "next", page_next(&page)));
    page_free(&page);
}

static void show(struct exchange *x, void *core)
{
    struct err e = {0};
    bool base64 = false, settled = false;
    struct command_run *r = v1_command_find(x, core);
    if (!r)
        return;
    if (!v1_command_encoding(exchange_query(x, "encoding"), &base64, &e) ||
        !v1_settled_wanted(x, &settled, &e)) {
        exchange_fail(x, &e);
        return;
    }
    struct waiting *w = xcalloc(1, sizeof *w);
    *w = (struct waiting){
        .x = x, .core = core, .run = r, .base64 = base64, .settled = settled, .shows = true};
    w->watch = command_run_watch(r, on_more, on_run_gone, w);
    on_more(w);
}

static void on_done(void *user, const struct err *e)
{
    if (e)
        exchange_fail(user, e);
    else
        exchange_reply_empty(user, 204);
}

static void feed(struct exchange *x, void *core)
{
    struct err e = {0};
    struct command_run *r = v1_command_find(x, core);
    const char *eof = exchange_query(x, "eof");
    struct bytes body = exchange_body(x);
    if (!r)
        return;
    if ((eof && strcmp(eof, "1") != 0 && strcmp(eof, "0") != 0 &&
         !fail(&e, 400, "eof: must be 0 or 1")) ||
        (body.len > COMMAND_STDIN_LIMIT_BYTES &&
         !fail(&e, 413, "the body is longer than %d bytes", COMMAND_STDIN_LIMIT_BYTES)))
        exchange_fail(x, &e);
    else
        command_run_feed(r, body, eof && *eof == '1', on_done, x);
}

bool v1_command_signal_read(json_t *body, int *number, struct err *e)
{
    json_t *value = json_object_get(body, "signal");
    const char *name = json_string_value(value);
    json_int_t given = json_integer_value(value);
    *number = given > 0 && given <= 64 ? (int)given : 0;
    if (name && strncmp(name, "SIG", 3) == 0)
        name += 3;
    for (int n = 1; name && n < NSIG; n++)
        if (sigabbrev_np(n) && strcmp(sigabbrev_np(n), name) == 0)
            *number = n;
    return *number > 0 || fail(e, 400, "signal: must be the name of a signal, as SIGTERM");
}

static void send_signal(struct exchange *x, void *core)
{
    struct err e = {0};
    int number;
    struct command_run *r = v1_command_find(x, core);
    scoped(json) json_t *body = r ? v1_body(x) : NULL;
    if (!body)
        return;
    if (v1_command_signal_read(body, &number, &e))
        command_run_signal(r, number, on_done, x);
    else
        exchange_fail(x, &e);
}

static void forget(struct exchange *x, void *core)
{
    struct command_run *r = v1_command_find(x, core);
    if (r)
        command_run_forget(r, on_done, x);
}

#define COMMANDS "/v1/sandboxes/{id}/commands"
#define COMMAND  COMMANDS "/{command}"
#define THE_REST ACCESS_TOKEN, ERRORS_PROBLEM, ROUTE_PLAIN

static const struct route rows[] = {
    {GET,
     COMMANDS,
     list,
     "The commands of a sandbox, the newest first",
     {400, 404},
     THE_REST,
     &v1_commands_list_doc},
    {POST,
     COMMANDS,
     create,
     "Run a program: wait for its end, stream its events, or leave it in the background",
     {400, 403, 404, 409, 413, 422, 502, 503},
     THE_REST,
     &v1_commands_create_doc},
    {GET,
     COMMAND,
     show,
     "One command, with what it wrote",
     {400, 404, 503},
     THE_REST,
     &v1_command_show_doc},
    {DELETE,
     COMMAND,
     forget,
     "Kill what is left of a command, and forget it",
     {404, 503},
     THE_REST,
     &v1_command_delete_doc},
    {GET,
     COMMAND "/events",
     v1_command_events,
     "The events of a command behind a number, to its end",
     {400, 404},
     THE_REST,
     &v1_command_events_doc},
    {GET,
     COMMAND "/output",
     v1_command_output,
     "The bytes of its stdout or stderr, as they come",
     {400, 404},
     THE_REST,
     &v1_command_output_doc},
    {GET,
     COMMAND "/artifacts",
     v1_command_artifacts,
     "The files that a command left, as artifacts, oldest first",
     {400, 404, 503},
     THE_REST,
     &v1_command_artifacts_doc},
    {GET,
     COMMAND "/artifacts.tar",
     v1_command_artifacts_tar,
     "The artifacts of a command as one tar",
     {400, 404, 503},
     THE_REST,
     &v1_command_artifacts_tar_doc},
    {GET,
     COMMAND "/changes",
     v1_command_changes,
     "The files that a command added, changed and deleted",
     {400, 404, 503},
     THE_REST,
     &v1_command_changes_doc},
    {POST,
     COMMAND "/stdin",
     feed,
     "Give a command bytes to read",
     {400, 404, 409, 413, 503},
     THE_REST,
     &v1_command_stdin_doc},
    {POST,
     COMMAND "/signal",
     send_signal,
     "Send a signal to a command's process group",
     {400, 404, 409, 413, 503},
     THE_REST,
     &v1_command_signal_doc},
};

const struct route_table v1_command_routes = {rows, countof(rows)};
