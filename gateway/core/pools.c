/* Which pools there are: one for each way in which sandboxes differ from their fork on. That is the
 * template, whose keeper they live in, the modules that it has imported, the network, the policy
 * and the language; all else is set when one is handed out.
 *
 * A request for which there is no pool is remembered by one that is not `shown` yet, and stays
 * empty. What pool.c does with a pool is the same for all of them.
 *
 * Invariant: a pool with a template is of the version that is stored now. */
#include <string.h>

#include "gateway/core/state.h"
#include "gateway/core/template_state.h"
#include "protocol/json.h"

#define LABEL_OTHERS "other"

/* What a pool's sandboxes have; all borrowed. */
struct kind {
    const char *principal, *template;
    uint64_t version;
    json_t *made_from, *network, *preload, *bounds;
    const struct language *language;
    bool best_effort, shares_keeper;
};

void pools_init(struct core *c)
{
    c->pool_owner = (struct pool){.label = "owner", .fixed = true, .shown = true};
    c->pool_sandbox = (struct pool){
        .label = "sandbox", .language = language_default(), .fixed = true, .shown = true};
    c->pool_owner.next = &c->pool_sandbox;
}

/* NULL: no way out, as is usual. */
static json_t *network_of(json_t *network)
{
    const char *word = json_string_value(network);
    return word && strcmp(word, "none") == 0 ? NULL : network;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_value(json_t *a, json_t *b)
{
    return a && b ? json_equal(a, b) : a == b;
}

static bool is_of(const struct pool *p, const struct kind *kind)
{
    return p->version == kind->version && p->best_effort == kind->best_effort &&
           p->language == kind->language && p->shares_keeper == kind->shares_keeper &&
           same_text(p->template, kind->template) && same_text(p->principal, kind->principal) &&
           same_value(p->network, kind->network) && same_value(p->preload, kind->preload);
}

/* A template of which nothing but env, limits and files is told apart needs none of its own, unless
 * it asks for one. */
static bool is_usual(const struct kind *kind)
{
    return !kind->principal && !kind->network && !kind->preload && !kind->best_effort &&
           !kind->bounds && kind->language == language_default();
}

/* --- they come */

static struct pool *begin(struct core *c, const struct kind *kind)
{
    struct pool *p = xcalloc(1, sizeof(*p)), *last = &c->pool_sandbox;
    json_t *most = json_object_get(kind->bounds, "max");
    p->principal = kind->principal ? xstrdup(kind->principal) : NULL;
    p->template = kind->template ? xstrdup(kind->template) : NULL;
    p->version = kind->version;
    p->made_from = json_incref(kind->made_from);
    p->network = json_incref(kind->network);
    p->preload = json_incref(kind->preload);
    p->best_effort = kind->best_effort;
    p->language = kind->language;
    p->shares_keeper = kind->shares_keeper;
    p->label = p->template ? p->template : LABEL_OTHERS;
    p->most = most ? (size_t)json_integer_value(most) : SIZE_MAX;
    while (last->next)
        last = last->next;
    last->next = p;
    return p;
}

static void end(struct pool **place)
{
    struct pool *p = *place;
    *place = p->next;
    free(p->principal);
    free(p->template);
    json_decref(p->made_from);
    json_decref(p->network);
    json_decref(p->preload);
    free(p);
}

/* False: there are as many as may be, and each is used. Of one principal, if that is said. */
static bool make_room(struct core *c, const char *principal)
{
    struct pool **oldest = NULL;
    size_t count = 0;
    for (struct pool **place = &c->pool_sandbox.next; *place; place = &(*place)->next) {
        struct pool *p = *place;
        if (principal && !same_text(p->principal, principal))
            continue;
        count++;
        if (!p->shown && (!oldest || p->asked_ms < (*oldest)->asked_ms))
            oldest = place;
    }
    if (count < (principal ? POOLS_EACH : POOLS_MOST))
        return true;
    if (oldest)
        end(oldest);
    return oldest != NULL;
}

static struct pool *find_or_begin(struct core *c, const struct kind *kind)
{
    for (struct pool *p = c->pool_sandbox.next; p; p = p->next)
        if (is_of(p, kind))
            return p;
    if ((kind->principal && !make_room(c, kind->principal)) || !make_room(c, NULL))
        return NULL;
    return begin(c, kind);
}

struct pool *pools_for(struct core *c, const struct principal *who,
                       const struct sandbox_request *request)
{
    json_t *id = json_object_get(request->made_from, "id");
    struct kind kind = {
        .network = network_of(request->network),
        .bounds = request->pool,
        .language = request->language ? request->language : language_default(),
        .best_effort = request->policy && strcmp(request->policy, "best-effort") == 0,
    };
    if (request->cold || (id && !templates_current(c, json_string_value(id), request->version)))
        return NULL;
    if (request->preload && keepers_take(c, who->name, request))
        kind.preload = request->preload;
    kind.shares_keeper = kind.preload && request->shares_keeper;
    kind.principal = keepers_whose(c, who->name, kind.shares_keeper);
    if (is_usual(&kind))
        return &c->pool_sandbox;
    if (c->settings->core.pool_max == 0)
        return NULL;
    if (id) {
        kind.template = json_string_value(id);
        kind.version = request->version;
        kind.made_from = request->made_from;
    }
    return find_or_begin(c, &kind);
}

void pools_template_came(struct core *c, const struct template *t)
{
    json_t *bounds = json_object_get(t->spec, "pool");
    json_t *preload = json_object_get(t->spec, "preload");
    json_int_t least = json_integer_value(json_object_get(bounds, "min"));
    if (least == 0 || c->draining)
        return;
    scoped(json) json_t *made_from = json_pack("{s:s, s:s}", "id", t->id, "name", t->name);
    const struct sandbox_request request = {.preload = preload, .shares_keeper = t->shared};
    struct kind kind = {.template = t->id,
                        .version = t->version,
                        .made_from = made_from,
                        .network = network_of(json_object_get(t->spec, "network")),
                        .bounds = bounds,
                        .language = language_of_spec(t->spec)};
    if (preload && keepers_take(c, t->owner, &request))
        kind.preload = preload;
    kind.shares_keeper = kind.preload && t->shared;
    kind.principal = keepers_whose(c, t->owner, kind.shares_keeper);
    struct pool *p = find_or_begin(c, &kind);
    if (!p) {
        c->pools_lack = true;
        return;
    }
    p->shown = true;
    p->least = (size_t)least;
    pool_refill(c);
}

struct pool *pools_of_earlier(struct core *c, const struct sandbox *s)
{
    const struct kind kind = {
        .principal = keepers_whose(c, s->owner, s->shares_keeper),
        .network = network_of(s->network),
        .preload = s->preload,
        .language = s->language,
        .best_effort = s->best_effort,
    };
    return is_usual(&kind) && !s->template ? &c->pool_sandbox : NULL;
}

/* --- they go */

static void empty(struct core *c, const struct pool *p, const char *why)
{
    for (size_t i = c->sandbox_count; i-- > 0;)
        if (i < c->sandbox_count && c->sandboxes[i]->pool == p)
            sandbox_retire(c->sandboxes[i], why);
}

void pools_template_gone(struct core *c, const char *id)
{
    struct pool **place = &c->pool_sandbox.next;
    while (*place) {
        if (!same_text((*place)->template, id)) {
            place = &(*place)->next;
            continue;
        }
        empty(c, *place, "its template was changed or deleted");
        end(place);
    }
}

static bool is_unwanted(const struct core *c, const struct pool *p, int64_t now_ms)
{
    if (!p->shown)
        return now_ms - p->asked_ms > POOLS_WINDOW_MS;
    return p->least == 0 && p->target == 0 && p->takes + p->takes_before == 0 && p->demand < 0.5 &&
           pool_count(c, p) == 0;
}

void pools_forget_unwanted(struct core *c, int64_t now_ms)
{
    struct pool **place = &c->pool_sandbox.next;
    while (*place) {
        if (is_unwanted(c, *place, now_ms))
            end(place);
        else
            place = &(*place)->next;
    }
    if (c->pools_lack) { /* there may be room now */
        c->pools_lack = false;
        templates_fill_pools(c);
    }
}

void pools_free(struct core *c)
{
    while (c->pool_sandbox.next)
        end(&c->pool_sandbox.next);
}
