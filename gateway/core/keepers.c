/* The keepers of this gateway: one for its owner's kernels, and for sandboxes one for each policy
 * and principal. Opened when they are first needed, found again by a gateway that comes back; those
 * of other principals than the owner end when none of their sandboxes runs. */
#include <string.h>

#include "gateway/core/state.h"
#include "protocol/ids.h"

static const struct {
    enum keeper_profile profile;
    bool best_effort;
} kinds[KEEPERS] = {
    [KEEPERS_OWNER] = {KEEPER_OWNER, false},
    [KEEPERS_REQUIRED] = {KEEPER_SANDBOX, false},
    [KEEPERS_BEST_EFFORT] = {KEEPER_SANDBOX, true},
};

static void on_status(void *user, json_t *answer, const struct err *e)
{
    struct kept *kept = user;
    if (e)
        return; /* it is asked again when the keeper is up again */
    json_decref(kept->status);
    kept->status = json_incref(answer);
}

static void on_up(void *user)
{
    struct kept *kept = user;
    keeper_ask(kept->keeper, WIRE_STATUS, NULL, on_status, kept);
    sandboxes_join(kept->core, kept->keeper);
}

struct keeper *kept_keeper(struct kept *kept)
{
    static const struct keeper_events events = {on_up};
    if (!kept || kept->keeper || kept->core->draining)
        return kept ? kept->keeper : NULL;
    const struct keeper_plan plan = {&kept->core->settings->core, kinds[kept->which].profile,
                                     kinds[kept->which].best_effort, kept->principal};
    kept->keeper = keeper_open(kept->core->loop, &plan, &events, kept);
    kept->unused_from_ms = 0;
    kept->core->open_handles++;
    return kept->keeper;
}

void core_keepers_init(struct core *c)
{
    for (size_t i = 0; i < KEEPERS; i++)
        c->keepers[i] = (struct kept){.core = c, .which = (enum keepers)i};
}

struct kept *core_kept(struct core *c, enum keepers which)
{
    return &c->keepers[which];
}

bool keepers_shared_with(const struct core *c, const struct principal *who)
{
    return c->settings->core.share_templates || strcmp(who->name, PRINCIPAL_OWNER) == 0;
}

/* What one principal's code could do to a fork server must not reach another principal: so each has
 * their own, unless the administrator shares it. */
struct kept *sandbox_kept(const struct sandbox *s)
{
    struct core *c = s->core;
    enum keepers which = s->best_effort ? KEEPERS_BEST_EFFORT : KEEPERS_REQUIRED;
    if (c->settings->core.share_templates || strcmp(s->owner, PRINCIPAL_OWNER) == 0)
        return &c->keepers[which];
    for (struct kept *kept = c->own_keepers; kept; kept = kept->next)
        if (kept->which == which && strcmp(kept->principal, s->owner) == 0)
            return kept;
    struct kept *kept = xcalloc(1, sizeof(*kept));
    *kept = (struct kept){
        .core = c, .which = which, .principal = xstrdup(s->owner), .next = c->own_keepers};
    c->own_keepers = kept;
    return kept;
}

struct fresh {
    struct kept *kept;
    void (*done)(void *user);
    void *user;
};

static void on_fresh(void *user, json_t *answer, const struct err *e)
{
    struct fresh *fresh = user;
    on_status(fresh->kept, answer, e);
    fresh->done(fresh->user);
    free(fresh);
}

bool kept_refresh(struct kept *kept, void (*done)(void *user), void *user)
{
    if (!kept->keeper || !keeper_up(kept->keeper))
        return false;
    struct fresh *fresh = xmalloc(sizeof(*fresh));
    *fresh = (struct fresh){kept, done, user};
    keeper_ask(kept->keeper, WIRE_STATUS, NULL, on_fresh, fresh);
    return true;
}

static void on_closed(void *user)
{
    core_handle_closed(user);
}

static void shut(struct kept *kept)
{
    if (kept->keeper)
        keeper_close(kept->keeper, !kept->lives_on, on_closed, kept->core);
    kept->keeper = NULL;
    json_decref(kept->status);
    kept->status = NULL;
}

static void drop(struct kept **place)
{
    struct kept *kept = *place;
    shut(kept);
    *place = kept->next;
    free(kept->principal);
    free(kept);
}

static bool is_needed(const struct kept *kept)
{
    const struct core *c = kept->core;
    for (size_t i = 0; i < c->sandbox_count; i++)
        if ((!c->sandboxes[i]->halted || c->sandboxes[i]->asks > 0) &&
            sandbox_kept(c->sandboxes[i]) == kept)
            return true;
    return false;
}

void core_keepers_tick(struct core *c, int64_t now_ms)
{
    struct kept **place = &c->own_keepers;
    int64_t most_ms = c->settings->core.lease_s * 1000;
    while (*place) {
        struct kept *kept = *place;
        if (is_needed(kept))
            kept->unused_from_ms = 0;
        else if (!kept->unused_from_ms)
            kept->unused_from_ms = now_ms;
        if (kept->unused_from_ms && now_ms - kept->unused_from_ms >= most_ms)
            drop(place);
        else
            place = &kept->next;
    }
}

/* A keeper that kernels live on in stays for them; it ends by itself when their leases have. */
void core_keepers_close(struct core *c)
{
    for (size_t i = 0; i < KEEPERS; i++)
        shut(&c->keepers[i]);
    while (c->own_keepers)
        drop(&c->own_keepers);
}

bool kernel_env_is_cold(const struct environment *env)
{
    const char *told = environment_get(env, "WARMCELL_COLD");
    return told && *told && strcmp(told, "0") != 0;
}

static bool wants_cold(const struct kernel *k)
{
    json_t *own =
        json_object_get(json_object_get(json_object_get(k->spec, "metadata"), "warmcell"), "cold");
    return json_is_true(own) || kernel_env_is_cold(&k->env);
}

struct kept *kernel_kept(const struct kernel *k)
{
    if (k->sandbox)
        return sandbox_kept(k->sandbox);
    return k->core->settings->core.warm && kernelspec_can_fork(k->spec) && !wants_cold(k)
               ? &k->core->keepers[KEEPERS_OWNER]
               : NULL;
}
