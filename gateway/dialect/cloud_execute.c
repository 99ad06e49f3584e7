/* POST /api/v1/execute: code, or a program, in a sandbox that was acquired.
 *
 * Python runs in the sandbox's first context, where its state stays; every other language is a
 * program that is started anew. Either way the answer is {"exit_code", "stdout", "stderr",
 * "duration_ms", "timed_out", "error", "truncated", "run_id"}, with 200 once it could be begun:
 * exit_code is -1 and error says why where it did not end by itself. */
#include <math.h>
#include <string.h>

#include "gateway/dialect/cloud_session.h"
#include "gateway/dialect/v1_commands.h"
#include "protocol/json.h"
#include "protocol/utf8.h"

#define BODY_LIMIT_BYTES (32 * 1024 * 1024)
#define TIMEOUT_S        300
#define TIMEOUT_MOST_S   (7.0 * 24 * 3600)
#define PYTHON           "python"

#define NOT_FOUND 127 /* what a program is said to end with that is not there */

/* How code of a language is run by a program: as its last word, or as its standard input. The names
 * are those of cloud_sandbox. */
static const struct program {
    const char *name;
    const char *package; /* Debian's that has it */
    const char *argv[4];
    bool by_input;
} programs[] = {
    {"bash", "bash", {"bash", "-c"}, false},
    {"node", "nodejs", {"node", "-e"}, false},
    {"ruby", "ruby", {"ruby", "-e"}, false},
    {"go",
     "golang-go",
     {"sh", "-c",
      "command -v go >/dev/null || exit 127; "
      "d=$(mktemp -d) && cat >\"$d/main.go\" && go run \"$d/main.go\"; s=$?; rm -rf \"$d\"; "
      "exit $s"},
     true},
};

struct asked {
    const char *sandbox_id, *code, *language, *work_dir;
    json_t *command, *env;
    int64_t timeout_ms;
};

/* One that is being answered. */
struct running {
    struct exchange *x;
    struct core *core;
    int64_t timeout_ms;
    struct execution *execution;   /* owned; NULL: a command */
    const struct program *program; /* NULL: not that of a language */
    struct command_run *command;   /* borrowed, while watch is there */
    struct command_watch *watch;
    struct v1_command_outputs outputs;
};

static void running_free(struct running *r)
{
    execution_release(r->execution);
    command_watch_close(r->watch);
    v1_command_outputs_free(&r->outputs);
    free(r);
}

static void give_up(struct running *r, const struct err *e)
{
    struct exchange *x = r->x;
    running_free(r);
    exchange_fail(x, e);
}

/* --- the result */

struct result {
    int64_t exit_code, duration_ms;
    struct buffer out, err; /* owned */
    bool timed_out, truncated;
    const char *error; /* borrowed; NULL: none */
    const char *run_id;
};

static json_t *text_of(const struct buffer *bytes)
{
    scoped(buffer) struct buffer text = {0};
    utf8_clean(&text, buffer_view(bytes));
    return json_stringn(text.data ? text.data : "", text.len);
}

/* Frees what is in it, and r. */
static void answer(struct running *r, struct result *result)
{
    struct exchange *x = r->x;
    scoped(string) char *late = result->timed_out ? xasprintf("it was not done within %.16g s",
                                                              (double)r->timeout_ms / 1000)
                                                  : NULL;
    const char *error = late ? late : result->error;
    json_t *model = json_pack("{s:I, s:o, s:o, s:I, s:b, s:o, s:b, s:s}", "exit_code",
                              (json_int_t)result->exit_code, "stdout", text_of(&result->out),
                              "stderr", text_of(&result->err), "duration_ms",
                              (json_int_t)result->duration_ms, "timed_out", (int)result->timed_out,
                              "error", error ? json_string(error) : json_null(), "truncated",
                              (int)result->truncated, "run_id", result->run_id);
    buffer_free(&result->out);
    buffer_free(&result->err);
    running_free(r);
    exchange_reply_json(x, 200, model);
}

/* --- Python */

struct gathering {
    struct result *result;
    size_t left;
};

static bool gather(void *user, const struct execution_event *event)
{
    struct gathering *g = user;
    if (event->is_last)
        return true;
    if (event->message->content.len > g->left) {
        g->result->truncated = true;
        return false;
    }
    g->left -= event->message->content.len;
    v1_event_write_text(event, false, &g->result->out);
    v1_event_write_text(event, true, &g->result->err);
    return true;
}

/* A text may have a NUL in it. */
static void add_line(struct buffer *out, json_t *text)
{
    buffer_add(out, json_string_value(text), json_string_length(text));
    buffer_add_text(out, "\n");
}

/* As a program's end: what sys.exit() says, or 1 with the traceback where a program has it. */
static int64_t exit_code_of(json_t *error, struct buffer *err)
{
    const char *name = json_string_value(json_object_get(error, "name"));
    json_t *said = json_object_get(error, "value"), *line;
    const char *value = json_string_value(said);
    size_t i;
    if (name && value && strcmp(name, "SystemExit") == 0) {
        size_t digits = strspn(value, "0123456789"), len = json_string_length(said);
        if (!len || strcmp(value, "None") == 0)
            return 0;
        if (digits <= 9 && digits == len)
            return strtoll(value, NULL, 10) & 0xff;
        add_line(err, said);
        return 1;
    }
    json_array_foreach(json_object_get(error, "traceback"), i, line) add_line(err, line);
    return 1;
}

static void on_ended(void *user, const struct err *e)
{
    struct running *r = user;
    struct result result = {.run_id = execution_id(r->execution)};
    struct gathering g = {&result, V1_OUTPUTS_BYTES};
    struct err lost = {0};
    if (e) {
        give_up(r, e);
        return;
    }
    if (!execution_events_read(r->execution, 0, gather, &g, &lost)) {
        result.truncated = true;
        result.error = lost.text;
    }
    scoped(buffer) struct buffer text = {0};
    execution_write_ended(r->execution, false, &text);
    scoped(json) json_t *record = json_loadb(text.data, text.len, JSON_ALLOW_NUL, NULL);
    const char *status = execution_status(r->execution);
    const char *reason = json_string_value(json_object_get(record, "reason"));
    result.timed_out = strcmp(status, "timeout") == 0;
    result.duration_ms = llround(json_number_value(json_object_get(record, "run_ms")));
    if (strcmp(status, "error") == 0) {
        result.exit_code = exit_code_of(json_object_get(record, "error"), &result.err);
    } else if (strcmp(status, "ok") != 0) {
        result.exit_code = -1;
        result.error = reason ? reason : status;
    }
    answer(r, &result);
}

static void on_execution(void *user, struct execution *execution, const struct err *e)
{
    struct running *r = user;
    if (!execution) {
        give_up(r, e);
        return;
    }
    r->execution = execution_keep(execution);
    execution_await(execution, EXECUTION_ENDED, on_ended, r);
}

static void run_python(struct running *r, struct sandbox *s, const struct asked *a)
{
    const struct execution_request request = {.code = a->code,
                                              .env = a->env,
                                              .cwd = a->work_dir,
                                              .deadline_ms = a->timeout_ms,
                                              .store_history = true};
    executions_create(s, &request, on_execution, r);
}

/* --- programs */

/* Why nothing has run: given to the caller; NULL: it has. */
static char *missing_program(const struct running *r, const struct result *result)
{
    const struct program *p = r->program;
    if (!p || result->exit_code != NOT_FOUND || r->outputs.text[0].len || r->outputs.text[1].len)
        return NULL;
    return xasprintf("%s is not installed where sandboxes look for it; install %s", p->name,
                     p->package);
}

static void tell_command(void *user)
{
    struct running *r = user;
    if (!v1_command_outputs_read(&r->outputs)) {
        exchange_later(r->x, tell_command, r);
        return;
    }
    const struct run_log *log = command_run_log(r->command);
    const char *status = command_run_status(r->command);
    json_t *end = run_log_end(log), *code = json_object_get(end, "exit_code");
    int64_t started = run_log_started_us(log), ended = run_log_ended_us(log);
    struct result result = {
        .exit_code = json_is_integer(code) ? json_integer_value(code) : -1,
        .duration_ms = started && ended ? (ended - started) / 1000 : 0,
        .timed_out = strcmp(status, "timeout") == 0,
        .truncated = v1_command_outputs_cut(&r->outputs),
        .error = json_string_value(json_object_get(end, "reason")),
        .run_id = command_run_id(r->command),
    };
    if (strcmp(status, "exited") != 0) {
        result.exit_code = -1;
        result.error = result.error ? result.error : status;
    }
    /* code may end so, too, but it then says so itself */
    scoped(string) char *missing = missing_program(r, &result);
    if (missing)
        result.error = missing;
    for (size_t i = 0; i < 2; i++) {
        *(i ? &result.err : &result.out) = r->outputs.text[i];
        r->outputs.text[i] = (struct buffer){0};
    }
    answer(r, &result);
}

static void on_command_gone(void *user)
{
    struct running *r = user;
    struct err e;
    v1_command_gone(r->core, &e);
    r->watch = NULL;
    give_up(r, &e);
}

static void on_more(void *user)
{
    struct running *r = user;
    if (r->outputs.run || !run_log_end(command_run_log(r->command)))
        return;
    v1_command_outputs_begin(&r->outputs, r->command);
    tell_command(r);
}

static void on_command(void *user, struct command_run *command, const struct err *e)
{
    struct running *r = user;
    if (!command) {
        give_up(r, e);
        return;
    }
    r->command = command;
    r->watch = command_run_watch(command, on_more, on_command_gone, r);
    on_more(r);
}

/* program NULL: the words are those of command. */
static void run_program(struct running *r, struct sandbox *s, const struct asked *a,
                        const struct program *program)
{
    scoped(json) json_t *argv = program ? json_array() : json_incref(a->command);
    struct command_request request = {
        .argv = argv, .cwd = a->work_dir, .env = a->env, .deadline_ms = a->timeout_ms};
    r->program = program;
    for (size_t i = 0; program && program->argv[i]; i++)
        json_array_append_new(argv, json_string(program->argv[i]));
    if (program && program->by_input) {
        request.has_input = true;
        request.input = bytes_of(a->code);
    } else if (program) {
        json_array_append_new(argv, json_string(a->code));
    }
    command_runs_start(s, &request, on_command, r);
}

/* --- the request */

static const struct program *program_of(const char *name)
{
    for (size_t i = 0; i < countof(programs); i++)
        if (strcmp(programs[i].name, name) == 0)
            return &programs[i];
    return NULL;
}

static bool read_timeout(json_t *body, int64_t *out, struct err *e)
{
    json_t *value = json_object_get(body, "timeout");
    double seconds = json_number_value(value);
    *out = TIMEOUT_S * 1000;
    if (!value || json_is_null(value) || (json_is_number(value) && seconds == 0))
        return true;
    if (!json_is_number(value) || !(seconds >= 0.001 && seconds <= TIMEOUT_MOST_S))
        return fail(e, 400, "timeout: must be a number of seconds, from 0.001 to %.0f",
                    TIMEOUT_MOST_S);
    *out = llround(seconds * 1000);
    return true;
}

static bool read_command(json_t *body, json_t **out, struct err *e)
{
    json_t *command = json_object_get(body, "command");
    if (!command || json_is_null(command))
        return true;
    if (!json_is_array(command))
        return fail(e, 400, "command: must be a list of strings");
    *out = json_array_size(command) ? command : NULL;
    return true;
}

static bool read_body(json_t *body, struct asked *a, struct err *e)
{
    a->language = "bash";
    if (!field_str(body, "sandbox_id", REQUIRED, &a->sandbox_id, e) ||
        !field_str(body, "code", OPTIONAL, &a->code, e) ||
        !field_str(body, "language", OPTIONAL, &a->language, e) ||
        !field_str(body, "work_dir", OPTIONAL, &a->work_dir, e) ||
        !field_object(body, "env", OPTIONAL, &a->env, e) || !read_command(body, &a->command, e) ||
        !read_timeout(body, &a->timeout_ms, e))
        return false;
    if (a->work_dir && !*a->work_dir)
        a->work_dir = NULL;
    if (!*a->language)
        a->language = "bash";
    if (!a->command && !a->code)
        return fail(e, 400, "code or command required");
    return a->command || strcmp(a->language, PYTHON) == 0 || program_of(a->language) ||
           fail(e, 400, "language: %.40s is none of python, bash, node, ruby and go", a->language);
}

void cloud_execute(struct exchange *x, void *core)
{
    struct err e = {0};
    struct asked asked = {0};
    scoped(json) json_t *body = json_parse_object(exchange_body(x), "body", BODY_LIMIT_BYTES, &e);
    struct sandbox *s = body && read_body(body, &asked, &e)
                            ? cloud_sandbox_find(x, core, asked.sandbox_id, &e)
                            : NULL;
    if (!s) {
        exchange_fail(x, &e);
        return;
    }
    struct running *r = xcalloc(1, sizeof(*r));
    *r = (struct running){.x = x, .core = core, .timeout_ms = asked.timeout_ms};
    if (asked.command)
        run_program(r, s, &asked, NULL);
    else if (strcmp(asked.language, PYTHON) == 0)
        run_python(r, s, &asked);
    else
        run_program(r, s, &asked, program_of(asked.language));
}

/* --- what the row says of itself */

static const struct doc_schema request_schema = {
    .name = "CloudExecution",
    .about = "`command`, if it is there, goes before `code`.",
    .fields =
        FIELDS(TEXT("sandbox_id", "What was acquired.", .must = true), TEXT("code", "What is run."),
               TEXT("language",
                    "Of the code. Python keeps its state; each other one is a program that "
                    "starts anew.",
                    .words = "python bash node ruby go", .initial = "\"bash\""),
               LIST("command", NULL, "A program and its words.", .items = DOC_TEXT),
               TEXT("work_dir", "Where it runs."),
               MAP("env", NULL, "Variables for this run alone.", .items = DOC_TEXT),
               NUMBER("timeout", "Seconds after which it is ended; 0: as if it were not said.",
                      .initial = "300")),
};

static const struct doc_schema result_schema = {
    .name = "CloudResult",
    .whole = true,
    .fields = FIELDS(
        INTEGER("exit_code", "Of Python 0, or 1 for an exception, or what it exited with; -1: it "
                             "did not end by itself."),
        TEXT("stdout", "What it wrote."), TEXT("stderr", "Likewise, with the traceback."),
        INTEGER("duration_ms", "How long it ran."),
        BOOLEAN("timed_out", "`timeout` was over; what it wrote until then is there."),
        TEXT("error", "Why it did not end by itself, or was not begun.", .null = true),
        BOOLEAN("truncated", "Some of what it wrote is not here, but in the native API."),
        TEXT("run_id", "Of the execution, or the command, in the native API.")),
};

const struct doc cloud_execute_doc = {
    .tag = CLOUD_TAG,
    .body = &request_schema,
    .body_must = true,
    .replies = {REPLY(200, "How it ended.", .schema = &result_schema)},
    .errors = {{409, "The session is paused, or the interpreter is dead."},
               {410, "The session has expired."}},
};
