/* `warmcell run`: a script, or the cells of a notebook one after another, in a sandbox that is made
 * for it and removed at the end, however it ends. Signals are held back while it is made, so that
 * it is always known and removed. */
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/cli/artifacts.h"
#include "gateway/cli/cli.h"
#include "gateway/cli/follow.h"
#include "gateway/cli/language.h"
#include "gateway/cli/notebook.h"
#include "gateway/cli/output.h"
#include "gateway/cli/sandbox.h"
#include "protocol/json.h"

#define SIGNAL_STATUS    128
#define ANSWER_LIMIT     (1024 * 1024)
#define READ_PIECE_BYTES (256 * 1024)
#define LOST_TOLD        100 /* of the files that are not kept, by name */

struct run_options {
    struct cli_options common;
    char *artifacts, *sandbox, *language;
    bool keep;
};

#define RUN(field) offsetof(struct run_options, field)

static const struct option rows[] = {
    CLI_ROWS,
    {"artifacts", OPTION_TEXT, RUN(artifacts), NULL,
     .help = "a folder that gets the plots, pages and PDFs that it displays, as CELL-N.png, and "
             "below workspace/ the files that it leaves",
     .flag_only = true},
    {"keep", OPTION_BOOL, RUN(keep), NULL,
     .help = "leave the sandbox there and print its id on stderr", .flag_only = true},
    {"sandbox", OPTION_TEXT, RUN(sandbox), NULL,
     .help = "run in this sandbox, which stays, not in a new one", .flag_only = true},
    {"language", OPTION_TEXT, RUN(language), NULL,
     .help = "what it is written in, as javascript (default: what the notebook says, or the name "
             "of the file ends with; else the sandbox's)",
     .flag_only = true},
};

/* What an input() takes for the end of its input, as a terminal does for Ctrl-D. */
static const char end_of_input[] = "\x04";

struct runner {
    const struct cli *cli;
    char sandbox[SANDBOX_ID_TEXT];
    char *path;     /* of the execution; owned */
    char *language; /* owned; NULL: the sandbox's */
    char *context;  /* its id; owned; NULL: the sandbox's first */
    json_t *argv;   /* owned; NULL: it is run as cells are */
    bool notebook, has_words;
    struct follow follow;
    struct artifacts artifacts;
    struct buffer answers; /* of stdin, not yet asked for */
    bool stdin_is_code, stdin_ended, asked;
    int signal; /* the last that came; 0: none */
    bool ok;    /* the last one ended well */
    int status; /* what the code says of itself by SystemExit; CLI_FAILED without */
};

/* False: e. */
static bool post(const struct runner *r, const char *what, const json_t *body, struct err *e)
{
    scoped(string) char *path = xasprintf("%s/%s", r->path, what);
    scoped(json) json_t *answer = call_json(r->cli->target, "POST", path, body, e);
    return answer != NULL;
}

/* --- input() */

/* The next line of stdin answers the input() that waits; at its end that raises EOFError. */
static bool answer(struct runner *r, struct err *e)
{
    const char *end = r->answers.len ? memchr(r->answers.data, '\n', r->answers.len) : NULL;
    struct err why = {0};
    if (!end && !r->stdin_ended) {
        r->follow.input_fd = STDIN_FILENO;
        return true;
    }
    r->asked = false;
    r->follow.input_fd = -1;
    size_t len = end ? (size_t)(end - r->answers.data) : r->answers.len;
    bool eof = !end && len == 0;
    scoped(json) json_t *body = json_pack("{s:s%}", "value", eof ? end_of_input : r->answers.data,
                                          eof ? strlen(end_of_input) : len);
    buffer_drop(&r->answers, end ? len + 1 : len);
    if (!body)
        return fail(e, CLI_FAILED, "what was entered is not UTF-8");
    return post(r, "input", body, &why) || why.status == 409 || (*e = why, false);
}

static enum follow_input on_input(void *user, struct bytes data, struct err *e)
{
    struct runner *r = user;
    r->stdin_ended = data.len == 0;
    if (r->answers.len + data.len > ANSWER_LIMIT) {
        fail(e, CLI_FAILED, "a line of stdin is longer than %d bytes", ANSWER_LIMIT);
        return INPUT_FAILED;
    }
    buffer_add_bytes(&r->answers, data);
    return !r->asked || answer(r, e) ? INPUT_TAKEN : INPUT_FAILED;
}

/* --- SystemExit */

/* Of an error's members name and value. */
static bool is_exit(const json_t *error)
{
    const char *name = json_string_value(json_object_get(error, "name"));
    return name && strcmp(name, "SystemExit") == 0;
}

/* As Python ends a script of which this is the last: a number is its status, of which the system
 * keeps eight bits; nothing is 0; *text (borrowed of error), which goes to stderr, is 1. */
static int exit_status_of(const json_t *error, struct bytes *text)
{
    const json_t *member = json_object_get(error, "value");
    struct bytes value = {json_string_value(member), json_string_length(member)};
    *text = bytes_of("");
    if (value.len == 0 || strcmp(value.data, "None") == 0)
        return 0;
    char *end = NULL;
    bool number = isdigit((unsigned char)value.data[*value.data == '-']);
    long status = number ? strtol(value.data, &end, 10) : 0;
    if (end == value.data + value.len)
        return (int)(status & 0xff);
    *text = value;
    return CLI_FAILED;
}

/* --- events */

/* An exit is the end of a script and no failure that wants a traceback. */
static bool on_error(struct runner *r, const json_t *event, struct err *e)
{
    struct bytes text;
    if (r->cli->json)
        return true;
    if (!is_exit(event))
        return output_execution(event, e);
    exit_status_of(event, &text);
    return text.len == 0 ||
           (follow_write(STDERR_FILENO, text, e) && follow_write(STDERR_FILENO, bytes_of("\n"), e));
}

static bool on_shown(struct runner *r, const json_t *event, struct err *e)
{
    return output_execution(event, e) &&
           artifacts_save(&r->artifacts, json_object_get(event, "data"), e);
}

static bool on_prompt(struct runner *r, const json_t *event, struct err *e)
{
    const char *prompt = json_string_value(json_object_get(event, "prompt"));
    r->asked = true;
    return (r->cli->json || follow_write(STDOUT_FILENO, bytes_of(prompt), e)) && answer(r, e);
}

static bool on_end(struct runner *r, const json_t *event, struct err *e)
{
    json_t *record = json_object_get(event, "execution");
    const char *status = "lost", *reason = NULL;
    struct bytes text;
    (void)e;
    r->follow.ended = !r->artifacts.dir; /* else when its files are settled */
    if (json_is_object(record)) {
        field_str(record, "status", OPTIONAL, &status, NULL);
        field_str(record, "reason", OPTIONAL, &reason, NULL);
    }
    const json_t *error = json_object_get(record, "error");
    r->ok = strcmp(status, "ok") == 0;
    if (strcmp(status, "error") == 0 && is_exit(error))
        r->status = exit_status_of(error, &text);
    if (!r->ok && strcmp(status, "error") != 0 && !r->cli->json)
        output_note("the code ended with %s%s%s", status, reason ? ": " : "", reason ? reason : "");
    return true;
}

/* So many changed files are without their bytes, each of which says why. */
static void tell_lost(const struct runner *r, json_int_t lost)
{
    struct err why = {0};
    scoped(string) char *path = xasprintf("%s/changes?limit=1000", r->path);
    scoped(json) json_t *changes = call_list(r->cli->target, path, "changes", &why);
    size_t i, told = 0;
    json_t *change;
    json_array_foreach(changes, i, change)
    {
        const char *name = json_string_value(json_object_get(change, "path"));
        const char *problem = json_string_value(json_object_get(change, "problem"));
        if (!name || !problem || told == LOST_TOLD)
            continue;
        output_note("%s is not kept as an artifact: %s", name, problem);
        told++;
    }
    if (lost > (json_int_t)told)
        output_note("%lld%s of the changed files are not kept as artifacts%s%s",
                    (long long)lost - (long long)told, told ? " more" : "", changes ? "" : ": ",
                    changes ? "" : why.text);
}

/* What cannot be had later is said now. */
static bool on_settled(struct runner *r, const json_t *event, struct err *e)
{
    const json_t *files = json_object_get(event, "files_changed");
    const char *problem = json_string_value(json_object_get(files, "problem"));
    json_int_t lost = json_integer_value(json_object_get(files, "not_kept")) +
                      json_integer_value(json_object_get(files, "passed_over"));
    (void)e;
    r->follow.ended = true;
    if (problem)
        output_note("the files were not looked at: %s", problem);
    else if (lost)
        tell_lost(r, lost);
    return true;
}

/* The gateway ends (503): it is looked for again; what is not kept any more (410) is. */
static bool on_problem(struct runner *r, const json_t *event, struct err *e)
{
    const char *detail = json_string_value(json_object_get(event, "detail"));
    (void)r;
    return json_integer_value(json_object_get(event, "status")) == 503 ||
           fail(e, CLI_FAILED, "%s", detail ? detail : "the events broke off");
}

static const struct {
    const char *type;
    bool (*on)(struct runner *r, const json_t *event, struct err *e);
} takers[] = {
    {"input", on_prompt},    {"error", on_error},
    {"end", on_end},         {"artifacts_settled", on_settled},
    {"problem", on_problem},
};

static bool on_event(void *user, json_t *event, struct bytes line, struct err *e)
{
    struct runner *r = user;
    const char *type = json_string_value(json_object_get(event, "type"));
    if (r->cli->json && (!output_line(line, e) ||
                         !artifacts_save(&r->artifacts, json_object_get(event, "data"), e)))
        return false;
    for (size_t i = 0; type && i < countof(takers); i++)
        if (strcmp(type, takers[i].type) == 0)
            return takers[i].on(r, event, e);
    return r->cli->json || on_shown(r, event, e);
}

/* The first interrupt is for the code; a second one, or another signal, ends all of it. */
static bool on_signal(void *user, int number, struct err *e)
{
    struct runner *r = user;
    bool again = r->signal != 0;
    r->signal = number;
    if (number == SIGINT && !again)
        return post(r, "cancel", NULL, &(struct err){0}) || true;
    return fail(e, CLI_FAILED, "ended by SIG%s", sigabbrev_np(number));
}

/* --- cells */

/* Whether it is run as a program: a script of Python. That of a named sandbox is asked for, unless
 * words are given, which the gateway refuses for other languages with a sentence. */
static bool is_program(const struct runner *r, struct err *e)
{
    const struct run_options *o = r->cli->options;
    if (r->notebook || r->has_words)
        return r->has_words;
    if (r->language || !o->sandbox)
        return !r->language || strcmp(r->language, "python") == 0;
    scoped(string) char *path = xasprintf("/v1/sandboxes/%s", r->sandbox);
    scoped(json) json_t *model = call_json(r->cli->target, "GET", path, NULL, e);
    const char *language = json_string_value(json_object_get(model, "language"));
    return language && strcmp(language, "python") == 0;
}

static bool add_words(json_t *argv, const char *const *words, size_t count, struct err *e)
{
    for (size_t i = 0; i < count; i++)
        if (json_array_append_new(argv, json_string(words[i])) != 0)
            return fail(e, CLI_FAILED, "the word %.100s is not UTF-8", words[i]);
    return true;
}

/* What the script has as its words, as `python FILE WORD...` gives them. */
static bool choose_argv(struct runner *r, struct err *e)
{
    const struct cli *c = r->cli;
    struct err why = {0};
    r->has_words = c->word_count + c->argv_count > 1;
    if (r->notebook && r->has_words)
        return fail(e, CLI_USAGE, "a notebook takes no words");
    if (!is_program(r, &why)) {
        *e = why;
        return why.status == 0;
    }
    r->argv = json_array();
    return add_words(r->argv, c->words, c->word_count, e) &&
           add_words(r->argv, (const char *const *)c->argv, c->argv_count, e);
}

static struct call *begin(struct runner *r, const char *code, struct err *e)
{
    scoped(json) json_t *body =
        json_pack("{s:s, s:s*, s:b, s:b, s:O*}", "code", code, "context", r->context, "allow_input",
                  !r->stdin_is_code, "stop_on_error", 1, "argv", r->argv);
    scoped(string) char *path = xasprintf("/v1/sandboxes/%s/executions%s", r->sandbox,
                                          r->artifacts.dir ? "?settled=1" : "");
    scoped(call) struct call *c = call_events(r->cli->target, path, body, e);
    if (!c)
        return NULL;
    free(r->path);
    r->path = xstrdup(call_location(c));
    return take(&c);
}

static bool run_cell(struct runner *r, const char *code, struct err *e)
{
    scoped(call) struct call *c = begin(r, code, e);
    if (!c)
        return false;
    r->follow.call = c;
    r->follow.last_event = 0;
    r->follow.ended = r->ok = false;
    r->status = CLI_FAILED;
    r->artifacts.cell++;
    r->artifacts.count = 0;
    return follow_through(&r->follow, r->cli->target, r->path, e);
}

static bool run_cells(struct runner *r, const struct code *code, struct err *e)
{
    r->ok = true;
    for (size_t i = 0; i < code->count && r->ok; i++)
        if (!run_cell(r, code->cell[i], e))
            return false;
    return true;
}

/* --- the whole */

static bool read_code(const char *name, struct code *out, struct err *e)
{
    bool piped = strcmp(name, "-") == 0;
    scoped(buffer) struct buffer text = {0};
    FILE *file = piped ? stdin : fopen(name, "re");
    if (!file)
        return fail_errno(e, CLI_FAILED, "%.200s cannot be read", name);
    size_t got;
    do {
        got = fread(buffer_reserve(&text, READ_PIECE_BYTES), 1, READ_PIECE_BYTES, file);
        text.len += got;
    } while (got && text.len <= NOTEBOOK_LIMIT_BYTES);
    bool ok = !ferror(file) || fail_errno(e, CLI_FAILED, "%.200s cannot be read", name);
    if (!piped)
        fclose(file);
    if (ok && text.len > NOTEBOOK_LIMIT_BYTES)
        return fail(e, CLI_FAILED, "%.200s is longer than %d bytes", name, NOTEBOOK_LIMIT_BYTES);
    return ok && code_of(buffer_view(&text), name, out, e);
}

/* The sandbox that it runs in: one that is named, or a new one. */
static bool enter(struct runner *r, struct err *e)
{
    const struct run_options *o = r->cli->options;
    const char *id = NULL;
    if (o->sandbox && !cli_sandbox_find(r->cli->target, o->sandbox, r->sandbox, e))
        return false;
    if (o->sandbox && r->language)
        r->context = cli_language_context(r->cli->target, r->sandbox, r->language, e);
    if (o->sandbox)
        return r->context || !r->language;
    scoped(json) json_t *body = json_pack("{s:s*}", "language", r->language);
    scoped(json) json_t *model = cli_sandbox_make(r->cli->target, body, e);
    if (!model || !field_str(model, "id", REQUIRED, &id, e))
        return false;
    snprintf(r->sandbox, sizeof r->sandbox, "%s", id);
    if (o->keep)
        output_note("the sandbox is %s", r->sandbox);
    return true;
}

/* Whatever happened before, which is told before what goes wrong here. */
static bool leave(const struct runner *r, bool ok, struct err *e)
{
    const struct run_options *o = r->cli->options;
    struct err why = {0};
    bool left =
        !*r->sandbox || o->sandbox || o->keep || cli_sandbox_end(r->cli->target, r->sandbox, &why);
    if (!left && ok)
        *e = why;
    return left && ok;
}

static bool run_run(struct cli *c, struct err *e)
{
    const struct run_options *o = c->options;
    struct code code = {0};
    struct runner r = {.cli = c, .artifacts.dir = o->artifacts};
    if (!read_code(c->words[0], &code, e))
        return false;
    r.notebook = code.notebook;
    r.stdin_is_code = strcmp(c->words[0], "-") == 0;
    r.follow = (struct follow){
        .signal_fd = follow_signals(),
        .query = o->artifacts ? "&settled=1" : NULL,
        .input_fd = -1,
        .user = &r,
        .on_event = on_event,
        .on_signal = on_signal,
        .on_input = on_input,
    };
    bool ok = cli_language_choose(c->target, o->language, &code, c->words[0], &r.language, e) &&
              (!o->artifacts || artifacts_open(&r.artifacts, e)) && enter(&r, e) &&
              choose_argv(&r, e) && run_cells(&r, &code, e) &&
              (!o->artifacts || artifacts_fetch(&r.artifacts, c->target, r.sandbox, e));
    ok = leave(&r, ok, e);
    c->exit_status = r.signal ? SIGNAL_STATUS + r.signal : r.ok ? 0 : r.status;
    if (r.follow.signal_fd >= 0)
        close(r.follow.signal_fd);
    free(r.path);
    free(r.language);
    free(r.context);
    json_decref(r.argv);
    buffer_free(&r.answers);
    code_free(&code);
    return ok;
}

const struct verb cli_run = {
    .name = "run",
    .words = "FILE|- [WORD]...",
    .argv = "[WORD]...",
    .help =
        "run a script with its words (behind -- also such as begin with -), or a notebook's cells "
        "one after another, in a sandbox of its own: output "
        "as it comes, the exit status that it ends with, traceback and status 1 on an error; "
        "nothing of it is left",
    .options = rows,
    .option_count = countof(rows),
    .options_size = sizeof(struct run_options),
    .min_words = 1,
    .max_words = CLI_WORDS_LIMIT,
    .run = run_run,
};
