/* A context is asked by a silent execution of the gateway's own, whose reply goes to nobody else.
 * What it says concerns itself alone: a context that lies is not restarted.
 *
 * Invariant: r is freed when it was told or cancelled, and no callback or handle is left. */
#include "gateway/core/package_refresh.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "gateway/log.h"
#include "protocol/framing.h"
#include "protocol/json.h"

#define ANSWER_LIMIT_BYTES (1024 * 1024)
#define ADOPT_LIMIT_MS     (30 * 1000)
#define BUSY_LIMIT_MS      2000 /* for one that runs code; its answer may be hours away */
#define WHY_IMPORTED       "modules that changed had been imported"
#define WHY_COLD           "modules that changed were preloaded: it was started cold"

struct asked {
    char *id;
    bool busy, settled;
};

struct package_refresh {
    struct core *core;
    struct sandbox *s; /* held */
    json_t *modules;
    struct package_refresh_plan plan;
    struct asked *asked;
    size_t count, awaited;
    json_t *contexts; /* of the answer, in the same order */
    bool restarted, cold_now, over;
    int callbacks; /* that will come */
    uv_timer_t *timer;
    int64_t ends_ms;
};

json_t *package_preloaded(const struct sandbox *s)
{
    json_t *status = sandbox_kept(s)->status;
    return json_object_get(json_object_get(status, "fork_server"), "preloaded");
}

static void free_if_unused(struct package_refresh *r)
{
    if (!r->over || r->callbacks > 0 || r->timer)
        return;
    for (size_t i = 0; i < r->count; i++)
        free(r->asked[i].id);
    free(r->asked);
    json_decref(r->modules);
    json_decref(r->contexts);
    sandbox_let_go(r->s);
    free(r);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct package_refresh *r = handle->data;
    struct core *c = r->core;
    free(take(&r->timer));
    free_if_unused(r);
    core_handle_closed(c);
}

static void end(struct package_refresh *r)
{
    if (r->over)
        return;
    r->over = true;
    r->s->refreshing = NULL;
    uv_close((uv_handle_t *)r->timer, on_timer_closed);
}

void package_refresh_cancel(struct sandbox *s)
{
    if (s->refreshing)
        end(s->refreshing);
}

static void tell(struct package_refresh *r)
{
    const char *why = r->cold_now ? WHY_COLD : WHY_IMPORTED;
    if (r->over)
        return;
    end(r);
    scoped(json) json_t *answer =
        json_pack("{s:b, s:s?, s:O}", "restarted", (int)r->restarted, "reason",
                  r->restarted ? why : NULL, "contexts", r->contexts);
    r->plan.done(r->plan.user, answer);
}

/* reason: NULL: nothing is to be told. */
static void settle(struct package_refresh *r, size_t i, bool restarted, const char *reason)
{
    if (r->asked[i].settled || r->over)
        return;
    json_t *model = json_array_get(r->contexts, i);
    r->asked[i].settled = true;
    r->restarted = r->restarted || restarted;
    json_object_set_new(model, "restarted", json_boolean(restarted));
    json_object_set_new(model, "reason", reason ? json_string(reason) : json_null());
    if (--r->awaited == 0)
        tell(r);
}

/* --- restarts */

struct restarting {
    struct package_refresh *r;
    size_t i;
    const char *reason;
};

static void on_restarted(void *user, const struct err *e)
{
    struct restarting *restarting = user;
    struct package_refresh *r = restarting->r;
    r->callbacks--;
    settle(r, restarting->i, !e, e ? e->text : restarting->reason);
    free(restarting);
    free_if_unused(r);
}

static void restart(struct package_refresh *r, size_t i, struct kernel *k)
{
    struct restarting *restarting = xmalloc(sizeof *restarting);
    *restarting = (struct restarting){r, i, r->cold_now ? WHY_COLD : WHY_IMPORTED};
    r->callbacks++;
    if (r->plan.on_restart)
        r->plan.on_restart(r->plan.user, k->id);
    kernel_restart(k, on_restarted, restarting);
}

/* --- what a context says */

/* {"user_expressions": {"loaded": {"data": {"text/plain": "[\"numpy\"]"}}}}. Given; NULL. */
static json_t *read_loaded(struct bytes frame)
{
    scoped(framed) struct framed f = {0};
    if (!framing_v1_decode(frame, &f, NULL) || f.message.content.len > ANSWER_LIMIT_BYTES)
        return NULL;
    scoped(json) json_t *content =
        json_parse_object(f.message.content, "execute_reply", ANSWER_LIMIT_BYTES, NULL);
    json_t *at = json_object_get(content, "user_expressions");
    at = json_object_get(json_object_get(json_object_get(at, "loaded"), "data"), "text/plain");
    json_t *list = json_is_string(at) ? json_loads(json_string_value(at), 0, NULL) : NULL;
    if (json_is_array(list))
        return list;
    json_decref(list);
    return NULL;
}

/* Only what was asked for. */
static json_t *known_of(const struct package_refresh *r, json_t *loaded)
{
    json_t *found = json_array(), *name, *said;
    size_t i, j;
    json_array_foreach(r->modules, i, name) json_array_foreach(loaded, j, said)
    {
        if (json_equal(name, said)) {
            json_array_append(found, name);
            break;
        }
    }
    return found;
}

void package_take_reply(struct kernel *k, struct bytes frame)
{
    struct package_refresh *r = k->sandbox ? k->sandbox->refreshing : NULL;
    for (size_t i = 0; r && i < r->count; i++) {
        if (strcmp(r->asked[i].id, k->id) != 0 || r->asked[i].settled)
            continue;
        scoped(json) json_t *loaded = read_loaded(frame);
        json_t *found = known_of(r, loaded);
        json_object_set_new(json_array_get(r->contexts, i), "modules", found);
        if (!loaded)
            settle(r, i, false, "it did not say what it has imported: restart it to be sure");
        else if (json_array_size(found) && r->plan.restart)
            restart(r, i, k);
        else
            settle(r, i, false,
                   json_array_size(found) ? "it has imported modules that changed: restart it to "
                                            "use them"
                                          : NULL);
        return;
    }
}

static void ask(struct package_refresh *r, struct kernel *k)
{
    scoped(buffer) struct buffer content = {0}, code = {0};
    scoped(string) char *names = json_dumps(r->modules, JSON_COMPACT | JSON_ENSURE_ASCII);
    buffer_printf(&code, "__import__('warmcell_kernel.imported', fromlist=['among']).among(%s)",
                  names);
    buffer_add_text(&content, "{\"code\":\"\",\"silent\":true,\"store_history\":false,"
                              "\"user_expressions\":{\"loaded\":");
    json_quote(&content, buffer_view(&code));
    buffer_add_text(&content, "},\"allow_stdin\":false,\"stop_on_error\":false}");
    kernel_ask_as(k, PACKAGES_IDENTITY, "execute_request", &content);
}

/* --- no more forks */

static bool was_preloaded(const struct package_refresh *r)
{
    scoped(json) json_t *found = known_of(r, package_preloaded(r->s));
    return json_array_size(found) > 0;
}

/* The mark stays with the files, also where an older snapshot is all that is left of the rest. */
static void mark_cold(struct package_refresh *r)
{
    struct sandbox *s = r->s;
    scoped(string) char *mark = sandbox_cold_mark(s->core, s->id);
    int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        log_warn("a sandbox cannot be marked as cold", F_STR("sandbox", s->id));
    else
        close(fd);
    s->cold = r->cold_now = true;
    for (struct kernel *k = s->kernel, *next; k; k = next) {
        next = k->sibling;
        kernel_save(k);
        if (k->uplink && !k->ending)
            kernel_command(k, LINK_ADOPT_KERNEL, bytes_of("{\"cold\":true}"), ADOPT_LIMIT_MS, NULL,
                           NULL);
    }
}

/* Those that ran code as they were asked are not waited for as long as the others. */
static void on_timer(uv_timer_t *timer)
{
    struct package_refresh *r = timer->data;
    int64_t left_ms = r->ends_ms - monotonic_ms();
    for (size_t i = 0; i < r->count && !r->over; i++)
        if (left_ms <= 0 || r->asked[i].busy)
            settle(r, i, false, "it runs code: if that has imported what changed, restart it");
    if (!r->over)
        uv_timer_start(r->timer, on_timer, (uint64_t)(left_ms > 0 ? left_ms : 1), 0);
}

/* Forks have what was preloaded: then each is waited for, to be restarted. */
static void start_timer(struct package_refresh *r)
{
    int64_t wait_ms = r->plan.limit_ms > 0 ? r->plan.limit_ms : 1;
    r->ends_ms = monotonic_ms() + wait_ms;
    for (size_t i = 0; i < r->count; i++)
        if (r->asked[i].busy && !r->cold_now && wait_ms > BUSY_LIMIT_MS)
            wait_ms = BUSY_LIMIT_MS;
    uv_timer_start(r->timer, on_timer, (uint64_t)wait_ms, 0);
}

static void add_contexts(struct package_refresh *r)
{
    struct sandbox *s = r->s;
    for (struct kernel *k = s->kernel; k; k = k->sibling) {
        if (!k->uplink || k->ending || k->handing || s->halted ||
            language_of_spec(k->spec) != language_default())
            continue;
        r->asked = xrealloc(r->asked, (r->count + 1) * sizeof *r->asked);
        r->asked[r->count++] =
            (struct asked){.id = xstrdup(k->id), .busy = k->state == KERNEL_BUSY};
        json_array_append_new(r->contexts,
                              json_pack("{s:s, s:s, s:b, s:n, s:[]}", "id", k->id, "name",
                                        k->context_name, "restarted", 0, "reason", "modules"));
    }
    r->awaited = r->count;
}

static void on_status(void *user)
{
    struct package_refresh *r = user;
    struct sandbox *s = r->s;
    r->callbacks--;
    if (!r->over && json_array_size(r->modules) && !s->cold && was_preloaded(r))
        mark_cold(r);
    if (!r->over && json_array_size(r->modules))
        add_contexts(r);
    for (size_t i = 0; i < r->count; i++)
        for (struct kernel *k = s->kernel; k; k = k->sibling)
            if (strcmp(k->id, r->asked[i].id) == 0)
                ask(r, k);
    if (!r->over && r->count == 0)
        tell(r);
    else if (!r->over)
        start_timer(r);
    free_if_unused(r);
}

void package_refresh_start(struct sandbox *s, const struct package_refresh_plan *plan)
{
    struct package_refresh *r = xcalloc(1, sizeof *r);
    *r = (struct package_refresh){.core = s->core,
                                  .s = s,
                                  .modules = json_incref(plan->modules),
                                  .plan = *plan,
                                  .contexts = json_array(),
                                  .timer = xmalloc(sizeof *r->timer)};
    s->refreshing = r;
    sandbox_hold(s);
    uv_timer_init(s->core->loop, r->timer);
    r->timer->data = r;
    s->core->open_handles++;
    r->callbacks++;
    if (!kept_refresh(sandbox_kept(s), on_status, r))
        on_status(r);
}
