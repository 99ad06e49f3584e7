/* Runs the installer under the same supervisor as a command (sandbox/command.h), with a lease of
 * the shortest: a gateway that comes back does not take it up.
 *
 * Invariant: a program is freed when it has ended, was closed, and none of its handles is open. */
#include "gateway/core/package_program.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gateway/core/json_file.h"
#include "gateway/core/run_log.h"
#include "gateway/launch/command.h"
#include "gateway/launch/environment.h"
#include "gateway/launch/process.h"
#include "gateway/place.h"
#include "protocol/ids.h"
#include "protocol/json.h"

#define SCRIPT             "warmcell_kernel/installer.py"
#define PREFIX             "package-" /* of the names of its files */
#define OUTPUT_LIMIT_BYTES (16 * 1024 * 1024)
#define LINE_LIMIT_BYTES   (8 * 1024 * 1024)
#define PIECE_BYTES        (256 * 1024)
#define ROOM_TIMES         3 /* a wheel, what is unpacked, and what is moved */

struct package_program {
    struct core *core;
    struct sandbox *s; /* held */
    char *id;
    char *files[4]; /* plan, log, input, socket */
    bool apart;
    struct run_log *log;
    struct run_cursor cursor;
    struct buffer line;
    char *reason; /* from its event "failed" */
    int pidfd, gate_fd;
    uv_poll_t *child, *gate;
    struct package_program_events events;
    void *user;
    bool ended, closed;
    int handles;
};

enum file { FILE_PLAN, FILE_LOG, FILE_INPUT, FILE_SOCKET };

const char *package_program_id(const struct package_program *p)
{
    return p->id;
}

/* --- memory and handles */

static void free_if_unused(struct package_program *p)
{
    if (!p->closed || !p->ended || p->handles > 0)
        return;
    for (size_t i = 0; i < countof(p->files); i++) {
        unlink(p->files[i]);
        free(p->files[i]);
    }
    if (p->apart)
        folder_remove(p->core, p->core->sandboxes_dir, p->id, NULL, NULL);
    sandbox_let_go(p->s);
    run_log_free(p->log);
    buffer_free(&p->line);
    free(p->reason);
    free(p->id);
    free(p);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct package_program *p = handle->data;
    struct core *c = p->core;
    free(handle);
    p->handles--;
    free_if_unused(p);
    core_handle_closed(c);
}

static uv_poll_t *watch_fd(struct package_program *p, int fd, uv_poll_cb on_ready)
{
    uv_poll_t *poll = xmalloc(sizeof *poll);
    uv_poll_init(p->core->loop, poll, fd);
    poll->data = p;
    p->handles++;
    p->core->open_handles++;
    uv_poll_start(poll, UV_READABLE, on_ready);
    return poll;
}

static void drop_poll(uv_poll_t **poll, int *fd)
{
    if (*poll)
        uv_close((uv_handle_t *)*poll, on_handle_closed);
    *poll = NULL;
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* --- what it says */

static void take_line(struct package_program *p)
{
    struct err e;
    scoped(json) json_t *event =
        json_parse_object(buffer_view(&p->line), "the installer", LINE_LIMIT_BYTES, &e);
    const char *kind = json_string_value(json_object_get(event, "event"));
    const char *reason = json_string_value(json_object_get(event, "reason"));
    buffer_clear(&p->line);
    if (!kind || p->closed)
        return;
    if (strcmp(kind, "failed") == 0) {
        free(p->reason);
        p->reason = xstrdup(reason ? reason : "no reason was given");
    } else {
        p->events.on_event(p->user, event);
    }
}

static void take_text(struct package_program *p, struct bytes text)
{
    while (text.len) {
        const char *end = memchr(text.data, '\n', text.len);
        size_t len = end ? (size_t)(end - text.data) : text.len;
        if (p->line.len + len <= LINE_LIMIT_BYTES)
            buffer_add(&p->line, text.data, len);
        if (!end)
            return;
        take_line(p);
        text = (struct bytes){end + 1, text.len - len - 1};
    }
}

static void look(struct package_program *p)
{
    scoped(buffer) struct buffer records = {0};
    struct record record;
    struct bytes text;
    run_log_refresh(p->log);
    while (run_log_read(p->log, &p->cursor, &records, PIECE_BYTES)) {
        struct bytes rest = buffer_view(&records);
        while (run_log_next(&rest, &record, &text))
            if (record.kind == RECORD_STDOUT)
                take_text(p, text);
        buffer_clear(&records);
    }
}

/* --- its end */

/* Of a reason that the installer gave. */
static int status_of(const char *reason)
{
    const int no_room[] = {EFBIG, ENOSPC, EDQUOT};
    for (size_t i = 0; i < countof(no_room); i++)
        if (strstr(reason, strerror(no_room[i])))
            return 507;
    return strstr(reason, "No module named pip") ? 501 : 422;
}

/* How it stands for the client. True: it went well. */
static bool outcome(const struct package_program *p, struct err *e)
{
    json_t *end = run_log_end(p->log);
    const char *status = json_string_value(json_object_get(end, "status"));
    const char *reason = json_string_value(json_object_get(end, "reason"));
    json_t *code = json_object_get(end, "exit_code");
    json_int_t refused = json_integer_value(json_object_get(end, "refused"));
    if (p->s->ending || p->s->halted)
        return fail(e, 409, "the sandbox was %s meanwhile", p->s->ending ? "deleted" : "paused");
    if (!end)
        return fail(e, 503, "the installer was killed; nothing has changed");
    if (refused >= 400 && refused < 600)
        return fail(e, (int)refused, "%s", reason ? reason : "the installer was not started");
    if (json_is_integer(code) && json_integer_value(code) == 0)
        return true;
    /* these first: of a tree that is killed pip may go before the installer, which then tells that
     */
    if (status && strcmp(status, "timeout") == 0)
        return fail(e, 504, "the time for it is over; nothing has changed");
    if (status && strcmp(status, "oom") == 0)
        return fail(e, 507, "the installer ran out of memory; nothing has changed");
    if (p->reason)
        return fail(e, status_of(p->reason), "%s", p->reason);
    if (reason && strstr(reason, "workspace"))
        return fail(e, 507, "the packages do not fit: %s", reason);
    return fail(e, 502, "the installer ended as it should not (%s%s%s)", status ? status : "lost",
                reason ? ": " : "", reason ? reason : "");
}

static void on_closed(void *user, json_t *answer, const struct err *why)
{
    struct package_program *p = user; /* also when it failed: what is not there needs no closing */
    struct err e;
    (void)answer;
    (void)why;
    p->ended = true;
    if (!p->closed) {
        bool good = outcome(p, &e);
        p->events.on_end(p->user, good ? NULL : &e); /* may close p */
    }
    p->handles--;
    free_if_unused(p);
}

static void on_child(uv_poll_t *poll, int status, int events)
{
    struct package_program *p = poll->data;
    int exit_status, signal_number;
    (void)status;
    (void)events;
    process_status(p->pidfd, &exit_status, &signal_number);
    drop_poll(&p->child, &p->pidfd);
    drop_poll(&p->gate, &p->gate_fd);
    p->handles++;
    look(p);
    struct keeper *keeper = p->apart ? kept_keeper(sandbox_kept(p->s)) : NULL;
    if (keeper)
        keeper_ask(keeper, WIRE_CLOSE, json_pack("{s:s}", "sandbox", p->id), on_closed, p);
    else
        on_closed(p, NULL, NULL);
}

static void on_gate(uv_poll_t *poll, int status, int events)
{
    struct package_program *p = poll->data;
    struct wire_message m = {0};
    struct err e = {0};
    (void)status;
    (void)events;
    int got = wire_receive(p->gate_fd, &m, &e);
    wire_message_free(&m);
    if (got < 0 && e.status == 0)
        drop_poll(&p->gate, &p->gate_fd);
    p->handles++;
    look(p);
    p->handles--;
    free_if_unused(p);
}

void package_program_close(struct package_program *p)
{
    if (!p)
        return;
    p->closed = true;
    if (p->pidfd >= 0)
        syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
    free_if_unused(p);
}

/* --- its start */

/* Nothing of the gateway's environment or of the sandbox's decides what pip does. */
static json_t *environment_of(const struct package_program *p)
{
    __attribute__((cleanup(environment_scoped))) struct environment env;
    context_environment(&p->core->settings->core, &env);
    environment_set(&env, "PIP_CONFIG_FILE", "/dev/null");
    if (p->apart) {
        environment_set(&env, "TMPDIR", "/workspace/tmp");
        environment_set(&env, "NO_PROXY", ""); /* an index on this machine is behind it, too */
        environment_set(&env, "no_proxy", "");
    }
    json_t *list = json_array();
    for (size_t n = 0; n < env.count; n++)
        json_array_append_new(list, json_string(env.vars[n]));
    return list;
}

static json_t *words_of(const struct package_program *p, const struct package_program_plan *plan,
                        struct err *e)
{
    const char *python = p->core->settings->core.python;
    scoped(string) char *folder = place_python_package();
    if (!python || !*python || !folder) {
        fail(e, 501,
             "packages: this gateway has no Python to install with; start it with --python");
        return NULL;
    }
    scoped(string) char *script = xasprintf("%s/" SCRIPT, folder);
    json_t *words = json_pack("[sss]", python, "-I", script);
    for (size_t i = 0; i < countof(plan->words) && plan->words[i]; i++)
        json_array_append_new(words, json_string(plan->words[i]));
    return words;
}

/* It has no more room than the sandbox that it installs for could use. */
static json_t *own_sandbox(const struct package_program *p, json_t *network)
{
    struct limits limits = limits_default;
    if (p->s->limits.workspace_bytes && p->s->limits.workspace_bytes < INT64_MAX / ROOM_TIMES)
        limits.workspace_bytes = p->s->limits.workspace_bytes * ROOM_TIMES;
    if (p->s->limits.workspace_inodes && p->s->limits.workspace_inodes < INT64_MAX / ROOM_TIMES)
        limits.workspace_inodes = p->s->limits.workspace_inodes * ROOM_TIMES;
    return json_pack("{s:s, s:O, s:o}", "sandbox", p->id, "network", network, "limits",
                     limits_json(&limits));
}

static bool write_files(struct package_program *p, const struct package_program_plan *plan,
                        struct err *e)
{
    json_t *words = words_of(p, plan, e);
    if (!words)
        return false;
    json_t *open = p->apart ? own_sandbox(p, plan->network) : sandbox_plan(p->s);
    const char *in = p->apart ? p->id : p->s->id;
    scoped(json) json_t *whole =
        json_pack("{s:s, s:s, s:o, s:o, s:o, s:s, s:I, s:I, s:i, s:b, s:b}", "keeper",
                  keeper_socket(kept_keeper(sandbox_kept(p->s))), "sandbox", in, "open", open,
                  "argv", words, "env", environment_of(p), "cwd", "/workspace", "output_bytes",
                  (json_int_t)OUTPUT_LIMIT_BYTES, "deadline_ms", (json_int_t)plan->deadline_ms,
                  "lease_s", 0, "stdin_open", 0, "alone", (int)p->apart);
    FILE *log = fopen(p->files[FILE_LOG], "wxe");
    if (!log)
        return fail_errno(e, 503, "the installer's files cannot be written");
    fclose(log);
    p->log = run_log_open(p->files[FILE_LOG], e);
    return p->log && (!plan->input || json_file_write(p->files[FILE_INPUT], plan->input, e)) &&
           json_file_write(p->files[FILE_PLAN], whole, e);
}

static bool launch(struct package_program *p, bool has_input, struct err *e)
{
    scoped(string) char *words = xasprintf("%s/commands/log", p->core->settings->core.runtime_dir);
    const struct command_launch plan = {p->files[FILE_PLAN], p->files[FILE_LOG],
                                        p->files[FILE_SOCKET],
                                        has_input ? p->files[FILE_INPUT] : NULL, words};
    if (!command_launch(&plan, &p->pidfd, &p->gate_fd, e))
        return false;
    p->child = watch_fd(p, p->pidfd, on_child);
    p->gate = watch_fd(p, p->gate_fd, on_gate);
    return true;
}

struct package_program *package_program_start(struct sandbox *s,
                                              const struct package_program_plan *plan,
                                              const struct package_program_events *events,
                                              void *user, struct err *e)
{
    static const char *const kinds[] = {
        [FILE_PLAN] = "json", [FILE_LOG] = "log", [FILE_INPUT] = "in", [FILE_SOCKET] = "sock"};
    char id[UUID_TEXT];
    if (!kept_keeper(sandbox_kept(s)) || !contexts_live(s) || s->halted) {
        fail(e, 409, "the sandbox does not run");
        return NULL;
    }
    uuid_make(id);
    struct package_program *p = xcalloc(1, sizeof *p);
    *p = (struct package_program){.core = s->core,
                                  .s = s,
                                  .id = xstrdup(id),
                                  .apart = plan->network != NULL,
                                  .cursor = {.next = 1},
                                  .events = *events,
                                  .user = user,
                                  .pidfd = -1,
                                  .gate_fd = -1};
    for (size_t i = 0; i < countof(p->files); i++)
        p->files[i] = xasprintf("%s/commands/" PREFIX "%s.%s", s->core->settings->core.runtime_dir,
                                id, kinds[i]);
    sandbox_hold(s);
    if (write_files(p, plan, e) && launch(p, plan->input != NULL, e))
        return p;
    p->ended = true;
    p->apart = false; /* nothing was made */
    package_program_close(p);
    return NULL;
}

void package_programs_clear(struct core *c)
{
    scoped(string) char *folder = xasprintf("%s/commands", c->settings->core.runtime_dir);
    DIR *handle = opendir(folder);
    struct dirent *entry;
    while (handle && (entry = readdir(handle)))
        if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) == 0)
            unlinkat(dirfd(handle), entry->d_name, 0);
    if (handle)
        closedir(handle);
}
