/* Executions as their callers see them: made, told to the kernel, found, awaited, cancelled. What
 * becomes of one is in execution_fold.c.
 *
 * Invariant: an execution is in the list of its kernel from its making until its end is known, and
 * the list holds one reference. */
#include "gateway/core/execution.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "gateway/core/execution_event.h"
#include "gateway/core/execution_state.h"
#include "gateway/core/once.h"
#include "gateway/core/settling.h"
#include "gateway/core/state.h"
#include "gateway/log.h"
#include "protocol/json.h"

#define CANCEL_LIMIT_MS (10 * 1000)
#define STORE_DELAY_MS  5 /* who waits for its row waits no longer */
#define STORE_DELAYS                                                                               \
    3 /* before it is written for nobody: most have ended, and are written once                    \
       */
#define ENV_LIMIT        1000        /* names */
#define ARGV_LIMIT       1000        /* words */
#define ARGV_LIMIT_BYTES (64 * 1024) /* of all of them, which every record has */
#define LABELS_LIMIT     64
#define LOOKS_MOST       100  /* for an end that is being stored */
#define TEXT_LIMIT       4096 /* bytes of a path, or of a label */

struct execution *execution_new(struct core *c, const struct execution_row *row)
{
    struct execution *x = xcalloc(1, sizeof(*x));
    x->core = c;
    x->references = 1;
    execution_row_copy(&x->row, row);
    x->stored = row->outcome != NULL;
    x->settled = row->outcome != NULL;
    x->events = row->events;
    return x;
}

struct execution *execution_keep(struct execution *x)
{
    x->references++;
    return x;
}

void execution_release(struct execution *x)
{
    if (!x || --x->references > 0)
        return;
    execution_row_clear(&x->row);
    buffer_free(&x->input_header);
    buffer_free(&x->outcome);
    free(x);
}

const char *execution_id(const struct execution *x)
{
    return x->row.id;
}

const char *execution_status(const struct execution *x)
{
    return x->row.status;
}

const char *execution_sandbox_id(const struct execution *x)
{
    return x->row.sandbox_id;
}

int64_t execution_position(const struct execution *x)
{
    return x->row.position;
}

bool execution_ended(const struct execution *x)
{
    return x->settled;
}

const char *execution_settled(const struct execution *x)
{
    return x->row.settled;
}

void execution_open(struct execution *x, struct kernel *k)
{
    struct execution **end = &k->executions;
    while (*end)
        end = &(*end)->next;
    *end = execution_keep(x);
    x->kernel = k;
    if (!k->executions_from)
        k->executions_from = journal_first(k->journal); /* of a resumed context there are older */
}

struct execution *execution_open_find(const struct core *c, const char *id)
{
    for (size_t i = 0; i < c->kernel_count; i++)
        for (struct execution *x = c->kernels[i]->executions; x; x = x->next)
            if (strcmp(x->row.id, id) == 0)
                return x;
    return NULL;
}

/* --- what is asked */

static bool check_env(json_t *env, struct err *e)
{
    const char *name;
    json_t *value;
    if (json_object_size(env) > ENV_LIMIT)
        return fail(e, 400, "env: more than %d names", ENV_LIMIT);
    json_object_foreach(env, name, value)
    {
        if (!*name || strchr(name, '='))
            return fail(e, 400, "env: \"%.60s\" is no name of a variable", name);
        if (!json_is_null(value) && !json_is_string(value))
            return fail(e, 400, "env: %.60s: must be a string, or null to remove it", name);
        if (json_is_string(value) && strlen(json_string_value(value)) != json_string_length(value))
            return fail(e, 400, "env: %.60s: must not hold NUL", name);
    }
    return true;
}

static bool check_labels(json_t *labels, struct err *e)
{
    const char *name;
    json_t *value;
    if (json_object_size(labels) > LABELS_LIMIT)
        return fail(e, 400, "labels: more than %d", LABELS_LIMIT);
    json_object_foreach(labels, name, value) if (
        !json_is_string(value) ||
        json_string_length(value) + strlen(name) >
            TEXT_LIMIT) return fail(e, 400, "labels: %.60s: must be a string of at most %d bytes",
                                    name, TEXT_LIMIT);
    return true;
}

static bool check_argv(json_t *argv, struct err *e)
{
    size_t i, bytes = 0;
    json_t *word;
    if (argv &&
        (!json_is_array(argv) || json_array_size(argv) < 1 || json_array_size(argv) > ARGV_LIMIT))
        return fail(e, 400, "argv: must be a list of 1 to %d strings", ARGV_LIMIT);
    json_array_foreach(argv, i, word)
    {
        if (!json_is_string(word) || strlen(json_string_value(word)) != json_string_length(word))
            return fail(e, 400, "argv: must be a list of strings without NUL");
        bytes += json_string_length(word);
    }
    return bytes <= ARGV_LIMIT_BYTES ||
           fail(e, 400, "argv: longer than %d bytes", ARGV_LIMIT_BYTES);
}

/* Of the others none has what it would be. */
static bool takes_argv(const struct kernel *k, const json_t *argv, struct err *e)
{
    const char *language = context_language(k);
    return !argv || strcmp(language, "python") == 0 ||
           fail(e, 409, "argv: is for Python alone, and context %.100s is %.60s; leave it out",
                context_name(k), language);
}

static bool check_request(const struct execution_request *r, struct err *e)
{
    if (strlen(r->code) > EXECUTION_CODE_LIMIT_BYTES)
        return fail(e, 400, "code: longer than %d bytes", EXECUTION_CODE_LIMIT_BYTES);
    if (r->cwd && (!*r->cwd || strlen(r->cwd) > TEXT_LIMIT))
        return fail(e, 400, "cwd: must be 1 to %d bytes long", TEXT_LIMIT);
    if (r->key && (!*r->key || strlen(r->key) > EXECUTION_KEY_LIMIT))
        return fail(e, 400, "Idempotency-Key: must be 1 to %d bytes long", EXECUTION_KEY_LIMIT);
    return check_env(r->env, e) && check_argv(r->argv, e) && check_labels(r->labels, e);
}

static struct kernel *find_context(const struct sandbox *s, const char *name, struct err *e)
{
    struct kernel *k = contexts_named(s, name);
    if (!k) {
        fail(e, name ? 404 : 409, "the sandbox has no context%s%.100s", name ? " " : "",
             name ? name : "");
        return NULL;
    }
    if (k->state != KERNEL_DEAD)
        return k;
    fail(e, 409, "context %.100s is dead: %.200s; restart it, or make another", context_name(k),
         k->reason ? k->reason : "no reason is known");
    return NULL;
}

static bool has_room(const struct kernel *k, size_t code_bytes, struct err *e)
{
    size_t open = 0, bytes = code_bytes;
    for (const struct execution *x = k->executions; x; x = x->next) {
        open++;
        bytes += strlen(x->row.asked);
    }
    return (open < EXECUTIONS_OPEN_LIMIT && bytes <= EXECUTIONS_OPEN_LIMIT_BYTES) ||
           fail(e, 429, "context %.100s has %zu executions open, the most allowed; wait for some",
                context_name(k), open);
}

static void sha256_hex(struct bytes data, char out[EXECUTION_SHA256_TEXT])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)(data.data ? data.data : ""), data.len, digest);
    hex_text(out, digest, sizeof(digest));
}

static void add_flag(struct buffer *out, const char *name, bool value)
{
    buffer_printf(out, ",\"%s\":%s", name, value ? "true" : "false");
}

static void add_word(struct buffer *out, const char *name, const char *text)
{
    if (!text)
        return;
    buffer_printf(out, ",\"%s\":", name);
    json_quote(out, bytes_of(text));
}

static void add_names(struct buffer *out, json_t *object)
{
    const char *name, *before = "[";
    json_t *value;
    json_object_foreach(object, name, value)
    {
        buffer_add_text(out, before);
        json_quote(out, bytes_of(name));
        before = ",";
    }
    buffer_add_text(out, *before == '[' ? "[]" : "]");
}

/* What is kept of the request. Values of the environment may be secrets: their names alone are. */
static char *asked_of(const struct execution_request *r)
{
    char sha256[EXECUTION_SHA256_TEXT];
    sha256_hex(bytes_of(r->code), sha256);
    scoped(string) char *labels =
        json_object_size(r->labels) ? json_dumps(r->labels, JSON_COMPACT) : NULL;
    struct buffer text = {0};
    buffer_printf(&text, "{\"code_sha256\":\"%s\",\"code_bytes\":%zu,\"env\":", sha256,
                  strlen(r->code));
    add_names(&text, r->env);
    add_word(&text, "cwd", r->cwd);
    scoped(string) char *argv = r->argv ? json_dumps(r->argv, JSON_COMPACT) : NULL;
    if (argv)
        buffer_printf(&text, ",\"argv\":%s", argv);
    if (r->deadline_ms)
        buffer_printf(&text, ",\"deadline_ms\":%lld", (long long)r->deadline_ms);
    buffer_printf(&text, ",\"labels\":%s", labels ? labels : "{}");
    add_flag(&text, "stop_on_error", r->stop_on_error);
    add_flag(&text, "store_history", r->store_history);
    add_flag(&text, "silent", r->silent);
    add_flag(&text, "allow_input", r->allow_input);
    add_word(&text, "traceparent", r->traceparent);
    buffer_add_text(&text, ",\"code\":"); /* the last one: execution_record.c */
    json_quote(&text, bytes_of(r->code));
    buffer_add(&text, "}", 2);
    return text.data;
}

/* --- to the kernel */

/* Members of what was asked, as they stand there. */
enum { CODE, SILENT, STORE_HISTORY, STOP_ON_ERROR, ALLOW_INPUT, DEADLINE, CWD, ARGV, ASKED };

static void find_asked(const char *asked, struct slice out[ASKED])
{
    static const char *const names[ASKED] = {"code",          "silent",      "store_history",
                                             "stop_on_error", "allow_input", "deadline_ms",
                                             "cwd",           "argv"};
    for (size_t i = 0; i < ASKED; i++)
        out[i] = (struct slice){.name = names[i]};
    json_slices(bytes_of(asked), out, ASKED, NULL);
}

static void add_content(struct buffer *out, const struct slice asked[ASKED])
{
    static const char *const words[] = {[CODE] = "{\"code\":",
                                        [SILENT] = ",\"silent\":",
                                        [STORE_HISTORY] = ",\"store_history\":",
                                        [STOP_ON_ERROR] = ",\"stop_on_error\":",
                                        [ALLOW_INPUT] = ",\"allow_stdin\":"};
    for (size_t i = 0; i < countof(words); i++) {
        buffer_add_text(out, words[i]);
        buffer_add_bytes(out, asked[i].value.len ? asked[i].value : bytes_of("false"));
    }
    buffer_add_text(out, ",\"user_expressions\":{}}");
}

/* docs/link.md, "How an execution ends" and "Where an execution runs". */
static void add_metadata(struct buffer *out, const struct slice asked[ASKED], json_t *env)
{
    char ms[24] = "";
    const char *before = "";
    buffer_add_text(out, "{\"warmcell\":{");
    if (asked[DEADLINE].value.len && asked[DEADLINE].value.len < sizeof(ms)) {
        memcpy(ms, asked[DEADLINE].value.data, asked[DEADLINE].value.len);
        buffer_printf(out, "\"deadline_s\":%.3f", strtod(ms, NULL) / 1000);
        before = ",";
    }
    if (asked[CWD].value.len) {
        buffer_printf(out, "%s\"cwd\":", before);
        buffer_add_bytes(out, asked[CWD].value);
        before = ",";
    }
    if (asked[ARGV].value.len) {
        buffer_printf(out, "%s\"argv\":", before);
        buffer_add_bytes(out, asked[ARGV].value);
        before = ",";
    }
    if (json_object_size(env)) {
        scoped(string) char *text = json_dumps(env, JSON_COMPACT);
        buffer_printf(out, "%s\"env\":%s", before, text);
    }
    buffer_add_text(out, "}}");
}

static void add_header(struct buffer *out, const struct execution_row *row)
{
    buffer_printf(out,
                  "{\"msg_id\":\"%s\",\"msg_type\":\"execute_request\",\"username\":\"warmcell\","
                  "\"session\":\"" EXECUTION_SESSION "\",\"date\":\"%s\",\"version\":\"5.5\"}",
                  row->id, row->created);
}

bool execution_dispatch(struct execution *x, json_t *env, struct err *e)
{
    struct slice asked[ASKED];
    scoped(buffer) struct buffer header = {0}, metadata = {0}, content = {0}, frame = {0};
    find_asked(x->row.asked, asked);
    add_header(&header, &x->row);
    add_metadata(&metadata, asked, env);
    add_content(&content, asked);
    const struct message m = {.channel = CHANNEL_SHELL,
                              .header = buffer_view(&header),
                              .parent = bytes_of("{}"),
                              .metadata = buffer_view(&metadata),
                              .content = buffer_view(&content)};
    framing_v1_encode(&m, &frame);
    kernel_touch(x->kernel);
    return kernel_send(x->kernel, EXECUTION_SESSION, &m, buffer_view(&frame), e);
}

/* --- the making */

struct making {
    struct execution *x;
    json_t *env;     /* owned; of a request with a key; NULL: it was dispatched already */
    json_t *digests; /* owned; of its body (once_digests) */
    void (*done)(void *user, struct execution *x, const struct err *e);
    void *user;
    int looked; /* how often it was looked for again */
};

static void dispatch_or_end(struct execution *x, json_t *env)
{
    struct err e = {0};
    if (!execution_dispatch(x, env, &e))
        execution_end(x, "lost", "gateway", e.text);
}

static void on_added(void *user, const struct execution_row *found, const struct err *e)
{
    struct execution *x = user;
    (void)found; /* it has no key */
    x->stored = true;
    if (e)
        x->problem = *e;
    execution_tell(x);
    execution_release(x);
}

void execution_store(struct execution *x)
{
    if (!x->unstored)
        return;
    x->unstored = false;
    execution_table_add(x->core->store, &x->row, x->core->settings->core.executions_keep, on_added,
                        execution_keep(x));
}

static void on_store_timer(uv_timer_t *timer)
{
    struct core *c = timer->data;
    bool more = false;
    for (size_t i = 0; i < c->kernel_count; i++)
        for (struct execution *x = c->kernels[i]->executions; x; x = x->next) {
            if (++x->delays >= STORE_DELAYS || execution_awaits(x, EXECUTION_STORED_SOON))
                execution_store(x);
            more = more || x->unstored;
        }
    if (more)
        executions_store_later(c);
}

void executions_store_later(struct core *c)
{
    if (!uv_is_active((uv_handle_t *)&c->execution_timer))
        uv_timer_start(&c->execution_timer, on_store_timer, STORE_DELAY_MS, 0);
}

static struct execution *known_one(struct core *c, const struct execution_row *found)
{
    struct execution *open = execution_open_find(c, found->id);
    open = open ? open : settling_find(c, found->id);
    return open ? execution_keep(open) : execution_new(c, found);
}

static void on_key_added(void *user, const struct execution_row *found, const struct err *e);

static void on_looked_again(void *user, const struct execution_row *list, size_t count,
                            const struct err *e)
{
    struct err gone;
    if (!e && !count) {
        fail(&gone, 503, "the execution with this key was just forgotten; ask again");
        e = &gone;
    }
    on_key_added(user, e ? NULL : list, e);
}

/* The first one with the key has ended since its row was read, and its end is on the way to the
 * store: what is asked of the store now comes behind it. */
static bool looks_again(struct making *making, const struct execution_row *found)
{
    struct core *c = making->x->core;
    if (!found || found->outcome || making->looked++ >= LOOKS_MOST ||
        execution_open_find(c, found->id))
        return false;
    const struct execution_query query = {
        .sandbox_id = making->x->row.sandbox_id, .id = found->id, .limit = 1};
    execution_table_list(c->store, &query, on_looked_again, making);
    return true;
}

/* A request with a key runs only when its row is in: another of the same key may be before it. */
static void on_key_added(void *user, const struct execution_row *found, const struct err *e)
{
    struct making *making = user;
    if (!e && looks_again(making, found))
        return;
    struct execution *x = making->x;
    struct err problem = {0};
    if (e)
        problem = *e;
    else if (found && !once_has(making->digests, found->body_sha256))
        fail(&problem, 422, "Idempotency-Key: execution %s was asked for with it and another body",
             found->id);
    struct execution *told = x;
    if (found && !problem.status) {
        told = known_one(x->core, found);
        execution_release(x);
    } else if (!problem.status) {
        x->stored = true;
        struct kernel *k = kernels_find(x->core, &principal_gateway, x->row.kernel_id, &problem);
        if (k) {
            problem.status = 0;
            execution_open(x, k);
            dispatch_or_end(x, making->env);
        } else {
            execution_end(x, "lost", "asked", "its context ended before it could run");
            problem.status = 0;
        }
    }
    making->done(making->user, problem.status ? NULL : told, problem.status ? &problem : NULL);
    execution_release(told);
    json_decref(making->env);
    json_decref(making->digests);
    free(making);
}

static void fill_row(struct execution_row *row, struct sandbox *s, struct kernel *k,
                     const struct execution_request *request)
{
    uuid_make(row->id);
    time_now_text(row->created);
    snprintf(row->status, sizeof(row->status), "queued");
    row->position = ++s->core->last_execution;
    row->sandbox_id = xstrdup(s->id);
    row->kernel_id = xstrdup(k->id);
    row->context = xstrdup(context_name(k));
    row->first_sequence = journal_last(k->journal) + 1;
    row->asked = asked_of(request);
    row->key = request->key ? xstrdup(request->key) : NULL;
}

void executions_create(struct sandbox *s, const struct execution_request *request,
                       void (*done)(void *user, struct execution *x, const struct err *e),
                       void *user)
{
    struct err e = {0};
    struct kernel *k = NULL;
    int64_t keep = s->core->settings->core.executions_keep;
    if (!check_request(request, &e) || sandbox_refuses(s, &e) ||
        !(k = find_context(s, request->context, &e)) || !takes_argv(k, request->argv, &e) ||
        !has_room(k, strlen(request->code), &e)) {
        done(user, NULL, &e);
        return;
    }
    struct execution *x = xcalloc(1, sizeof(*x));
    x->core = s->core;
    x->references = 1;
    fill_row(&x->row, s, k, request);
    x->from = journal_end(k->journal);
    if (request->key) {
        struct making *making = xcalloc(1, sizeof(*making));
        *making =
            (struct making){.x = x, .env = json_incref(request->env), .done = done, .user = user};
        making->digests = once_digests(s->core, request->body);
        snprintf(x->row.body_sha256, sizeof(x->row.body_sha256), "%s",
                 once_digest(making->digests));
        execution_table_add(s->core->store, &x->row, keep, on_key_added, making);
        return;
    }
    execution_open(x, k);
    x->unstored = true; /* nobody is told of it before it is in, or has ended */
    executions_store_later(s->core);
    dispatch_or_end(x, request->env);
    done(user, x, NULL);
    execution_release(x);
}

/* --- waiting */

static bool is_reached(const struct execution *x, enum execution_point point)
{
    return x->problem.status || (point == EXECUTION_SETTLED ? x->row.settled != NULL
                                 : point == EXECUTION_ENDED ? x->settled
                                                            : x->stored);
}

void execution_await(struct execution *x, enum execution_point point,
                     void (*done)(void *user, const struct err *e), void *user)
{
    if (is_reached(x, point)) {
        done(user, x->problem.status ? &x->problem : NULL);
        return;
    }
    if (point == EXECUTION_STORED)
        execution_store(x);
    if (point == EXECUTION_SETTLED && x->settled && !settling_find(x->core, x->row.id)) {
        static const struct err unsettled = {.status = 503,
                                             .text = "its files were not looked at: ask again when "
                                                     "the gateway was started anew"};
        done(user, &unsettled);
        return;
    }
    struct execution_waiter *waiter = xmalloc(sizeof(*waiter));
    *waiter = (struct execution_waiter){point, done, user, NULL};
    struct execution_waiter **end = &x->waiters;
    while (*end)
        end = &(*end)->next;
    *end = waiter;
    if (point == EXECUTION_SETTLED && x->settled)
        settling_hurry(x->core);
}

bool execution_awaits(const struct execution *x, enum execution_point point)
{
    const struct execution_waiter *waiter = x->waiters;
    while (waiter && waiter->point != point)
        waiter = waiter->next;
    return waiter != NULL;
}

void execution_hurry(struct execution *x)
{
    if (x->kernel) /* else it is on its way with its end */
        execution_store(x);
}

void execution_tell(struct execution *x)
{
    struct execution_waiter **place = &x->waiters, *told = NULL, **end = &told;
    while (*place) {
        struct execution_waiter *waiter = *place;
        if (!is_reached(x, waiter->point)) {
            place = &waiter->next;
            continue;
        }
        *place = waiter->next;
        waiter->next = NULL;
        *end = waiter;
        end = &waiter->next;
    }
    execution_keep(x);
    while (told) {
        struct execution_waiter *waiter = told;
        told = waiter->next;
        waiter->done(waiter->user, x->problem.status ? &x->problem : NULL);
        free(waiter);
    }
    execution_release(x);
}

/* --- finding */

struct finding {
    struct core *core;
    char *id;
    void (*done)(void *user, struct execution *x, const struct err *e);
    void *user;
};

static void on_found(void *user, const struct execution_row *list, size_t count,
                     const struct err *e)
{
    struct finding *finding = user;
    struct err missing;
    fail(&missing, 404, "there is no execution %.100s", finding->id);
    struct execution *x = count && !e ? known_one(finding->core, list) : NULL;
    finding->done(finding->user, x, e ? e : x ? NULL : &missing);
    execution_release(x);
    free(finding->id);
    free(finding);
}

void executions_find(struct sandbox *s, const char *id,
                     void (*done)(void *user, struct execution *x, const struct err *e), void *user)
{
    struct execution *open = execution_open_find(s->core, id);
    if (open && strcmp(open->row.sandbox_id, s->id) == 0) {
        done(user, open, NULL);
        return;
    }
    struct finding *finding = xmalloc(sizeof(*finding));
    *finding = (struct finding){s->core, xstrdup(id), done, user};
    const struct execution_query query = {.sandbox_id = s->id, .id = id, .limit = 1};
    execution_table_list(s->core->store, &query, on_found, finding);
}

/* --- cancel and input */

static bool is_open(const struct execution *x, struct err *e)
{
    return x->kernel || fail(e, 409, "execution %s has ended", x->row.id);
}

void execution_cancel(struct execution *x, void (*done)(void *user, const struct err *e),
                      void *user)
{
    if (!x->kernel || !x->kernel->uplink) { /* it has ended, or its host has, which ends it */
        done(user, NULL);
        return;
    }
    scoped(string) char *json = xasprintf("{\"msg_id\":\"%s\"}", x->row.id);
    kernel_command(x->kernel, LINK_CANCEL, bytes_of(json), CANCEL_LIMIT_MS, done, user);
}

bool execution_answer_input(struct execution *x, const char *value, struct err *e)
{
    if (!is_open(x, e))
        return false;
    if (!x->input_header.len)
        return fail(e, 409, "execution %s does not wait for input", x->row.id);
    scoped(buffer) struct buffer header = {0}, content = {0}, frame = {0};
    header_build(&header, "input_reply", EXECUTION_SESSION, "warmcell");
    buffer_add_text(&content, "{\"status\":\"ok\",\"value\":");
    json_quote(&content, bytes_of(value));
    buffer_add_text(&content, "}");
    const struct message m = {.channel = CHANNEL_STDIN,
                              .header = buffer_view(&header),
                              .parent = buffer_view(&x->input_header),
                              .metadata = bytes_of("{}"),
                              .content = buffer_view(&content)};
    framing_v1_encode(&m, &frame);
    if (!kernel_send(x->kernel, EXECUTION_SESSION, &m, buffer_view(&frame), e))
        return false;
    buffer_clear(&x->input_header);
    return true;
}
