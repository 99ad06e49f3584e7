/* How a command begins: its request is checked, what its supervisor needs is written, and it is
 * started. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/core/command_run_state.h"
#include "gateway/core/json_file.h"
#include "gateway/core/once.h"
#include "gateway/launch/command.h"
#include "gateway/launch/environment.h"
#include "gateway/log.h"
#include "gateway/store/store.h"
#include "protocol/ids.h"
#include "protocol/json.h"
#include "protocol/utf8.h"

#define WORKSPACE "/workspace"

/* --- what is asked */

static bool check_words(json_t *argv, struct err *e)
{
    size_t count = json_array_size(argv), total = 0;
    if (!json_is_array(argv) || count < 1 || count > COMMAND_WORDS_MOST)
        return fail(e, 400, "argv: must be a list of 1 to %d strings", COMMAND_WORDS_MOST);
    for (size_t n = 0; n < count; n++) {
        json_t *word = json_array_get(argv, n);
        size_t len = json_string_length(word);
        if (!json_is_string(word) || strlen(json_string_value(word)) != len)
            return fail(e, 400, "argv: must be a list of strings without NUL");
        if (len > COMMAND_WORD_LIMIT_BYTES)
            return fail(e, 400, "argv: a word is longer than %d bytes", COMMAND_WORD_LIMIT_BYTES);
        total += len + 1;
    }
    if (json_string_length(json_array_get(argv, 0)) == 0)
        return fail(e, 400, "argv: its first word must not be empty");
    return total <= COMMAND_WORDS_LIMIT_BYTES ||
           fail(e, 400, "argv: longer than %d bytes", COMMAND_WORDS_LIMIT_BYTES);
}

static bool check_request(const struct command_request *q, struct err *e)
{
    if (!q->argv == !q->shell)
        return fail(e, 400,
                    q->argv ? "argv, shell: only one of them may be there"
                            : "argv: is required, or shell");
    if (q->argv && !check_words(q->argv, e))
        return false;
    if (q->shell && strlen(q->shell) > COMMAND_WORD_LIMIT_BYTES)
        return fail(e, 400, "shell: longer than %d bytes", COMMAND_WORD_LIMIT_BYTES);
    if (q->cwd && (!*q->cwd || strlen(q->cwd) > COMMAND_CWD_LIMIT_BYTES))
        return fail(e, 400, "cwd: must be 1 to %d bytes long", COMMAND_CWD_LIMIT_BYTES);
    if (q->input.len > COMMAND_STDIN_LIMIT_BYTES)
        return fail(e, 400, "stdin: longer than %d bytes", COMMAND_STDIN_LIMIT_BYTES);
    if (q->key &&
        (!*q->key || strlen(q->key) > COMMAND_KEY_LIMIT_BYTES || !utf8_valid(bytes_of(q->key))))
        return fail(e, 400, "Idempotency-Key: must be 1 to %d bytes of UTF-8",
                    COMMAND_KEY_LIMIT_BYTES);
    return !q->env || environment_check(q->env, e);
}

static bool check_room(const struct sandbox *s, struct err *e)
{
    if (s->core->draining)
        return fail(e, 503, "the gateway is ending");
    return command_runs_count(s) < COMMANDS_RUNNING_MOST ||
           fail(e, 403, "Resource Limit: %d commands run in the sandbox, which is the most allowed",
                COMMANDS_RUNNING_MOST);
}

/* The oldest that have ended go, so that there is room for one more. */
static void forget_oldest(struct sandbox *s)
{
    size_t count = 1;
    uint64_t bytes = 0;
    for (struct command_run *r = s->runs, *next; r; r = next) {
        next = r->next;
        bool ended = run_log_end(r->log) != NULL && !r->forgetting;
        bytes += ended ? run_log_size(r->log) : 0;
        if (++count > COMMANDS_KEPT_MOST || bytes > COMMANDS_KEPT_BYTES)
            if (ended)
                run_remove(r);
    }
}

/* --- what its supervisor gets */

static json_t *words_of(const struct command_request *q)
{
    return q->argv ? json_incref(q->argv) : json_pack("[sss]", "/bin/sh", "-c", q->shell);
}

static char *cwd_of(const struct command_request *q)
{
    return q->cwd && *q->cwd == '/' ? xstrdup(q->cwd)
           : q->cwd                 ? xasprintf(WORKSPACE "/%s", q->cwd)
                                    : xstrdup(WORKSPACE);
}

static json_t *environment_of(const struct sandbox *s, const struct command_request *q,
                              const char *cwd)
{
    __attribute__((cleanup(environment_scoped))) struct environment env;
    context_environment(&s->core->settings->core, &env);
    environment_set(&env, "PWD", cwd);
    json_t *layers[] = {s->env, q->env};
    for (size_t n = 0; n < countof(layers); n++) {
        const char *name;
        json_t *value;
        json_object_foreach(layers[n], name, value)
            environment_set(&env, name, json_string_value(value));
    }
    json_t *list = json_array();
    for (size_t n = 0; n < env.count; n++)
        json_array_append_new(list, json_string(env.vars[n]));
    return list;
}

/* The sooner of its own deadline and the sandbox's limit for an execution. */
static int64_t deadline_of(const struct sandbox *s, const struct command_request *q)
{
    int64_t limit = s->limits.execution_ms;
    return q->deadline_ms > 0 && (!limit || q->deadline_ms < limit) ? q->deadline_ms : limit;
}

static json_t *plan_of(const struct sandbox *s, const struct command_request *q)
{
    scoped(string) char *cwd = cwd_of(q);
    struct keeper *keeper = kept_keeper(sandbox_kept(s));
    json_t *open = sandbox_plan(s);
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:s, s:I, s:I, s:I, s:b}", "keeper",
                     keeper_socket(keeper), "sandbox", s->id, "open", open, "argv", words_of(q),
                     "env", environment_of(s, q, cwd), "cwd", cwd, "output_bytes",
                     (json_int_t)s->limits.output_bytes, "deadline_ms",
                     (json_int_t)deadline_of(s, q), "lease_s",
                     (json_int_t)s->core->settings->core.lease_s, "stdin_open", q->stdin_open);
}

static json_t *record_of(const struct sandbox *s, const struct command_request *q)
{
    char created[TIME_TEXT];
    scoped(json) json_t *digests = q->key ? once_digests(s->core, q->body) : NULL;
    time_now_text(created);
    int64_t deadline_ms = deadline_of(s, q);
    return json_pack("{s:O?, s:s?, s:s, s:b, s:o, s:s, s:s?, s:s, s:s?}", "argv", q->argv, "shell",
                     q->shell, "cwd", q->cwd ? q->cwd : WORKSPACE, "background", q->background,
                     "deadline_ms", deadline_ms > 0 ? json_integer(deadline_ms) : json_null(),
                     "created", created, "idempotency_key", q->key, "body_sha256",
                     digests ? once_digest(digests) : "", "traceparent", q->traceparent);
}

static bool write_file(const char *path, struct bytes text, struct err *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool good = fd >= 0;
    while (good && text.len) {
        ssize_t wrote = write(fd, text.data, text.len);
        good = wrote > 0;
        text =
            (struct bytes){text.data + (good ? wrote : 0), text.len - (good ? (size_t)wrote : 0)};
    }
    if (fd >= 0)
        close(fd);
    return good || fail_errno(e, 503, "the command's files cannot be written");
}

static bool make_folder(const struct command_run *r, struct err *e)
{
    scoped(string) char *parent =
        xasprintf("%s/%s/commands", r->core->sandboxes_dir, r->sandbox->id);
    if (mkdir(parent, 0700) != 0 && errno != EEXIST)
        return fail_errno(e, 503, "the commands' folder cannot be made");
    return mkdir(r->folder, 0700) == 0 || fail_errno(e, 503, "the command's folder cannot be made");
}

/* The record comes last: without it, a gateway that comes back removes the folder. */
static bool write_all(struct command_run *r, const struct command_request *q, const char *plan_path,
                      struct err *e)
{
    scoped(string) char *log = xasprintf("%s/log", r->folder);
    scoped(string) char *input = xasprintf("%s/stdin", r->folder);
    scoped(string) char *record = xasprintf("%s/command.json", r->folder);
    scoped(json) json_t *plan = plan_of(r->sandbox, q);
    r->record = record_of(r->sandbox, q);
    if (!plan || !r->record)
        return fail(e, 400, "the command cannot be written as JSON");
    return make_folder(r, e) && write_file(log, (struct bytes){0}, e) &&
           (!q->has_input || write_file(input, q->input, e)) &&
           (r->log = run_log_open(log, e)) != NULL && json_file_write(plan_path, plan, e) &&
           json_file_write(record, r->record, e);
}

static bool launch(struct command_run *r, const struct command_request *q, const char *plan_path,
                   struct err *e)
{
    const struct settings_core *settings = &r->core->settings->core;
    scoped(string) char *log = xasprintf("%s/log", r->folder);
    scoped(string) char *input = q->has_input ? xasprintf("%s/stdin", r->folder) : NULL;
    scoped(string) char *words = xasprintf("%s/commands/log", settings->runtime_dir);
    const struct command_launch plan = {plan_path, log, r->socket, input, words};
    int pidfd, gate_fd;
    if (!command_launch(&plan, &pidfd, &gate_fd, e))
        return false;
    run_attach(r, gate_fd, pidfd);
    return true;
}

/* The command that was asked for with the key. */
static struct command_run *known(struct sandbox *s, const char *key)
{
    struct command_run *r = key ? s->runs : NULL;
    while (r) {
        const char *own = json_string_value(json_object_get(r->record, "idempotency_key"));
        if (!r->forgetting && own && strcmp(own, key) == 0)
            return r;
        r = r->next;
    }
    return NULL;
}

static bool same_body(const struct command_run *r, const struct command_request *q, struct err *e)
{
    scoped(json) json_t *digests = once_digests(r->core, q->body);
    const char *own = json_string_value(json_object_get(r->record, "body_sha256"));
    return once_has(digests, own) ||
           fail(e, 422, "Idempotency-Key: command %s was asked for with it and another body",
                r->id);
}

static void add_starter(struct command_run *r,
                        void (*done)(void *user, struct command_run *r, const struct err *e),
                        void *user)
{
    struct run_starter *starter = xmalloc(sizeof *starter);
    *starter = (struct run_starter){r->starters, done, user};
    r->starters = starter;
}

/* Files and folders that are new with it. */
static void say_made(const struct command_run *r)
{
    struct sync *sync = store_sync(r->core->store);
    scoped(string) char *own = xasprintf("%s/%s", r->core->sandboxes_dir, r->sandbox->id);
    scoped(string) char *parent = xasprintf("%s/commands", own);
    scoped(string) char *record = xasprintf("%s/command.json", r->folder);
    scoped(string) char *log = xasprintf("%s/log", r->folder);
    const char *const paths[] = {record, log, r->folder, parent, own, r->core->sandboxes_dir};
    for (size_t i = 0; i < countof(paths); i++)
        sync_path(sync, paths[i]);
}

static bool begin(struct command_run *r, const struct command_request *q, struct err *e)
{
    struct sandbox *s = r->sandbox;
    struct keeper *keeper = kept_keeper(sandbox_kept(s));
    scoped(string) char *plan =
        xasprintf("%s/commands/%s.json", s->core->settings->core.runtime_dir, r->id);
    if (!keeper || !contexts_live(s))
        return fail(e, 409, "the sandbox does not run");
    if (write_all(r, q, plan, e) && launch(r, q, plan, e)) {
        run_hold_end(r);
        say_made(r);
        return true;
    }
    unlink(plan);
    return false;
}

void command_runs_start(struct sandbox *s, const struct command_request *request,
                        void (*done)(void *user, struct command_run *r, const struct err *e),
                        void *user)
{
    struct err e;
    char id[UUID_TEXT];
    struct command_run *r = NULL;
    if (!check_request(request, &e) ||
        ((r = known(s, request->key)) ? !same_body(r, request, &e) : !check_room(s, &e))) {
        done(user, NULL, &e);
        return;
    }
    if (r && !r->starters) {
        done(user, r, NULL);
        return;
    }
    if (r) {
        add_starter(r, done, user);
        return;
    }
    forget_oldest(s);
    uuid_make(id);
    r = run_new(s, id);
    if (!begin(r, request, &e)) {
        scoped(string) char *parent = xasprintf("%s/%s/commands", s->core->sandboxes_dir, s->id);
        folder_remove(s->core, parent, id, NULL, NULL);
        run_free(r);
        done(user, NULL, &e);
        return;
    }
    r->next = s->runs;
    s->runs = r;
    add_starter(r, done, user);
    s->core->counters.commands_started++;
    log_info("command starts", F_STR("sandbox", s->id), F_STR("command", r->id));
}
