/* `warmcell exec`: a program in a sandbox, as if it ran here. Its command belongs to the sandbox,
 * so a connection that breaks is only made anew, behind the last event that came. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/follow.h"
#include "gateway/cli/output.h"
#include "gateway/cli/sandbox.h"
#include "gateway/net/url.h"
#include "protocol/ids.h"
#include "protocol/json.h"

#define TIMEOUT_STATUS 124
#define SIGNAL_STATUS  128
#define DAY_S          86400

/* Between SIGPIPE and SIGKILL, when nobody reads what it writes. */
#define GRACE_MS 2000

struct exec_options {
    struct cli_options common;
    char *shell, *cwd;
    int64_t deadline_s;
    bool with_stdin;
};

#define EXEC(field) offsetof(struct exec_options, field)

static const struct option rows[] = {
    CLI_ROWS,
    {"shell", OPTION_TEXT, EXEC(shell), NULL, .help = "a line for /bin/sh, in place of a program",
     .flag_only = true},
    {"cwd", OPTION_TEXT, EXEC(cwd), NULL, .help = "the folder it runs in, below the workspace",
     .flag_only = true},
    {"deadline-s", OPTION_INT, EXEC(deadline_s), "0", .low = 0, .high = 7 * DAY_S,
     .help = "seconds after which it is killed, with all that it started; 0 for none",
     .flag_only = true},
    {"stdin", OPTION_BOOL, EXEC(with_stdin), "true",
     .help = "pass stdin on; --no-stdin in loops that read theirs", .flag_only = true},
};

struct remote {
    const struct cli *cli;
    char *path; /* of the command, once it is known; owned */
    struct follow follow;
    json_t *end;     /* the last event; owned */
    struct err lost; /* why its output cannot be written any more; status 0: it can */
};

/* The answer is of no interest; false: e. */
static bool post(const struct remote *x, const char *what, struct bytes body, struct err *e)
{
    struct bytes piece;
    scoped(string) char *path = xasprintf("%s/%s", x->path, what);
    const struct call_request request = {.method = "POST", .path = path, .body = body};
    scoped(call) struct call *c = call_send(x->cli->target, &request, e);
    return c && call_accepted(c, e) && call_next(c, &piece, e);
}

static bool post_signal(const struct remote *x, int number, struct err *e)
{
    scoped(string) char *body = xasprintf("{\"signal\": \"SIG%s\"}", sigabbrev_np(number));
    return post(x, "signal", bytes_of(body), e);
}

/* Of what it still writes a part is of use: where its stderr can be written, that. */
static bool show(const struct remote *x, const json_t *event, const char *kind, struct bytes line,
                 struct err *e)
{
    if (x->cli->json)
        return x->lost.status || output_line(line, e);
    if (strcmp(kind, "stderr") == 0 || (strcmp(kind, "stdout") == 0 && !x->lost.status))
        return output_event(event, kind, e);
    return true;
}

/* It would get SIGPIPE here when it writes once more; what ignores that is killed later. */
static void on_lost(struct remote *x, const struct err *why)
{
    x->lost = *why;
    post_signal(x, SIGPIPE, NULL);
    x->follow.due_ms = monotonic_ms() + GRACE_MS;
}

static bool on_due(void *user, struct err *e)
{
    struct remote *x = user;
    (void)e;
    post_signal(x, SIGKILL, NULL);
    x->follow.due_ms = monotonic_ms() + GRACE_MS; /* the gateway may have been gone */
    return true;
}

static bool on_event(void *user, json_t *event, struct bytes line, struct err *e)
{
    struct remote *x = user;
    const char *kind = "";
    struct err why = {0};
    (void)e;
    field_str(event, "kind", OPTIONAL, &kind, NULL);
    if (strcmp(kind, "end") == 0) {
        x->end = json_incref(event);
        x->follow.ended = true;
    }
    if (!show(x, event, kind, line, &why) && !x->lost.status)
        on_lost(x, &why);
    return true;
}

static bool on_signal(void *user, int number, struct err *e)
{
    struct remote *x = user;
    struct err why = {0};
    (void)e;
    if (!post_signal(x, number, &why) && why.status != 409)
        output_note("the signal was not passed on: %s", why.text);
    return true;
}

static enum follow_input on_input(void *user, struct bytes data, struct err *e)
{
    struct remote *x = user;
    struct err why = {0};
    if (post(x, data.len ? "stdin" : "stdin?eof=1", data, &why))
        return INPUT_TAKEN;
    if (why.status == 409 || why.status == 404) /* it reads no more */
        return INPUT_CLOSED;
    if (why.status == 503 || why.status == CLI_UNREACHED || why.status == CLI_FAILED)
        return INPUT_LATER;
    *e = why;
    return INPUT_FAILED;
}

static json_t *request_body(const struct cli *c)
{
    const struct exec_options *o = c->options;
    json_t *body = json_object();
    if (o->shell) {
        json_object_set_new(body, "shell", json_string(o->shell));
    } else {
        json_t *argv = json_array();
        for (size_t i = 0; i < c->argv_count; i++)
            json_array_append_new(argv, json_string(c->argv[i]));
        json_object_set_new(body, "argv", argv);
    }
    if (o->cwd)
        json_object_set_new(body, "cwd", json_string(o->cwd));
    if (o->deadline_s)
        json_object_set_new(body, "deadline_ms", json_integer(o->deadline_s * 1000));
    json_object_set_new(body, "stdin_open", json_boolean(o->with_stdin));
    return body;
}

/* Starts it: the reply is that of its events. */
static struct call *begin(struct remote *x, const char *sandbox, struct err *e)
{
    scoped(json) json_t *body = request_body(x->cli);
    scoped(string) char *path = xasprintf("/v1/sandboxes/%s/commands", sandbox);
    scoped(call) struct call *c = call_events(x->cli->target, path, body, e);
    if (!c)
        return NULL;
    if (!*call_location(c)) {
        fail(e, 502, "the gateway does not name the command that it started");
        return NULL;
    }
    x->path = xstrdup(call_location(c));
    return take(&c);
}

/* To the command's end. */
static bool follow_command(struct remote *x, struct call *c, struct err *e)
{
    const struct exec_options *o = x->cli->options;
    x->follow = (struct follow){
        .call = c,
        .signal_fd = follow_signals(),
        .input_fd = o->with_stdin ? STDIN_FILENO : -1,
        .user = x,
        .on_event = on_event,
        .on_due = on_due,
        .on_signal = on_signal,
        .on_input = on_input,
    };
    bool ok = follow_through(&x->follow, x->cli->target, x->path, e);
    if (x->follow.signal_fd >= 0)
        close(x->follow.signal_fd);
    if (x->lost.status)
        *e = x->lost;
    return ok && !x->lost.status;
}

/* The exit status that says how it ended, with a sentence where the status alone does not. */
static int status_of(json_t *end, bool quiet)
{
    const char *status = "lost", *signal_name = NULL, *reason = NULL;
    int64_t exit_code = CLI_FAILED;
    field_str(end, "status", OPTIONAL, &status, NULL);
    field_str(end, "signal", OPTIONAL, &signal_name, NULL);
    field_str(end, "reason", OPTIONAL, &reason, NULL);
    field_int(end, "exit_code", OPTIONAL, 0, 255, &exit_code, NULL);
    bool exited = strcmp(status, "exited") == 0;
    if (reason && !quiet)
        output_note("%s", reason);
    else if (!exited && !quiet && strcmp(status, "killed") != 0)
        output_note("the program ended with %s", status);
    if (exited)
        return (int)exit_code;
    if (strcmp(status, "timeout") == 0)
        return TIMEOUT_STATUS;
    for (int i = 1; signal_name && i < NSIG; i++)
        if (sigabbrev_np(i) && strncmp(signal_name, "SIG", 3) == 0 &&
            strcmp(signal_name + 3, sigabbrev_np(i)) == 0)
            return SIGNAL_STATUS + i;
    return CLI_FAILED;
}

static bool exec_run(struct cli *c, struct err *e)
{
    const struct exec_options *o = c->options;
    char sandbox[SANDBOX_ID_TEXT];
    struct remote x = {.cli = c};
    if ((o->shell != NULL) == (c->argv_count > 0))
        return fail(e, CLI_USAGE,
                    "name either a program behind -- or a line with --shell; use: warmcell exec "
                    "SANDBOX -- PROGRAM [WORD]...");
    if (!cli_sandbox_find(c->target, c->words[0], sandbox, e))
        return false;
    scoped(call) struct call *call = begin(&x, sandbox, e);
    bool ok = call && follow_command(&x, call, e);
    if (ok)
        c->exit_status = status_of(x.end, c->json);
    json_decref(x.end);
    free(x.path);
    return ok;
}

const struct verb cli_exec = {
    .name = "exec",
    .words = "SANDBOX",
    .help = "run a program in a sandbox as if it ran here: output as it comes, stdin and signals "
            "passed on, its exit status",
    .options = rows,
    .option_count = countof(rows),
    .options_size = sizeof(struct exec_options),
    .min_words = 1,
    .max_words = 1,
    .argv = "PROGRAM [WORD]...",
    .run = exec_run,
};
