/* POST /api/sandboxes/{id}/terminal: a command of /bin/sh, awaited.
 *
 * The body is {"command", "timeoutMs", "envVars", "cwd"}; the answer {"output", "exitCode",
 * "status", "truncated"}, names in both cases: output is what it wrote to stdout and stderr, in the
 * order in which that was read. A deadline, a limit or a signal ends it as they do under /v1: then
 * "exitCode" is null and "status" says which.
 *
 * Invariant: of a log no more than TURN_BYTES are read before others have their turn. */
#include <stdio.h>
#include <string.h>

#include "gateway/core/command_run.h"
#include "gateway/dialect/sdbx.h"
#include "gateway/dialect/v1_commands.h"
#include "protocol/json.h"
#include "protocol/utf8.h"

#define OUTPUT_BYTES (8 * 1024 * 1024) /* of an answer */
#define PIECE_BYTES  (256 * 1024)
#define TURN_BYTES   (1024 * 1024)

struct terminal {
    struct exchange *x;
    struct core *core;
    struct command_run *run;
    struct command_watch *watch;
    struct run_cursor cursor;
    struct buffer output;
    bool ended, truncated;
};

static void end(struct terminal *t)
{
    command_watch_close(t->watch);
    buffer_free(&t->output);
    free(t);
}

static void reply(struct terminal *t)
{
    scoped(buffer) struct buffer text = {0};
    json_t *exit_code = json_object_get(run_log_end(command_run_log(t->run)), "exit_code");
    utf8_clean(&text, buffer_view(&t->output));
    json_t *m =
        json_pack("{s:o, s:s, s:b}", "output", json_stringn(text.data ? text.data : "", text.len),
                  "status", command_run_status(t->run), "truncated", (int)t->truncated);
    sdbx_set(m, "exitCode", exit_code ? json_incref(exit_code) : json_null());
    exchange_reply_json(t->x, 200, m);
    end(t);
}

/* False: there is more than one turn reads. */
static bool read_output(struct terminal *t)
{
    scoped(buffer) struct buffer records = {0};
    size_t left = TURN_BYTES;
    while (!t->truncated) {
        struct record record;
        struct bytes text;
        if (!left)
            return false;
        buffer_clear(&records);
        if (!command_run_read(t->run, &t->cursor, &records, PIECE_BYTES))
            return true;
        left -= records.len < left ? records.len : left;
        struct bytes rest = buffer_view(&records);
        while (run_log_next(&rest, &record, &text)) {
            if (record.kind != RECORD_STDOUT && record.kind != RECORD_STDERR)
                continue;
            size_t room = OUTPUT_BYTES - t->output.len;
            buffer_add(&t->output, text.data, text.len < room ? text.len : room);
            t->truncated = t->truncated || text.len > room;
        }
    }
    return true;
}

static void go_on(void *user)
{
    struct terminal *t = user;
    if (read_output(t))
        reply(t);
    else
        exchange_later(t->x, go_on, t);
}

static void on_more(void *user)
{
    struct terminal *t = user;
    if (t->ended || !run_log_end(command_run_log(t->run)))
        return;
    t->ended = true;
    go_on(t);
}

static void on_gone(void *user)
{
    struct terminal *t = user;
    struct exchange *x = t->x;
    struct err e;
    v1_command_gone(t->core, &e);
    t->watch = NULL;
    end(t);
    exchange_fail(x, &e);
}

static void on_started(void *user, struct command_run *r, const struct err *e)
{
    struct terminal *t = user;
    if (e) {
        exchange_fail(t->x, e);
        end(t);
        return;
    }
    t->run = r;
    t->watch = command_run_watch(r, on_more, on_gone, t);
    on_more(t);
}

static bool read_body(json_t *body, struct command_request *q, struct err *e)
{
    return field_str(body, "command", REQUIRED, &q->shell, e) &&
           field_object(body, "envVars", OPTIONAL, &q->env, e) &&
           field_str(body, "cwd", OPTIONAL, &q->cwd, e) &&
           field_int(body, "timeoutMs", OPTIONAL, 1, SDBX_TIMEOUT_MOST_MS, &q->deadline_ms, e);
}

void sdbx_terminal(struct exchange *x, void *core)
{
    struct err e = {0};
    struct command_request request = {.key = exchange_header(x, "idempotency-key"),
                                      .body = exchange_body(x)};
    struct sandbox *s = sdbx_sandbox(x, core);
    scoped(json) json_t *body = s ? sdbx_body(x) : NULL;
    if (!body)
        return;
    if (!read_body(body, &request, &e)) {
        exchange_fail(x, &e);
        return;
    }
    struct terminal *t = xcalloc(1, sizeof *t);
    *t = (struct terminal){.x = x, .core = core, .cursor = {.next = 1}};
    command_runs_start(s, &request, on_started, t);
}
