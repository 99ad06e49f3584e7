/* Which runs wait to be settled, sandbox by sandbox, and the steps of one scan: known files loaded,
 * the scan on another thread, the settlement committed, all told.
 *
 * Invariant: a box has at most one step under way (busy), and is freed only when it has none. */
#include "gateway/core/settling.h"

#include <stdio.h>
#include <string.h>

#include "gateway/core/artifact.h"
#include "gateway/core/command_run.h"
#include "gateway/core/execution_state.h"
#include "gateway/core/state.h"
#include "gateway/core/workspace_scan.h"
#include "gateway/log.h"
#include "protocol/json.h"

#define DELAY_MS   5    /* what ends within it is looked for together */
#define REST_MS    40   /* the same behind a scan that found nothing, if nobody waits */
#define NOTES_MOST 4096 /* of one sandbox; the oldest go first */
#define KNOWN_IDLE 2000 /* files: of more, those that are known are read again each time */
#define RUNS_MOST  256  /* in one scan */
#define STEPS_MOST 2    /* at once: half of libuv's threads are for others, whatever is scanned */

struct waiting {
    struct waiting *next;
    struct core *core;
    struct execution *execution; /* owned; NULL: it is a command, */
    char *sandbox_id;            /* owned: of this sandbox */
    struct scan_run run;         /* its kernel_id is owned */
    uint64_t ticket;             /* its displays are stored when the scan for them has passed it */
};

struct box {
    struct box *next;
    struct core *core;
    char *sandbox_id;
    struct waiting *waiting, *told; /* told: are looked for now */
    struct scan_note *notes;
    size_t note_count;
    struct workspace_files known;
    int64_t kept_bytes;
    bool loaded, busy, gone;
    uint64_t rests_until_ms; /* of the loop's time; 0: it does not */
    uv_work_t work;
    struct workspace_scan scan;
};

struct settling {
    struct core *core;
    struct box *boxes; /* whose last step is longest ago first */
    int steps;         /* of how many one is under way */
};

struct settling *settling_new(struct core *c)
{
    struct settling *s = xcalloc(1, sizeof(*s));
    s->core = c;
    return s;
}

static void waiting_free(struct waiting *w)
{
    execution_release(w->execution);
    free(w->sandbox_id);
    free(w->run.kernel_id);
    free(w);
}

static void box_free(struct box *b)
{
    for (size_t i = 0; i < b->note_count; i++)
        free(b->notes[i].path);
    workspace_files_free(&b->known);
    workspace_scan_clear(&b->scan);
    free(b->notes);
    free(b->sandbox_id);
    free(b);
}

void settling_free(struct settling *s)
{
    while (s && s->boxes) {
        struct box *b = s->boxes;
        s->boxes = b->next;
        box_free(b);
    }
    free(s);
}

static struct box *find_box(const struct core *c, const char *sandbox_id)
{
    struct box *b = c->settling->boxes;
    while (b && strcmp(b->sandbox_id, sandbox_id) != 0)
        b = b->next;
    return b;
}

static struct box *need_box(struct core *c, const char *sandbox_id)
{
    struct box *b = find_box(c, sandbox_id);
    if (b)
        return b;
    b = xcalloc(1, sizeof(*b));
    b->core = c;
    b->sandbox_id = xstrdup(sandbox_id);
    b->next = c->settling->boxes;
    c->settling->boxes = b;
    return b;
}

static void leave_list(struct box *b)
{
    struct box **place = &b->core->settling->boxes;
    while (*place != b)
        place = &(*place)->next;
    *place = b->next;
    b->next = NULL;
}

static void drop_box(struct box *b)
{
    leave_list(b);
    box_free(b);
}

static void go_behind_others(struct box *b)
{
    leave_list(b);
    struct box **end = &b->core->settling->boxes;
    while (*end)
        end = &(*end)->next;
    *end = b;
}

/* --- telling */

/* json NULL: why there is none. */
static void tell(struct waiting *w, const char *json, const struct err *e)
{
    struct execution *x = w->execution;
    if (!x) {
        command_run_settled(w->core, w->sandbox_id, w->run.id, json, e);
        waiting_free(w);
        return;
    }
    if (json)
        x->row.settled = xstrdup(json);
    else
        x->problem = *e;
    execution_tell(x);
    waiting_free(w);
}

static void tell_all(struct waiting **list, const struct err *e)
{
    while (*list) {
        struct waiting *w = *list;
        *list = w->next;
        tell(w, NULL, e);
    }
}

/* Of one whose sandbox is gone. */
static void tell_gone(struct waiting **list)
{
    while (*list) {
        struct waiting *w = *list;
        char now[TIME_TEXT];
        *list = w->next;
        time_now_text(now);
        scoped(string) char *json = xasprintf(
            "{\"settled\":\"%s\",\"artifacts\":null,\"files_changed\":{\"added\":0,\"changed\":0,"
            "\"deleted\":0,\"bytes\":0,\"not_kept\":0,\"passed_over\":0,\"problem\":\"its sandbox "
            "was deleted before its files were looked at\"}}",
            now);
        tell(w, json, NULL);
    }
}

/* --- one scan */

/* Runs that change no file, one behind the other, shall not cost a scan each. */
static void rest(struct box *b, const struct settlement *found)
{
    bool nothing = !found->change_count && !found->seen_count && !found->gone_count;
    b->rests_until_ms = nothing ? uv_now(b->core->loop) + REST_MS : 0;
}

static bool is_awaited(const struct box *b)
{
    for (const struct waiting *w = b->waiting; w; w = w->next)
        if (!w->execution || execution_awaits(w->execution, EXECUTION_SETTLED))
            return true; /* of a command it is not known */
    return false;
}

/* How long until it may be looked at. */
static uint64_t rest_ms(const struct box *b)
{
    uint64_t now = uv_now(b->core->loop);
    return b->rests_until_ms <= now || is_awaited(b) ? 0 : b->rests_until_ms - now;
}

static void end_step(struct box *b)
{
    struct core *c = b->core;
    b->busy = false;
    c->settling->steps--;
    c->open_handles--;
    if (b->known.count > KNOWN_IDLE) {
        workspace_files_free(&b->known);
        b->loaded = false;
    }
    if (b->gone) {
        workspace_table_remove(c->store, b->sandbox_id);
        tell_gone(&b->waiting);
        drop_box(b);
    } else {
        go_behind_others(b);
    }
    settling_look(c);
    core_check_drained(c);
}

static void on_settled(void *user, struct settlement *settlement, const struct err *e)
{
    struct box *b = user;
    struct waiting *told = b->told;
    b->told = NULL;
    if (e) {
        log_error("what runs changed was not recorded", F_STR("sandbox", b->sandbox_id),
                  F_STR("why", e->text));
        workspace_files_free(&b->known);
        b->loaded = false;
        tell_all(&told, e);
    }
    for (size_t i = 0; told; i++) {
        struct waiting *w = told;
        told = w->next;
        tell(w, settlement->runs[i].json, NULL);
    }
    settlement_free(settlement);
    end_step(b);
}

static void on_work(uv_work_t *work)
{
    struct box *b = work->data;
    workspace_scan_run(&b->scan);
}

static void on_worked(uv_work_t *work, int status)
{
    struct box *b = work->data;
    (void)status;
    b->known = b->scan.known;
    b->scan.known = (struct workspace_files){0};
    b->kept_bytes = b->scan.kept_bytes;
    struct settlement *settlement = take(&b->scan.settlement);
    workspace_scan_clear(&b->scan);
    rest(b, settlement);
    workspace_table_settle(b->core->store, settlement, ARTIFACTS_PER_KERNEL, on_settled, b);
}

static int by_end(const void *a, const void *b)
{
    const struct waiting *const *one = a, *const *two = b;
    return ((*one)->run.ended_ns > (*two)->run.ended_ns) -
           ((*one)->run.ended_ns < (*two)->run.ended_ns);
}

/* Takes those whose displays are stored from the waiting ones, in the order of their ends. */
static size_t pick(struct box *b)
{
    struct waiting *picked[RUNS_MOST], **place = &b->waiting;
    size_t count = 0;
    while (*place && count < RUNS_MOST) {
        struct waiting *w = *place;
        if (!scan_passed(b->core->scan, w->ticket)) {
            place = &w->next;
            continue;
        }
        *place = w->next;
        picked[count++] = w;
    }
    qsort(picked, count, sizeof(struct waiting *), by_end);
    for (size_t i = count; i-- > 0;) {
        picked[i]->next = b->told;
        b->told = picked[i];
    }
    return count;
}

static int64_t ns_of(const char *time)
{
    scoped(json) json_t *text = json_string(time);
    struct timespec when = core_time_of(text);
    return (int64_t)when.tv_sec * 1000000000 + when.tv_nsec;
}

static void add_other(struct workspace_scan *scan, int64_t started_ns)
{
    if ((scan->other_count & (scan->other_count + 1)) == 0)
        scan->others = xrealloc(scan->others, 2 * (scan->other_count + 1) * sizeof(*scan->others));
    if (started_ns)
        scan->others[scan->other_count++] = started_ns;
}

static void add_command(void *user, int64_t started_ns)
{
    add_other(user, started_ns);
}

/* Since when the runs of the sandbox are under way that are not looked for now. */
static void add_others(struct workspace_scan *scan, const struct box *b)
{
    const struct sandbox *s = sandbox_known(b->core, b->sandbox_id);
    for (const struct kernel *k = s ? s->kernel : NULL; k; k = k->sibling)
        for (const struct execution *x = k->executions; x; x = x->next)
            if (x->row.started[0])
                add_other(scan, ns_of(x->row.started));
    for (const struct waiting *w = b->waiting; w; w = w->next)
        add_other(scan, w->run.started_ns);
    if (s)
        command_runs_running(s, add_command, scan);
}

static void fill(struct box *b, const struct sandbox *s, size_t count)
{
    struct workspace_scan *scan = &b->scan;
    *scan = (struct workspace_scan){
        .state_dir = xstrdup(store_dir(b->core->store)),
        .workspace = sandbox_workspace(s),
        .sandbox_id = xstrdup(b->sandbox_id),
        .principal = xstrdup(sandbox_owner(s)),
        .runs = xcalloc(count, sizeof(*scan->runs)),
        .run_count = count,
        .notes = take(&b->notes),
        .note_count = b->note_count,
        .kept_bytes = b->kept_bytes,
        .known = b->known,
    };
    b->note_count = 0;
    b->known = (struct workspace_files){0};
    size_t i = 0;
    for (struct waiting *w = b->told; w; w = w->next, i++) {
        scan->runs[i] = w->run;
        scan->runs[i].kernel_id = xstrdup(w->run.kernel_id);
    }
    add_others(scan, b);
}

static void on_loaded(void *user, struct workspace_files *files, int64_t kept_bytes,
                      const struct err *e)
{
    struct box *b = user;
    if (e) {
        tell_all(&b->waiting, e);
    } else {
        b->known = *files;
        *files = (struct workspace_files){0};
        b->kept_bytes = kept_bytes;
        b->loaded = true;
    }
    end_step(b);
}

static bool can_begin(const struct box *b)
{
    if (b->busy || b->core->draining || b->core->settling->steps >= STEPS_MOST || rest_ms(b))
        return false;
    for (const struct waiting *w = b->waiting; w; w = w->next)
        if (scan_passed(b->core->scan, w->ticket))
            return true;
    return false;
}

/* The next step of it, if there is one to do. */
static void begin(struct box *b)
{
    if (!can_begin(b))
        return;
    const struct sandbox *s = sandbox_known(b->core, b->sandbox_id);
    if (!s || s->ending) {
        tell_gone(&b->waiting);
        return;
    }
    b->busy = true;
    b->core->settling->steps++;
    b->core->open_handles++;
    if (!b->loaded) {
        workspace_table_load(b->core->store, b->sandbox_id, on_loaded, b);
        return;
    }
    fill(b, s, pick(b));
    b->work.data = b;
    uv_queue_work(b->core->loop, &b->work, on_work, on_worked);
}

static void on_timer(uv_timer_t *timer)
{
    settling_look(timer->data);
}

static void look_in(struct core *c, uint64_t ms)
{
    uv_timer_t *timer = &c->settling_timer;
    if (!uv_is_active((uv_handle_t *)timer) || uv_timer_get_due_in(timer) > ms)
        uv_timer_start(timer, on_timer, ms, 0);
}

void settling_look(struct core *c)
{
    struct box *b = c->settling->boxes;
    while (b) {
        struct box *next = b->next;
        uint64_t ms = b->waiting && !b->busy && !c->draining ? rest_ms(b) : 0;
        if (ms)
            look_in(c, ms);
        begin(b);
        b = next;
    }
}

void settling_hurry(struct core *c)
{
    if (!core_draining(c))
        look_in(c, DELAY_MS);
}

/* --- what comes */

/* w is taken. */
static void add(struct core *c, struct waiting *w, const char *sandbox_id)
{
    const struct sandbox *s = sandbox_known(c, sandbox_id);
    w->core = c;
    w->sandbox_id = xstrdup(sandbox_id);
    if ((!s || s->ending) && !core_draining(c)) {
        tell_gone(&w);
        return;
    }
    struct box *b = need_box(c, sandbox_id);
    struct waiting **end = &b->waiting;
    while (*end)
        end = &(*end)->next;
    *end = w;
    if (core_draining(c))
        settling_drain(c);
    else
        look_in(c, DELAY_MS);
}

void settling_add(struct core *c, struct execution *x)
{
    struct waiting *w = xcalloc(1, sizeof(*w));
    w->execution = execution_keep(x);
    memcpy(w->run.id, x->row.id, sizeof(w->run.id));
    w->run.kernel_id = xstrdup(x->row.kernel_id);
    w->run.asked_ns = ns_of(x->row.created);
    w->run.started_ns = x->row.started[0] ? ns_of(x->row.started) : 0;
    w->run.ended_ns = ns_of(x->row.ended);
    w->ticket = scan_ticket(c->scan);
    add(c, w, x->row.sandbox_id);
}

/* It is asked for and begun in one: nothing waits for a queue. */
void settling_add_command(struct core *c, const struct settling_command *command)
{
    struct waiting *w = xcalloc(1, sizeof(*w));
    w->run = (struct scan_run){.is_command = true,
                               .kernel_id = xstrdup(""),
                               .asked_ns = command->started_ns,
                               .started_ns = command->started_ns,
                               .ended_ns = command->ended_ns};
    snprintf(w->run.id, sizeof(w->run.id), "%s", command->id);
    add(c, w, command->sandbox_id);
}

static struct execution *find_in(struct waiting *list, const char *id)
{
    while (list && strcmp(list->run.id, id) != 0)
        list = list->next;
    return list ? list->execution : NULL;
}

struct execution *settling_find(const struct core *c, const char *id)
{
    struct execution *x = NULL;
    for (const struct box *b = c->settling->boxes; b && !x; b = b->next) {
        x = find_in(b->waiting, id);
        x = x ? x : find_in(b->told, id);
    }
    return x;
}

void settling_note(struct core *c, const char *sandbox_id, const char *path, const char *etag)
{
    if (!sandbox_known(c, sandbox_id) || core_draining(c))
        return;
    struct box *b = need_box(c, sandbox_id);
    if (b->note_count == NOTES_MOST) {
        free(b->notes[0].path);
        memmove(b->notes, b->notes + 1, --b->note_count * sizeof(*b->notes));
    }
    b->notes = xrealloc(b->notes, (b->note_count + 1) * sizeof(*b->notes));
    struct scan_note *note = &b->notes[b->note_count++];
    *note = (struct scan_note){.path = xstrdup(path), .until_ns = workspace_now_ns()};
    snprintf(note->etag, sizeof(note->etag), "%s", etag);
}

void settling_sandbox_gone(struct core *c, const char *sandbox_id)
{
    struct box *b = find_box(c, sandbox_id);
    workspace_table_remove(c->store, sandbox_id);
    if (!b)
        return;
    b->gone = true;
    tell_gone(&b->waiting);
    if (!b->busy)
        drop_box(b);
}

void settling_drain(struct core *c)
{
    static const struct err going = {.status = 503,
                                     .text = "the gateway ends; ask again when it is back"};
    for (struct box *b = c->settling->boxes; b; b = b->next)
        tell_all(&b->waiting, &going);
}

void settling_changes(struct core *c, const struct workspace_change_query *query,
                      void (*done)(void *user, const struct workspace_change *list, size_t count,
                                   const struct err *e),
                      void *user)
{
    workspace_table_changes(c->store, query, done, user);
}
