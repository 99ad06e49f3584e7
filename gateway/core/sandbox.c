/* A sandbox's life: opened in its keeper, given a kernel, changed, ended, removed.
 *
 * The gateway opens a sandbox before it starts the host, which joins it: so why it cannot be made
 * is known at once, and it outlives a host that is replaced. Its kernel's end is its own.
 *
 * Invariant: s is freed when it is gone and no answer of a keeper is awaited for it. */
#include "gateway/core/sandbox.h"

#include <stdio.h>
#include <string.h>

#include "gateway/core/command_run.h"
#include "gateway/core/file_watch.h"
#include "gateway/core/launching.h"
#include "gateway/core/settling.h"
#include "gateway/core/state.h"
#include "gateway/log.h"
#include "gateway/store/execution_table.h"
#include "gateway/store/kernel_table.h"
#include "protocol/ids.h"
#include "protocol/json.h"

#define ADOPT_LIMIT_MS (30 * 1000)

struct sandbox *sandbox_new(struct core *c, const char *id)
{
    struct sandbox *s = xcalloc(1, sizeof(*s));
    s->core = c;
    s->id = xstrdup(id);
    s->owner = xstrdup(PRINCIPAL_OWNER);
    s->limits = limits_default;
    s->env = json_object();
    s->network = json_string("none");
    s->language = language_default();
    s->labels = json_object();
    s->snapshots = json_array();
    s->uid = -1;
    clock_gettime(CLOCK_REALTIME, &s->created);
    sandbox_touch(s);
    c->sandboxes = xrealloc(c->sandboxes, (c->sandbox_count + 1) * sizeof(*c->sandboxes));
    c->sandboxes[c->sandbox_count++] = s;
    return s;
}

static void leave_list(struct sandbox *s)
{
    struct core *c = s->core;
    command_runs_let_go(s);
    packages_let_go(s);
    file_watches_end(s, "its sandbox has ended");
    for (size_t i = 0; i < c->sandbox_count; i++)
        if (c->sandboxes[i] == s) {
            c->sandboxes[i] = c->sandboxes[--c->sandbox_count];
            return;
        }
}

static void free_if_unused(struct sandbox *s)
{
    if (!s->gone || s->asks > 0)
        return;
    sandbox_uses_forget(s);
    free(s->id);
    free(s->owner);
    free(s->keeper);
    free(s->paused_reason);
    free(s->ended_by);
    free(s->name);
    free(s->forked_from);
    json_decref(s->labels);
    json_decref(s->once);
    json_decref(s->template);
    json_decref(s->preload);
    json_decref(s->paused);
    json_decref(s->keepsake);
    json_decref(s->snapshots);
    json_decref(s->env);
    json_decref(s->network);
    json_decref(s->enforced);
    json_decref(s->missing);
    json_decref(s->usage);
    free(s);
}

static bool visible(const struct sandbox *s)
{
    return !s->opened && !s->ending && !s->seeding && (s->halted || contexts_count(s) > 0);
}

struct sandbox *sandbox_known(const struct core *c, const char *id)
{
    for (size_t i = 0; i < c->sandbox_count; i++)
        if (strcmp(c->sandboxes[i]->id, id) == 0)
            return c->sandboxes[i];
    return NULL;
}

void sandbox_hold(struct sandbox *s)
{
    s->asks++;
}

void sandbox_let_go(struct sandbox *s)
{
    s->asks--;
    free_if_unused(s);
}

bool sandbox_is_made(const struct sandbox *s)
{
    return visible(s);
}

static bool is_there_for(const struct sandbox *s, const struct principal *who)
{
    return visible(s) && principal_sees(who, s->owner);
}

struct sandbox *sandboxes_find_any(const struct core *c, const struct principal *who,
                                   const char *id, struct err *e)
{
    struct sandbox *s = sandbox_known(c, id);
    if (!s)
        s = sandbox_named(c, who->name, id);
    if (s && is_there_for(s, who))
        return s;
    fail(e, 404, "there is no sandbox %.100s", id);
    return NULL;
}

struct sandbox *sandboxes_find(const struct core *c, const struct principal *who, const char *id,
                               struct err *e)
{
    struct sandbox *s = sandboxes_find_any(c, who, id, e);
    return s && !sandbox_refuses(s, e) ? s : NULL;
}

void sandboxes_each(const struct core *c, const struct principal *who,
                    void (*each)(void *user, struct sandbox *s), void *user)
{
    for (size_t i = 0; i < c->sandbox_count; i++)
        if (is_there_for(c->sandboxes[i], who))
            each(user, c->sandboxes[i]);
}

struct keeper *sandbox_keeper(const struct sandbox *s)
{
    return kept_keeper(sandbox_kept(s));
}

bool sandbox_reachable(const struct sandbox *s)
{
    struct keeper *keeper = s->keeper ? sandbox_keeper(s) : NULL;
    return keeper && keeper_up(keeper) && strcmp(s->keeper, keeper_name(keeper)) == 0;
}

json_t *sandbox_plan(const struct sandbox *s)
{
    json_t *plan = json_pack("{s:s, s:O, s:o}", "sandbox", s->id, "network", s->network, "limits",
                             sandbox_limits_told(&s->limits));
    if (s->uid >= 0)
        json_object_set_new(plan, "uid", json_integer(s->uid));
    return plan;
}

/* --- the end */

static void on_folder_removed(void *user)
{
    struct sandbox *s = user;
    struct removal *removal = s->removals;
    s->removals = NULL;
    s->asks--;
    while (removal) {
        struct removal *next = removal->next;
        if (removal->done)
            removal->done(removal->user, NULL);
        free(removal);
        removal = next;
    }
    leave_list(s);
    s->gone = true;
    free_if_unused(s);
}

static void remove_folder(struct sandbox *s)
{
    s->folder_awaits = s->writes > 0; /* what is written behind it would come back */
    if (!s->folder_awaits)
        sandbox_folder_remove(s->core, s->id, on_folder_removed, s);
}

void sandbox_write_began(struct sandbox *s)
{
    s->writes++;
}

void sandbox_write_ended(struct sandbox *s)
{
    s->writes--;
    if (s->folder_awaits)
        remove_folder(s);
}

static void on_closed(void *user, json_t *answer, const struct err *e)
{
    struct sandbox *s = user; /* also when it failed: what is not there needs no closing */
    (void)answer;
    (void)e;
    remove_folder(s);
}

static void clear_away(struct sandbox *s)
{
    s->asks++;
    s->ending = true;
    execution_table_remove(s->core->store, s->id);
    settling_sandbox_gone(s->core, s->id);
    if (sandbox_reachable(s))
        keeper_ask(sandbox_keeper(s), WIRE_CLOSE, json_pack("{s:s}", "sandbox", s->id), on_closed,
                   s);
    else
        on_closed(s, NULL, NULL);
}

void sandbox_kernel_gone(struct sandbox *s, struct kernel *k, bool keep)
{
    context_leave(k);
    if (s->kernel)
        return;
    if (s->paused && !keep) {
        pausing_emptied(s);
        if (!s->ending)
            return;
    }
    if (!keep) {
        clear_away(s);
        return;
    }
    leave_list(s);
    s->gone = true;
    free_if_unused(s);
}

/* No exit handler can leave anything that stays: there is nothing to wait for. */
static void end_context(struct kernel *k, const char *reason)
{
    bool runs = k->host_alive;
    if (!k->ending && !k->gone)
        kernel_stop(k, reason, NULL, NULL);
    if (runs)
        kernel_kill_host(k);
}

void sandbox_end_contexts(struct sandbox *s, int code, const char *reason)
{
    sandbox_hold(s);
    for (struct kernel *k = s->kernel, *next; k; k = next) {
        next = k->sibling;
        readers_end(k, code, reason);
        end_context(k, reason);
    }
    sandbox_let_go(s);
}

void sandbox_close(struct sandbox *s, void (*done)(void *user, json_t *answer, const struct err *e),
                   void *user)
{
    if (sandbox_reachable(s))
        keeper_ask(sandbox_keeper(s), WIRE_CLOSE, json_pack("{s:s}", "sandbox", s->id), done, user);
    else
        done(user, NULL, NULL);
}

void sandbox_open_again(struct sandbox *s,
                        void (*done)(void *user, json_t *answer, const struct err *e), void *user)
{
    struct keeper *keeper = sandbox_keeper(s);
    struct err e;
    if (keeper) {
        keeper_ask(keeper, WIRE_OPEN, sandbox_plan(s), done, user);
        return;
    }
    fail(&e, 503, "the gateway is ending");
    done(user, NULL, &e);
}

void paused_forget(struct core *c)
{
    for (size_t i = c->sandbox_count; i-- > 0;) {
        struct sandbox *s = c->sandboxes[i];
        if (s->kernel || !s->paused)
            continue;
        leave_list(s);
        s->gone = true;
        free_if_unused(s);
    }
}

void sandbox_remove(struct sandbox *s, const char *reason,
                    void (*done)(void *user, const struct err *e), void *user)
{
    struct removal *removal = xmalloc(sizeof(*removal));
    *removal = (struct removal){done, user, s->removals};
    s->removals = removal;
    if (s->ending)
        return;
    s->ending = true;
    packages_let_go(s);
    file_watches_end(s, "its sandbox has ended");
    log_info("sandbox ends", F_STR("sandbox", s->id), F_STR("reason", reason));
    paused_remove_logs(s);
    if (!s->kernel) {
        clear_away(s);
        return;
    }
    for (struct kernel *k = s->kernel, *next; k; k = next) {
        next = k->sibling;
        end_context(k, reason);
    }
}

/* --- the start */

static void tell_maker(struct sandbox *s, const struct err *e)
{
    void (*opened)(void *user, struct sandbox *made, const struct err *why) = s->opened;
    s->opened = NULL;
    if (opened)
        opened(s->opened_user, e ? NULL : s, e);
}

static void drop_unmade(struct sandbox *s, const struct err *e)
{
    if (s->pooled)
        pool_failed(s->pool);
    log_warn("no sandbox", F_STR("sandbox", s->id), F_STR("why", e->text));
    tell_maker(s, e);
    clear_away(s);
}

static bool start_kernel(struct sandbox *s, struct err *e)
{
    struct kernel *k = context_start(s, NULL, NULL, NULL, NULL, e);
    if (k && !k->pooled)
        kernel_table_started(s->core->store, k->id, k->name, k->started);
    return k != NULL;
}

/* What was begun ahead of the keeper's answer is ended. */
static void drop_begun(struct sandbox *s, const struct err *e)
{
    tell_maker(s, e);
    if (!s->ending)
        sandbox_remove(s, e->text, NULL, NULL);
    free_if_unused(s);
}

static void on_opened(void *user, json_t *answer, const struct err *e)
{
    struct sandbox *s = user;
    struct err why = e ? *e : (struct err){0};
    bool begun = s->begun;
    s->asks--;
    s->core->opens -= s->opening;
    s->opening = false;
    launching_go(s->core);
    if (!e)
        sandbox_take_opening(s, answer);
    if (!e && s->core->draining)
        fail(&why, 503, "the gateway is ending");
    if (!e && s->pooled && !s->pool)
        fail(&why, 503, "its pool has ended");
    if (!why.status && begun && !s->kernel)
        fail(&why, 503, "the sandbox ended as it was made");
    if (begun && why.status) {
        drop_begun(s, &why);
        return;
    }
    if (why.status || (!begun && !start_kernel(s, &why))) {
        drop_unmade(s, &why);
        return;
    }
    if (begun)
        kernel_save(s->kernel);
    if (s->pooled)
        pool_refill(s->core);
    tell_maker(s, NULL);
}

static void set_network(struct sandbox *s, json_t *network)
{
    json_decref(s->network);
    s->network = json_incref(network);
}

static void open_it(struct sandbox *s)
{
    struct keeper *keeper = sandbox_keeper(s);
    struct err e;
    if (!keeper) {
        fail(&e, 503, "the gateway is ending");
        drop_unmade(s, &e);
        return;
    }
    s->asks++;
    s->opening = !s->pooled;
    s->core->opens += s->opening;
    /* where sandboxes could be made before, the host starts while this one is: it joins it */
    bool ahead = keeper_up(keeper) && s->core->opens == s->opening && sandbox_kept(s)->status;
    keeper_ask(keeper, WIRE_OPEN, sandbox_plan(s), on_opened, s);
    if (ahead && s->asks > 0 && !s->ending)
        s->begun = start_kernel(s, &e);
}

void sandbox_start_pooled(struct core *c, struct pool *p)
{
    char id[UUID_TEXT];
    uuid_make(id);
    struct sandbox *s = sandbox_new(c, id);
    s->pooled = true;
    s->pool = p;
    if (p->principal)
        sandbox_set_owner(s, p->principal);
    if (p->network)
        set_network(s, p->network);
    s->best_effort = p->best_effort;
    s->language = p->language;
    s->template = json_incref(p->made_from);
    s->preload = json_incref(p->preload);
    s->shares_keeper = p->shares_keeper;
    open_it(s);
}

size_t sandboxes_opening(const struct core *c, const struct pool *p)
{
    size_t found = 0;
    for (size_t i = 0; i < c->sandbox_count; i++) {
        const struct sandbox *s = c->sandboxes[i];
        found += s->pooled && s->pool == p && !s->kernel && !s->ending;
    }
    return found;
}

void sandbox_retire(struct sandbox *s, const char *why)
{
    s->pool = NULL;
    if (s->keeper) /* else OPEN is not answered yet, and what follows would come before it */
        sandbox_remove(s, why, NULL, NULL);
}

static void on_emptied(void *user, json_t *answer, const struct err *e)
{
    struct sandbox *s = user;
    (void)answer;
    (void)e;
    s->asks--;
    free_if_unused(s);
}

void sandbox_died(struct sandbox *s)
{
    if (contexts_live(s) || !sandbox_reachable(s))
        return;
    s->asks++;
    keeper_ask(sandbox_keeper(s), WIRE_CLOSE, json_pack("{s:s}", "sandbox", s->id), on_emptied, s);
}

/* --- a keeper that is up (again) */

static void on_joined(void *user, json_t *answer, const struct err *e)
{
    struct sandbox *s = user;
    s->asks--;
    if (e)
        log_warn("a sandbox was not taken up", F_STR("sandbox", s->id), F_STR("why", e->text));
    else if (!s->gone)
        sandbox_take_opening(s, answer);
    free_if_unused(s);
}

void sandboxes_join(struct core *c, struct keeper *keeper)
{
    for (size_t i = 0; i < c->sandbox_count; i++) {
        struct sandbox *s = c->sandboxes[i];
        if (!contexts_live(s) || s->ending || sandbox_keeper(s) != keeper || !sandbox_reachable(s))
            continue;
        s->asks++;
        keeper_ask(keeper, WIRE_OPEN, sandbox_plan(s), on_joined, s);
    }
}

/* --- what callers ask */

/* A sandbox of the pool on its way to who asked: its limits and its environment may both have to be
 * told, and both answers are awaited. */
struct handing {
    struct sandbox *s;
    int awaited;
    struct err why;
    void (*done)(void *user, struct sandbox *s, const struct err *e);
    void *user;
};

static void settle(struct handing *h)
{
    if (--h->awaited > 0)
        return;
    struct sandbox *s = h->s;
    struct kernel *k = s->kernel;
    s->asks--;
    if (!h->why.status && (!k || k->ending))
        fail(&h->why, 503, "the sandbox ended as it was handed out");
    if (h->why.status) {
        if (k && !s->ending)
            sandbox_remove(s, "it could not be adopted", NULL, NULL);
        h->done(h->user, NULL, &h->why);
        free_if_unused(s);
    } else {
        k->handing = false;
        s->lives_from_ms = monotonic_ms();
        clock_gettime(CLOCK_REALTIME, &s->created);
        k->started = s->created;
        kernel_touch(k);
        kernel_save(k);
        kernel_table_started(s->core->store, k->id, k->name, k->started);
        log_info("sandbox handed out", F_STR("sandbox", s->id), F_STR("kernel", k->id));
        h->done(h->user, s, NULL);
    }
    free(h);
}

static void on_keeper_told(void *user, json_t *answer, const struct err *e)
{
    struct handing *h = user;
    (void)answer;
    if (e)
        h->why = *e;
    settle(h);
}

static void on_adopted(void *user, const struct err *e)
{
    struct handing *h = user;
    if (e)
        h->why = *e;
    settle(h);
}

static json_t *adoption_of(const struct sandbox *s, bool limits)
{
    json_t *adoption = json_pack("{s:s}", "sandbox", s->id);
    if (json_object_size(s->env))
        json_object_set(adoption, "env", s->env);
    if (limits)
        json_object_set_new(adoption, "limits", sandbox_limits_told(&s->limits));
    return adoption;
}

/* Gives it the id that its taker will know: its folder has it at once, then its keeper. From then
 * on a gateway that comes back knows by the saved id, which has no folder any more, that it was
 * half handed out, and ends it. One that is still being made, or whose keeper cannot be told, keeps
 * the id that it has: false. */
static bool rename_it(struct handing *h)
{
    struct sandbox *s = h->s;
    char id[UUID_TEXT];
    uuid_make(id);
    scoped(string) char *from = xasprintf("%s/%s", s->core->sandboxes_dir, s->id);
    scoped(string) char *to = xasprintf("%s/%s", s->core->sandboxes_dir, id);
    if (!sandbox_reachable(s) || rename(from, to) != 0)
        return false;
    sync_path(store_sync(s->core->store), s->core->sandboxes_dir);
    json_t *order = json_pack("{s:s, s:s}", "sandbox", s->id, "to", id);
    free(s->id);
    s->id = xstrdup(id);
    h->awaited++;
    keeper_ask(sandbox_keeper(s), WIRE_RENAME, order, on_keeper_told, h);
    return true;
}

static void hand_out(struct sandbox *s, const struct limits *limits, json_t *env,
                     void (*done)(void *user, struct sandbox *s, const struct err *e), void *user)
{
    struct handing *h = xcalloc(1, sizeof(*h));
    *h = (struct handing){.s = s, .awaited = 1, .done = done, .user = user};
    bool changed = memcmp(limits, &s->limits, sizeof(*limits)) != 0;
    s->asks++;
    if (!rename_it(h))
        kernel_save(s->kernel); /* as one that is on its way */
    s->limits = *limits;
    if (env)
        json_object_update(s->env, env);
    if (changed) {
        h->awaited++;
        keeper_ask(sandbox_keeper(s), WIRE_LIMITS,
                   json_pack("{s:s, s:o}", "sandbox", s->id, "limits", sandbox_limits_told(limits)),
                   on_keeper_told, h);
    }
    scoped(json) json_t *adoption = adoption_of(s, changed);
    scoped(string) char *text = json_dumps(adoption, JSON_COMPACT);
    h->awaited++;
    kernel_command(s->kernel, LINK_ADOPT_KERNEL, bytes_of(text), ADOPT_LIMIT_MS, on_adopted, h);
    settle(h);
}

/* Nobody puts out more than the administrator allows: it is kept where no limit of a disk counts.
 */
static void bound_output(const struct core *c, struct limits *limits)
{
    int64_t most = c->settings->core.max_output_bytes;
    if (limits->output_bytes == 0 || limits->output_bytes > most)
        limits->output_bytes = most;
}

bool sandbox_read_limits(const struct core *c, json_t *asked, struct limits *out, struct err *e)
{
    struct limits limits = *out;
    int64_t most = c->settings->core.max_output_bytes;
    bound_output(c, &limits);
    if (asked && !limits_read(asked, &limits, e))
        return false;
    if (limits.output_bytes > most)
        return fail(e, 403, "Resource Limit: output_bytes: %lld is the most allowed",
                    (long long)most);
    bound_output(c, &limits);
    *out = limits;
    return true;
}

/* What administrators alone may do, and how many sandboxes others may have. */
static bool check_who(struct core *c, const struct principal *who,
                      const struct sandbox_request *request, const struct limits *limits,
                      struct err *e)
{
    struct usage more = {.sandboxes = 1, .kernels = 1};
    struct allowance allowance;
    if (principal_is_admin(who))
        return true;
    if (request->policy && strcmp(request->policy, "best-effort") == 0)
        return fail(e, 403, "policy: only administrators may do without what the machine lacks");
    usage_add_limits(&more, limits, true);
    struct usage_payer payer = {who->name, tokens_account(c, who, &allowance)};
    return usage_allows(c, payer, &more, e);
}

bool sandboxes_allowed(const struct core *c, struct err *e)
{
    size_t live = 0;
    for (size_t i = 0; i < c->sandbox_count; i++)
        live += !c->sandboxes[i]->pooled &&
                !(c->sandboxes[i]->kernel && c->sandboxes[i]->kernel->pooled);
    int64_t most = c->settings->core.max_sandboxes;
    return most == 0 || live < (size_t)most ||
           fail(e, 403, "Resource Limit: %lld sandboxes live, which is the most allowed",
                (long long)most);
}

static bool check(struct core *c, const struct principal *who,
                  const struct sandbox_request *request, struct limits *limits, struct err *e)
{
    if (c->draining)
        return fail(e, 503, "the gateway is ending");
    if (request->network && !sandbox_check_network(request->network, e))
        return false;
    if (request->policy && strcmp(request->policy, "required") != 0 &&
        strcmp(request->policy, "best-effort") != 0)
        return fail(e, 400, "policy: must be \"required\" or \"best-effort\"");
    if (request->env && !environment_check(request->env, e))
        return false;
    if (request->language && !language_check(request->language, e))
        return false;
    if (!sandbox_read_limits(c, request->limits, limits, e) ||
        !sandbox_check_words(c, who, request, e) || !sandboxes_allowed(c, e))
        return false;
    return check_who(c, who, request, limits, e) && kernels_allowed(c, 1, e);
}

void sandboxes_create(struct core *c, const struct principal *who,
                      const struct sandbox_request *request,
                      void (*done)(void *user, struct sandbox *s, const struct err *e), void *user)
{
    struct err e = {0};
    struct limits limits = limits_default;
    char id[UUID_TEXT];
    struct sandbox *s;
    bool good = sandbox_made_before(c, request->once, &s, &e);
    if (!good || s || !check(c, who, request, &limits, &e)) {
        done(user, good ? s : NULL, good && s ? NULL : &e);
        return;
    }
    bool best_effort = request->policy && strcmp(request->policy, "best-effort") == 0;
    s = pool_take_sandbox(c, pools_for(c, who, request));
    if (s) {
        sandbox_set_owner(s, who->name);
        s->bounded = !principal_is_admin(who);
        sandbox_set_account(s, who);
        sandbox_take_words(s, request);
        hand_out(s, &limits, request->env, done, user);
        return;
    }
    uuid_make(id);
    s = sandbox_new(c, id);
    sandbox_set_owner(s, who->name);
    s->bounded = !principal_is_admin(who);
    sandbox_set_account(s, who);
    sandbox_take_words(s, request);
    sandbox_take_preload(s, request);
    s->limits = limits;
    s->best_effort = best_effort;
    s->cold = request->cold;
    if (request->language)
        s->language = request->language;
    s->opened = done;
    s->opened_user = user;
    if (request->env)
        json_object_update(s->env, request->env);
    if (request->network)
        set_network(s, request->network);
    open_it(s);
}

struct measuring {
    struct sandbox *s;
    void (*done)(void *user);
    void *user;
};

static void on_usage(void *user, json_t *answer, const struct err *e)
{
    struct measuring *m = user;
    struct sandbox *s = m->s;
    s->asks--;
    if (!e) {
        json_decref(s->usage);
        s->usage = json_incref(answer);
    }
    m->done(m->user);
    free(m);
    free_if_unused(s);
}

void sandbox_measure(struct sandbox *s, void (*done)(void *user), void *user)
{
    if (!sandbox_reachable(s)) {
        done(user);
        return;
    }
    struct measuring *m = xmalloc(sizeof(*m));
    *m = (struct measuring){s, done, user};
    s->asks++;
    keeper_ask(sandbox_keeper(s), WIRE_USAGE, json_pack("{s:s}", "sandbox", s->id), on_usage, m);
}
