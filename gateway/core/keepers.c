/* The keepers of this gateway: one for its owner's kernels, and for sandboxes one for each policy,
 * principal and list of libraries. Opened when they are first needed, found again by a gateway that
 * comes back; those of other principals than the owner end when none of their sandboxes runs. */
#include <string.h>

#include "gateway/core/state.h"
#include "protocol/bytes.h"
#include "protocol/ids.h"

#define PRELOADS_MOST 8 /* fork servers with libraries of their own: some 100 MB each */
#define PRELOADS_EACH 2 /* of a principal who is not the owner */

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
                                     kinds[kept->which].best_effort, kept->principal,
                                     kept->preload};
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

/* Which one of own_keepers, or a fixed one: of whose sandboxes, with which libraries. */
struct kind {
    enum keepers which;
    const char *principal; /* NULL: whoever the owner shares with */
    const char *preload;   /* NULL: the usual ones */
};

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static struct kept **place_of(struct core *c, const struct kind *kind)
{
    struct kept **place = &c->own_keepers;
    while (*place &&
           ((*place)->which != kind->which || !same((*place)->principal, kind->principal) ||
            !same((*place)->preload, kind->preload)))
        place = &(*place)->next;
    return place;
}

/* What one principal's code could do to a fork server must not reach another principal: so each has
 * their own, unless the administrator shares it, or shares the template that it is for. */
const char *keepers_whose(const struct core *c, const char *owner, bool shared)
{
    return shared || c->settings->core.share_templates || strcmp(owner, PRINCIPAL_OWNER) == 0
               ? NULL
               : owner;
}

/* "a,b"; given. */
static char *joined(json_t *preload)
{
    struct buffer text = {0};
    json_t *item;
    size_t i;
    json_array_foreach(preload, i, item)
        buffer_printf(&text, "%s%s", i ? "," : "", json_string_value(item));
    buffer_text(&text);
    return buffer_take(&text, NULL);
}

struct kept *sandbox_kept(const struct sandbox *s)
{
    struct core *c = s->core;
    scoped(string) char *preload = s->preload ? joined(s->preload) : NULL;
    const struct kind kind = {s->best_effort ? KEEPERS_BEST_EFFORT : KEEPERS_REQUIRED,
                              keepers_whose(c, s->owner, s->shares_keeper), preload};
    if (!kind.principal && !kind.preload)
        return &c->keepers[kind.which];
    struct kept **place = place_of(c, &kind);
    if (!*place) {
        *place = xcalloc(1, sizeof(**place));
        **place = (struct kept){.core = c, .which = kind.which};
        (*place)->principal = kind.principal ? xstrdup(kind.principal) : NULL;
        (*place)->preload = take(&preload);
    }
    return *place;
}

bool keepers_take(struct core *c, const char *owner, const struct sandbox_request *request)
{
    scoped(string) char *preload = joined(request->preload);
    bool best_effort = request->policy && strcmp(request->policy, "best-effort") == 0;
    const struct kind kind = {best_effort ? KEEPERS_BEST_EFFORT : KEEPERS_REQUIRED,
                              keepers_whose(c, owner, request->shares_keeper), preload};
    size_t all = 0, own = 0;
    if (!c->settings->core.warm)
        return false;
    for (const struct kept *kept = c->own_keepers; kept; kept = kept->next) {
        all += kept->preload != NULL;
        own += kept->preload && same(kept->principal, kind.principal);
    }
    return *place_of(c, &kind) || (all < PRELOADS_MOST && (own < PRELOADS_EACH || !kind.principal));
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
    free(kept->preload);
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
