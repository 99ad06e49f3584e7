/* Templates: checked, stored, found, changed, removed.
 *
 * Invariant: what is in the list and not `coming` is in the database as it is here. A change is a
 * second one of the same id that is `coming`, and takes the place of the first when it is stored.
 */
#include "gateway/core/template.h"

#include <string.h>

#include "gateway/core/naming.h"
#include "gateway/core/once.h"
#include "gateway/core/state.h"
#include "gateway/core/template_seed.h"
#include "gateway/core/template_state.h"
#include "gateway/log.h"
#include "gateway/store/template_table.h"
#include "gateway/store/vault.h"
#include "protocol/ids.h"
#include "protocol/json.h"

const char *template_id(const struct template *t)
{
    return t->id;
}

const char *template_name(const struct template *t)
{
    return t->name;
}

const char *template_owner(const struct template *t)
{
    return t->owner;
}

const char *template_language(const struct template *t)
{
    return language_of_spec(t->spec)->name;
}

bool template_is_shared(const struct template *t)
{
    return t->shared;
}

struct timespec template_created(const struct template *t)
{
    return t->created;
}

struct timespec template_changed(const struct template *t)
{
    return t->changed;
}

json_t *template_spec(const struct template *t)
{
    return t->spec;
}

size_t template_uses(const struct core *c, const struct template *t)
{
    size_t uses = 0;
    for (size_t i = 0; i < c->sandbox_count; i++) {
        const char *id = json_string_value(json_object_get(c->sandboxes[i]->template, "id"));
        uses += id && !c->sandboxes[i]->pool && !c->sandboxes[i]->ending && strcmp(id, t->id) == 0;
    }
    return uses;
}

/* --- the list */

static struct template *template_new(const char *id, const char *owner)
{
    struct template *t = xcalloc(1, sizeof(*t));
    t->id = xstrdup(id);
    t->owner = xstrdup(owner);
    return t;
}

static void template_free(struct template *t)
{
    free(t->id);
    free(t->owner);
    free(t->name);
    json_decref(t->spec);
    json_decref(t->once);
    free(t);
}

static void add(struct templates *all, struct template *t)
{
    struct template **end = &all->first;
    while (*end)
        end = &(*end)->next;
    *end = t;
    t->version = ++all->versions;
}

static void drop(struct templates *all, struct template *t)
{
    struct template **from = &all->first;
    while (*from != t)
        from = &(*from)->next;
    *from = t->next;
    template_free(t);
}

static bool is_seen(const struct principal *who, const struct template *t)
{
    return !t->coming && !t->ending && (t->shared || principal_sees(who, t->owner));
}

struct template *templates_find(const struct core *c, const struct principal *who, const char *id,
                                struct err *e)
{
    struct template *shared = NULL;
    for (struct template *t = c->templates->first; t; t = t->next) {
        if (!is_seen(who, t))
            continue;
        bool named = strcmp(t->name, id) == 0;
        if (strcmp(t->id, id) == 0 || (named && strcmp(t->owner, who->name) == 0))
            return t;
        if (named && t->shared && !shared)
            shared = t;
    }
    if (!shared)
        fail(e, 404, "there is no template %.100s", id);
    return shared;
}

void templates_each(const struct core *c, const struct principal *who,
                    void (*each)(void *user, struct template *t), void *user)
{
    for (struct template *t = c->templates->first; t; t = t->next)
        if (is_seen(who, t))
            each(user, t);
}

struct template *templates_find_own(const struct core *c, const struct principal *who,
                                    const char *id, struct err *e)
{
    struct template *t = templates_find(c, who, id, e);
    if (!t)
        return NULL;
    if (!principal_sees(who, t->owner))
        fail(e, 403, "template %s is shared: its owner or an administrator may change it", t->id);
    else if (t->busy)
        fail(e, 409, "template %s is being changed already: wait for it", t->id);
    else
        return t;
    return NULL;
}

/* --- what may be */

static bool check_name(const struct templates *all, const struct template *t, struct err *e)
{
    for (const struct template *other = all->first; other; other = other->next)
        if (other != t && !other->ending && strcmp(other->id, t->id) != 0 &&
            strcmp(other->name, t->name) == 0 && strcmp(other->owner, t->owner) == 0)
            return fail(e, 409, "name: %s has a template %s already (%s)", t->owner, t->name,
                        other->id);
    return true;
}

static bool check_room(const struct templates *all, const struct principal *who, struct err *e)
{
    size_t count = 0, own = 0;
    for (const struct template *t = all->first; t; t = t->next) {
        count++;
        own += strcmp(t->owner, who->name) == 0;
    }
    if (count >= TEMPLATES_LIMIT)
        return fail(e, 403, "Resource Limit: there are %d templates, the most allowed",
                    TEMPLATES_LIMIT);
    return principal_is_admin(who) || own < TEMPLATES_USER_LIMIT ||
           fail(e, 403, "Resource Limit: %s has %d templates, the most allowed", who->name,
                TEMPLATES_USER_LIMIT);
}

/* What stands ready without a demand is paid for by all. */
static bool check_pool(const struct principal *who, json_t *body, struct err *e)
{
    json_t *least = json_object_get(json_object_get(body, "pool"), "min");
    return principal_is_admin(who) || json_integer_value(least) == 0 ||
           fail(e, 403,
                "pool.min: only administrators may keep sandboxes ready that nobody asks for");
}

/* Takes over what body says; files: what is to be stored; NULL: they stay. */
static bool fill(struct core *c, const struct principal *who, struct template *t, json_t *body,
                 json_t **files, struct err *e)
{
    const char *name = t->name;
    bool shared = t->shared;
    if (!field_str(body, "name", t->name ? OPTIONAL : REQUIRED, &name, e) || !name_check(name, e) ||
        !field_bool(body, "shared", OPTIONAL, &shared, e))
        return false;
    if (shared && !t->shared && !principal_is_admin(who))
        return fail(e, 403, "shared: only administrators may share a template");
    if (name != t->name) {
        char *copy = xstrdup(name);
        free(t->name);
        t->name = copy;
    }
    t->shared = shared;
    return template_read_spec(c, body, t->spec, files, e) && check_pool(who, body, e) &&
           check_name(c->templates, t, e);
}

/* --- storing */

struct storing {
    struct core *core;
    struct template *t; /* coming */
    template_done *done;
    void *user;
};

static struct template *replaced_by(const struct templates *all, const struct template *t)
{
    struct template *old = all->first;
    while (old && (old == t || strcmp(old->id, t->id) != 0))
        old = old->next;
    return old;
}

static void on_stored(void *user, const struct err *e)
{
    struct storing *storing = user;
    struct templates *all = storing->core->templates;
    struct template *t = storing->t, *old = replaced_by(all, t);
    if (e) {
        if (old)
            old->busy = false;
        storing->done(storing->user, NULL, e);
        drop(all, t);
    } else {
        if (old) {
            pools_template_gone(storing->core, t->id);
            drop(all, old);
        }
        t->coming = false;
        pools_template_came(storing->core, t);
        log_info("template stored", F_STR("template", t->id), F_STR("principal", t->owner));
        storing->done(storing->user, t, NULL);
    }
    free(storing);
}

static char *template_context(const char *id)
{
    return xasprintf(TEMPLATE_CONTEXT, id);
}

/* Its environment and its files may hold secrets: in the database they are sealed. Given. */
static char *hidden(const struct core *c, const char *id, json_t *value)
{
    scoped(string) char *context = template_context(id);
    scoped(json) json_t *sealed = vault_hide(c->vault, context, value);
    return json_dumps(sealed, JSON_COMPACT | JSON_ENCODE_ANY);
}

json_t *template_reveal(const struct core *c, const char *id, const char *text, struct err *e)
{
    scoped(string) char *context = template_context(id);
    scoped(json) json_t *sealed = json_loads(text, JSON_DECODE_ANY, NULL);
    return vault_reveal(c->vault, context, sealed, e);
}

static void store_it(struct core *c, struct template *t, json_t *files, template_done *done,
                     void *user)
{
    struct storing *storing = xmalloc(sizeof(*storing));
    char created[TIME_TEXT], changed[TIME_TEXT];
    scoped(string) char *spec = hidden(c, t->id, t->spec);
    scoped(string) char *once = t->once ? json_dumps(t->once, JSON_COMPACT) : NULL;
    scoped(string) char *text = files ? hidden(c, t->id, files) : NULL;
    *storing = (struct storing){c, t, done, user};
    t->coming = true;
    add(c->templates, t);
    time_text(t->created, created);
    time_text(t->changed, changed);
    const struct template_row row = {
        .id = t->id,
        .owner = t->owner,
        .name = t->name,
        .created = created,
        .changed = changed,
        .spec = spec,
        .files = text,
        .once = once,
        .seed = json_string_value(json_object_get(template_seed(t), "sha256")),
        .shared = t->shared};
    template_table_put(c->store, &row, on_stored, storing);
}

/* True: there is one; e: or why there cannot be. */
static bool made_before(const struct core *c, json_t *once, struct template **out, struct err *e)
{
    for (struct template *t = c->templates->first; once && t; t = t->next) {
        if (t->ending || !once_meets(t->once, once))
            continue;
        if (once_same(t->once, once, "template", t->id, e) && t->coming && !t->replaces)
            fail(e, 409, "Idempotency-Key: template %s is being made with it", t->id);
        *out = t;
        return true;
    }
    return false;
}

void templates_create(struct core *c, const struct principal *who, json_t *body, json_t *once,
                      template_done *done, void *user)
{
    struct err e = {0};
    char id[UUID_TEXT];
    struct template *t = NULL;
    scoped(json) json_t *files = NULL;
    if (made_before(c, once, &t, &e)) {
        done(user, e.status ? NULL : t, e.status ? &e : NULL);
        return;
    }
    uuid_make(id);
    t = template_new(id, who->name);
    t->spec = json_object();
    t->once = json_incref(once);
    clock_gettime(CLOCK_REALTIME, &t->created);
    t->changed = t->created;
    if (check_room(c->templates, who, &e) && fill(c, who, t, body, &files, &e)) {
        store_it(c, t, files, done, user);
        return;
    }
    done(user, NULL, &e);
    template_free(t);
}

/* What shall take the place of old; nothing of its own yet but what stays. */
static struct template *successor(const struct template *old)
{
    struct template *t = template_new(old->id, old->owner);
    t->once = json_incref(old->once);
    t->created = old->created;
    t->replaces = true;
    clock_gettime(CLOCK_REALTIME, &t->changed);
    return t;
}

void templates_change(struct core *c, const struct principal *who, const char *id, json_t *body,
                      bool whole, template_done *done, void *user)
{
    struct err e = {0};
    struct template *old = templates_find_own(c, who, id, &e);
    scoped(json) json_t *files = whole ? json_array() : NULL;
    if (!old) {
        done(user, NULL, &e);
        return;
    }
    struct template *t = successor(old);
    t->name = whole ? NULL : xstrdup(old->name);
    t->shared = !whole && old->shared;
    t->spec = whole ? json_object() : json_copy(old->spec);
    json_object_set(t->spec, "seed", template_seed(old)); /* no part of the body */
    if (fill(c, who, t, body, &files, &e)) {
        old->busy = true;
        store_it(c, t, files, done, user);
        return;
    }
    done(user, NULL, &e);
    template_free(t);
}

void templates_set_seed(struct core *c, const struct principal *who, const char *id, json_t *seed,
                        template_done *done, void *user)
{
    struct err e = {0};
    struct template *old = templates_find_own(c, who, id, &e);
    if (!old) {
        done(user, NULL, &e);
        return;
    }
    struct template *t = successor(old);
    t->name = xstrdup(old->name);
    t->shared = old->shared;
    t->spec = json_copy(old->spec);
    if (seed)
        json_object_set(t->spec, "seed", seed);
    else
        json_object_del(t->spec, "seed");
    old->busy = true;
    store_it(c, t, NULL, done, user);
}

struct removing {
    struct core *core;
    struct template *t;
    void (*done)(void *user, const struct err *e);
    void *user;
};

static void on_removed(void *user, const struct err *e)
{
    struct removing *removing = user;
    removing->t->ending = false;
    if (!e) {
        pools_template_gone(removing->core, removing->t->id);
        drop(removing->core->templates, removing->t);
    }
    removing->done(removing->user, e);
    free(removing);
}

void templates_remove(struct core *c, const struct principal *who, const char *id,
                      void (*done)(void *user, const struct err *e), void *user)
{
    struct err e;
    struct template *t = templates_find_own(c, who, id, &e);
    if (!t) {
        done(user, &e);
        return;
    }
    struct removing *removing = xmalloc(sizeof(*removing));
    *removing = (struct removing){c, t, done, user};
    t->ending = true;
    log_info("template removed", F_STR("template", t->id));
    template_table_remove(c->store, t->id, on_removed, removing);
}

bool templates_current(const struct core *c, const char *id, uint64_t version)
{
    for (const struct template *t = c->templates->first; t; t = t->next)
        if (t->version == version && strcmp(t->id, id) == 0)
            return !t->coming && !t->ending;
    return false;
}

/* --- the start */

void templates_fill_pools(struct core *c)
{
    for (const struct template *t = c->templates->first; t; t = t->next)
        pools_template_came(c, t);
}

static struct timespec time_of(const char *text)
{
    scoped(json) json_t *value = json_string(text);
    return core_time_of(value);
}

struct loading {
    struct core *core;
    struct templates *all;
};

static void load_one(void *user, const struct template_row *row)
{
    struct loading *l = user;
    struct err e;
    json_t *spec = template_reveal(l->core, row->id, row->spec, &e);
    if (!json_is_object(spec)) {
        log_error("a template cannot be used", F_STR("template", row->id), F_STR("why", e.text));
        json_decref(spec);
        return;
    }
    struct template *t = template_new(row->id, row->owner);
    t->name = xstrdup(row->name);
    t->shared = row->shared;
    t->created = time_of(row->created);
    t->changed = time_of(row->changed);
    t->spec = spec;
    t->once = row->once ? json_loads(row->once, 0, NULL) : NULL;
    add(l->all, t);
}

struct templates *templates_new(struct core *c, struct err *e)
{
    struct templates *all = xcalloc(1, sizeof(*all));
    struct loading loading = {c, all};
    if (template_table_load(c->store, load_one, &loading, e))
        return all;
    templates_free(all);
    return NULL;
}

void templates_free(struct templates *all)
{
    while (all && all->first)
        drop(all, all->first);
    free(all);
}
