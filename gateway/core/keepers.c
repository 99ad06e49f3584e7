/* The keepers of this gateway: one for its owner's kernels, and for sandboxes one for each policy.
 * Opened when they are first needed, found again by a gateway that comes back. */
#include <string.h>

#include "gateway/core/state.h"

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

struct keeper *core_keeper(struct core *c, enum keepers which)
{
    static const struct keeper_events events = {on_up};
    if (which == KEEPERS)
        return NULL;
    struct kept *kept = &c->keepers[which];
    if (!kept->keeper && !c->draining) {
        const struct keeper_plan plan = {&c->settings->core, kinds[which].profile,
                                         kinds[which].best_effort};
        kept->core = c;
        kept->keeper = keeper_open(c->loop, &plan, &events, kept);
        c->open_handles++;
    }
    return kept->keeper;
}

json_t *core_keeper_status(const struct core *c, enum keepers which)
{
    return c->keepers[which].status;
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

bool core_keeper_refresh(struct core *c, enum keepers which, void (*done)(void *user), void *user)
{
    struct kept *kept = &c->keepers[which];
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

/* A keeper that kernels live on in stays for them; it ends by itself when their leases have. */
void core_keepers_close(struct core *c, const bool lives_on[KEEPERS])
{
    for (size_t i = 0; i < KEEPERS; i++) {
        struct kept *kept = &c->keepers[i];
        if (kept->keeper)
            keeper_close(kept->keeper, !lives_on[i], on_closed, c);
        kept->keeper = NULL;
        json_decref(kept->status);
        kept->status = NULL;
    }
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

enum keepers kernel_keeper(const struct kernel *k)
{
    if (k->sandbox)
        return sandbox_keeper(k->sandbox);
    return k->core->settings->core.warm && kernelspec_can_fork(k->spec) && !wants_cold(k)
               ? KEEPERS_OWNER
               : KEEPERS;
}
