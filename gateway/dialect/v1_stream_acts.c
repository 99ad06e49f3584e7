/* What a client does to an execution, a command or a context, with one frame as the answer. */
#include <string.h>

#include "gateway/core/context.h"
#include "gateway/dialect/members.h"
#include "gateway/dialect/v1_commands.h"
#include "gateway/dialect/v1_docs.h"
#include "gateway/dialect/v1_stream.h"
#include "protocol/json.h"

static void on_done(void *user, const struct err *e)
{
    struct v1_call *c = user;
    if (!v1_call_back(c))
        return;
    if (e)
        v1_call_fail(c, e);
    else
        v1_call_done(c, "");
}

void v1_stream_ping(struct v1_call *c, const struct v1_frame *f)
{
    (void)f;
    v1_call_done(c, "");
}

void v1_stream_unsubscribe(struct v1_call *c, const struct v1_frame *f)
{
    struct err e;
    struct v1_call *of = v1_call_find(c->socket, f->of);
    if (!of || of == c || (!of->execution && !of->run)) {
        fail(&e, 404, "of: \"%.64s\" follows nothing", f->of);
        v1_call_fail(c, &e);
        return;
    }
    v1_call_drop(of);
    v1_call_done(c, "");
}

/* --- executions */

static void on_input(void *user, struct execution *execution, const struct err *e)
{
    struct v1_call *c = user;
    struct err bad;
    if (!v1_call_back(c))
        return;
    if (!execution)
        v1_call_fail(c, e);
    else if (!execution_answer_input(execution, buffer_text(&c->given), &bad))
        v1_call_fail(c, &bad);
    else
        v1_call_done(c, "");
}

void v1_stream_input(struct v1_call *c, const struct v1_frame *f)
{
    struct err e;
    const char *value = NULL;
    struct sandbox *s = v1_call_sandbox(c, f, true);
    if (!s)
        return;
    if (!members_check(f->body, &v1_execution_input_schema, &e) ||
        !field_str(f->body, "value", REQUIRED, &value, &e)) {
        v1_call_fail(c, &e);
        return;
    }
    buffer_add_text(&c->given, value);
    c->owed++;
    executions_find(s, f->execution, on_input, c);
}

static void on_cancelled(void *user, const struct err *e)
{
    struct v1_call *c = user;
    if (!v1_call_back(c))
        return;
    if (e) {
        v1_call_fail(c, e);
        return;
    }
    scoped(buffer) struct buffer member = {0};
    buffer_printf(&member, ",\"status\":\"%s\"", execution_status(c->execution));
    v1_call_done(c, buffer_text(&member));
}

static void on_cancel(void *user, struct execution *execution, const struct err *e)
{
    struct v1_call *c = user;
    if (!v1_call_back(c))
        return;
    if (!execution) {
        v1_call_fail(c, e);
        return;
    }
    c->execution = execution_keep(execution);
    c->owed++;
    execution_cancel(execution, on_cancelled, c);
}

void v1_stream_cancel(struct v1_call *c, const struct v1_frame *f)
{
    struct sandbox *s = v1_call_sandbox(c, f, true);
    if (!s)
        return;
    c->owed++;
    executions_find(s, f->execution, on_cancel, c);
}

void v1_stream_interrupt(struct v1_call *c, const struct v1_frame *f)
{
    struct err e;
    struct sandbox *s = v1_call_sandbox(c, f, false);
    struct kernel *k = s ? contexts_named(s, f->context) : NULL;
    if (!s)
        return;
    if (!k) {
        fail(&e, 404, "the sandbox has no context %.100s", f->context ? f->context : "");
        v1_call_fail(c, &e);
        return;
    }
    c->owed++;
    kernel_interrupt(k, on_done, c);
}

/* --- commands */

static struct command_run *find_command(struct v1_call *c, const struct v1_frame *f)
{
    struct err e;
    struct sandbox *s = v1_call_sandbox(c, f, true);
    struct command_run *r = s ? command_runs_find(s, f->command, &e) : NULL;
    if (s && !r)
        v1_call_fail(c, &e);
    return r;
}

static const struct doc_schema stdin_schema = {
    .name = "StreamStdin",
    .closed = true,
    .fields = FIELDS(ANY("stdin", "Text, or `{\"base64\"}`."), BOOLEAN("eof", "Its end.")),
};

void v1_stream_stdin(struct v1_call *c, const struct v1_frame *f)
{
    struct err e = {0};
    bool ends = false;
    json_t *given = json_object_get(f->body, "stdin");
    struct command_run *r = find_command(c, f);
    if (!r)
        return;
    if (!members_check(f->body, &stdin_schema, &e) ||
        !field_bool(f->body, "eof", OPTIONAL, &ends, &e) ||
        (given && !v1_command_input_read(given, &c->given, &e)) ||
        (c->given.len > COMMAND_STDIN_LIMIT_BYTES &&
         !fail(&e, 413, "stdin: longer than %d bytes", COMMAND_STDIN_LIMIT_BYTES))) {
        v1_call_fail(c, &e);
        return;
    }
    c->owed++;
    command_run_feed(r, buffer_view(&c->given), ends, on_done, c);
}

void v1_stream_signal(struct v1_call *c, const struct v1_frame *f)
{
    struct err e = {0};
    int number;
    struct command_run *r = find_command(c, f);
    if (!r)
        return;
    if (!members_check(f->body, &v1_command_signal_schema, &e) ||
        !v1_command_signal_read(f->body, &number, &e)) {
        v1_call_fail(c, &e);
        return;
    }
    c->owed++;
    command_run_signal(r, number, on_done, c);
}
