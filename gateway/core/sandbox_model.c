/* What is known of a sandbox: for its model, and for a gateway that comes back. Life is in
 * sandbox.c. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/core/once.h"
#include "gateway/core/state.h"
#include "gateway/log.h"
#include "gateway/store/vault.h"
#include "gateway/store/store.h"
#include "protocol/ids.h"
#include "protocol/json.h"

const char *sandbox_id(const struct sandbox *s)
{
    return s->id;
}

const char *sandbox_owner(const struct sandbox *s)
{
    return s->owner;
}

void sandbox_set_owner(struct sandbox *s, const char *owner)
{
    char *copy = xstrdup(owner);
    free(s->owner);
    s->owner = copy;
}

void sandbox_set_account(struct sandbox *s, const struct principal *who)
{
    struct allowance allowance;
    const char *account = tokens_account(s->core, who, &allowance);
    snprintf(s->account, sizeof(s->account), "%s", account ? account : "");
}

const char *sandbox_state_text(const struct sandbox *s)
{
    if (s->resuming)
        return "resuming";
    if (s->halted)
        return !s->paused || s->kernel || s->emptying ? "pausing" : "paused";
    bool starts = !s->kernel;
    for (const struct kernel *k = s->kernel; k; k = k->sibling) {
        if (k->state == KERNEL_IDLE || k->state == KERNEL_BUSY)
            return "running";
        starts = starts || k->state != KERNEL_DEAD;
    }
    return starts ? "starting" : "failed";
}

/* Of its contexts the one that has something to tell: the first that is dead, else the first. */
static const struct kernel *teller(const struct sandbox *s)
{
    const struct kernel *found = NULL;
    for (const struct kernel *k = s->kernel; k; k = k->sibling)
        if (k->reason && (!found || (k->state == KERNEL_DEAD && found->state != KERNEL_DEAD)))
            found = k;
    return found;
}

const char *sandbox_reason(const struct sandbox *s)
{
    const struct kernel *k = teller(s);
    return s->paused ? s->paused_reason : k ? k->reason : NULL;
}

const char *sandbox_cause(const struct sandbox *s)
{
    const struct kernel *k = teller(s);
    return k && !s->paused ? k->cause : NULL;
}

struct timespec sandbox_created(const struct sandbox *s)
{
    return s->created;
}

int64_t sandbox_uid(const struct sandbox *s)
{
    return geteuid() == 0 ? s->uid : -1;
}

char *sandbox_workspace(const struct sandbox *s)
{
    return xasprintf("%s/%s/workspace", s->core->sandboxes_dir, s->id);
}

char *sandbox_cold_mark(const struct core *c, const char *id)
{
    return xasprintf("%s/%s/cold", c->sandboxes_dir, id);
}

const struct limits *sandbox_limits(const struct sandbox *s)
{
    return &s->limits;
}

/* A host knows of one context alone, and can save nothing. */
json_t *sandbox_limits_told(const struct limits *limits)
{
    struct limits told = *limits;
    told.idle_ms = 0;
    return limits_json(&told);
}

/* Idleness is ours to watch, time and output the host's; everything else is the keeper's. */
const char *sandbox_enforcer(const struct sandbox *s, const char *limit)
{
    static const char *const of_host[] = {"output_bytes", "execution_s", "life_s"};
    if (strcmp(limit, "idle_s") == 0)
        return "gateway";
    for (size_t i = 0; i < countof(of_host); i++)
        if (strcmp(of_host[i], limit) == 0)
            return "host";
    const char *by = json_string_value(json_object_get(s->enforced, limit));
    return by ? by : "none";
}

json_t *sandbox_network(const struct sandbox *s)
{
    return s->network;
}

const char *sandbox_policy(const struct sandbox *s)
{
    return s->best_effort ? "best-effort" : "required";
}

bool sandbox_is_cold(const struct sandbox *s)
{
    return s->cold;
}

const char *sandbox_language(const struct sandbox *s)
{
    return s->language->name;
}

json_t *sandbox_missing(const struct sandbox *s)
{
    return s->missing;
}

json_t *sandbox_confinement(const struct sandbox *s)
{
    return json_object_get(sandbox_kept(s)->status, "confinement");
}

json_t *sandbox_last_usage(const struct sandbox *s)
{
    return s->usage;
}

struct sandbox *kernel_sandbox(const struct kernel *k)
{
    return k->sandbox;
}

static void replace(json_t **place, json_t *with)
{
    json_decref(*place);
    *place = json_incref(with);
}

void sandbox_take_opening(struct sandbox *s, json_t *answer)
{
    json_t *uid = json_object_get(answer, "uid");
    s->uid = json_is_integer(uid) ? json_integer_value(uid) : -1;
    replace(&s->enforced, json_object_get(answer, "enforced"));
    replace(&s->missing, json_object_get(answer, "missing"));
    free(s->keeper);
    s->keeper = xstrdup(keeper_name(kept_keeper(sandbox_kept(s))));
    scoped(string) char *folder = xasprintf("%s/%s", s->core->sandboxes_dir, s->id);
    sync_path(store_sync(s->core->store), folder); /* its workspace is in it now */
    sync_path(store_sync(s->core->store), s->core->sandboxes_dir);
}

/* Its environment may hold secrets: on the disk it is sealed. */
static char *env_context(const char *id)
{
    return xasprintf(SANDBOX_ENV_CONTEXT, id);
}

static void restore_env(struct sandbox *s, const json_t *hidden)
{
    struct err e;
    scoped(string) char *context = env_context(s->id);
    scoped(json) json_t *env = vault_reveal(s->core->vault, context, hidden, &e);
    if (json_is_object(env))
        replace(&s->env, env);
    else
        log_warn("a sandbox comes back without its environment", F_STR("sandbox", s->id),
                 F_STR("why", e.text));
}

json_t *sandbox_save(const struct sandbox *s)
{
    char created[TIME_TEXT];
    scoped(string) char *context = env_context(s->id);
    time_text(s->created, created);
    json_t *saved =
        json_pack("{s:s, s:s, s:s, s:o, s:o, s:O, s:b, s:b, s:I, s:I}", "id", s->id, "owner",
                  s->owner, "created", created, "limits", limits_json(&s->limits), "env",
                  vault_hide(s->core->vault, context, s->env), "network", s->network, "cold",
                  (int)s->cold, "best_effort", (int)s->best_effort, "uid", (json_int_t)s->uid,
                  "lives_from_ms", (json_int_t)s->lives_from_ms);
    sandbox_save_words(s, saved);
    json_object_set_new(saved, "bounded", json_boolean(s->bounded));
    if (*s->account)
        json_object_set_new(saved, "account", json_string(s->account));
    if (s->keeper)
        json_object_set_new(saved, "keeper", json_string(s->keeper));
    if (s->enforced)
        json_object_set(saved, "enforced", s->enforced);
    if (s->missing)
        json_object_set(saved, "missing", s->missing);
    return saved;
}

/* Each of its kernels has saved it, all with the same words. */
static struct sandbox *restore(struct core *c, const char *id, json_t *saved)
{
    const char *keeper = json_string_value(json_object_get(saved, "keeper"));
    const char *owner = json_string_value(json_object_get(saved, "owner"));
    struct sandbox *s = sandbox_new(c, id);
    struct err e;
    if (owner)
        sandbox_set_owner(s, owner);
    sandbox_restore_words(s, saved);
    limits_read(json_object_get(saved, "limits"), &s->limits, &e);
    restore_env(s, json_object_get(saved, "env"));
    if (json_object_get(saved, "network"))
        replace(&s->network, json_object_get(saved, "network"));
    scoped(string) char *mark = sandbox_cold_mark(c, id);
    s->cold = json_is_true(json_object_get(saved, "cold")) || access(mark, F_OK) == 0;
    s->bounded = json_is_true(json_object_get(saved, "bounded"));
    const char *account = json_string_value(json_object_get(saved, "account"));
    snprintf(s->account, sizeof(s->account), "%s", account ? account : "");
    s->best_effort = json_is_true(json_object_get(saved, "best_effort"));
    s->uid = json_integer_value(json_object_get(saved, "uid"));
    s->keeper = keeper ? xstrdup(keeper) : NULL;
    s->created = core_time_of(json_object_get(saved, "created"));
    s->lives_from_ms = json_integer_value(json_object_get(saved, "lives_from_ms"));
    replace(&s->enforced, json_object_get(saved, "enforced"));
    replace(&s->missing, json_object_get(saved, "missing"));
    return s;
}

struct sandbox *sandbox_revive(struct core *c, const char *id, json_t *saved)
{
    struct sandbox *s = restore(c, id, saved);
    free(take(&s->keeper)); /* of other processes than it will have */
    s->uid = -1;
    return s;
}

void sandbox_restore(struct kernel *k, json_t *saved)
{
    json_t *of_sandbox = json_object_get(saved, "sandbox");
    const char *id = json_string_value(json_object_get(of_sandbox, "id"));
    const char *name = json_string_value(json_object_get(saved, "context_name"));
    const char *from = json_string_value(json_object_get(saved, "forked_from"));
    if (!id || !id_valid(id))
        return;
    struct sandbox *s = sandbox_known(k->core, id);
    if (!s) {
        s = restore(k->core, id, of_sandbox);
        kept_keeper(sandbox_kept(s)); /* joins it when it is up */
    }
    context_join(s, k, json_integer_value(json_object_get(saved, "context_number")));
    k->context_name = xstrdup(name ? name : "default");
    k->forked_from = from ? xstrdup(from) : NULL;
    from = json_string_value(json_object_get(saved, "restored_from"));
    k->restored_from = from ? xstrdup(from) : NULL;
    k->once = once_renewed(k->core, json_object_get(saved, "once"));
}
