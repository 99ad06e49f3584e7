/* What a sandbox is called: its name, its labels, its template, and the key that it was made with.
 * They are saved with it, and a name is one sandbox's of its owner at a time.
 *
 * Invariant: no two sandboxes of one owner that were asked for and are not ending have one name. */
#include <string.h>

#include "gateway/core/naming.h"
#include "gateway/core/once.h"
#include "gateway/core/state.h"
#include "gateway/log.h"
#include "protocol/json.h"

const char *sandbox_name(const struct sandbox *s)
{
    return s->name;
}

json_t *sandbox_labels(const struct sandbox *s)
{
    return s->labels;
}

const char *sandbox_forked_from(const struct sandbox *s)
{
    return s->forked_from;
}

json_t *sandbox_template(const struct sandbox *s)
{
    return s->template;
}

json_t *sandbox_preload(const struct sandbox *s)
{
    return s->preload;
}

void sandbox_save_all(const struct sandbox *s)
{
    for (const struct kernel *k = s->kernel; k; k = k->sibling)
        kernel_save(k);
}

static bool is_called(const struct sandbox *s, const char *name)
{
    return (s->name && strcmp(s->name, name) == 0) ||
           (s->claimed_name && strcmp(s->claimed_name, name) == 0);
}

static struct sandbox *holder(const struct core *c, const char *owner, const char *name)
{
    for (size_t i = 0; i < c->sandbox_count; i++) {
        struct sandbox *s = c->sandboxes[i];
        if (!s->ending && is_called(s, name) && strcmp(s->owner, owner) == 0)
            return s;
    }
    return NULL;
}

struct sandbox *sandbox_named(const struct core *c, const char *owner, const char *name)
{
    struct sandbox *s = holder(c, owner, name);
    return s && s->name && strcmp(s->name, name) == 0 ? s : NULL;
}

bool sandbox_name_free(const struct core *c, const char *owner, const char *name,
                       const struct sandbox *but, struct err *e)
{
    const struct sandbox *s = holder(c, owner, name);
    return !s || s == but ||
           fail(e, 409, "name: %s has a sandbox %s already (%s)", owner, name, s->id);
}

bool sandbox_check_network(json_t *network, struct err *e)
{
    const char *word = json_string_value(network);
    json_t *allow = json_object_get(network, "allow"), *host;
    bool good = word ? strcmp(word, "none") == 0 || strcmp(word, "full") == 0
                     : json_is_array(allow) && json_object_size(network) == 1;
    size_t i;
    json_array_foreach(allow, i, host) good = good && json_is_string(host);
    return good || fail(e, 400, "network: must be \"none\", \"full\" or {\"allow\": [hosts]}");
}

bool sandbox_check_words(const struct core *c, const struct principal *who,
                         const struct sandbox_request *request, struct err *e)
{
    if (request->name &&
        (!name_check(request->name, e) || !sandbox_name_free(c, who->name, request->name, NULL, e)))
        return false;
    return !request->labels || labels_check(request->labels, false, e);
}

void sandbox_take_words(struct sandbox *s, const struct sandbox_request *request)
{
    s->name = request->name ? xstrdup(request->name) : NULL;
    if (request->labels)
        json_object_update(s->labels, request->labels);
    s->once = json_incref(request->once);
    json_decref(s->template);
    s->template = json_incref(request->made_from);
    s->seeding = request->seeds;
}

void sandbox_take_preload(struct sandbox *s, const struct sandbox_request *request)
{
    if (request->preload && !request->cold && keepers_take(s->core, s->owner, request))
        s->preload = json_incref(request->preload);
    s->shares_keeper = s->preload && request->shares_keeper;
}

static struct sandbox *made_with(const struct core *c, json_t *once)
{
    for (size_t i = 0; once && i < c->sandbox_count; i++) {
        struct sandbox *s = c->sandboxes[i];
        if (!s->ending && once_meets(s->once, once))
            return s;
    }
    return NULL;
}

bool sandbox_made_before(const struct core *c, json_t *once, struct sandbox **out, struct err *e)
{
    struct sandbox *s = made_with(c, once);
    *out = NULL;
    if (!s)
        return true;
    if (!once_same(s->once, once, "sandbox", s->id, e))
        return false;
    if (!sandbox_is_made(s))
        return fail(e, 409, "Idempotency-Key: sandbox %s is being made with it", s->id);
    *out = s;
    return true;
}

static bool is_made_from(const struct sandbox *s, const char *template)
{
    const char *id = json_string_value(json_object_get(s->template, "id"));
    const char *name = json_string_value(json_object_get(s->template, "name"));
    return (id && strcmp(id, template) == 0) || (name && strcmp(name, template) == 0);
}

bool sandbox_fits(const struct sandbox *s, const struct sandbox_filter *filter)
{
    if (filter->template && !is_made_from(s, filter->template))
        return false;
    if (filter->state && strcmp(filter->state, sandbox_state_text(s)) != 0)
        return false;
    if (filter->name_prefix &&
        (!s->name || strncmp(s->name, filter->name_prefix, strlen(filter->name_prefix)) != 0))
        return false;
    for (size_t i = 0; i < filter->label_count; i++)
        if (!labels_match(s->labels, filter->labels[i]))
            return false;
    return true;
}

void sandbox_save_words(const struct sandbox *s, json_t *saved)
{
    if (s->name)
        json_object_set_new(saved, "name", json_string(s->name));
    if (s->once)
        json_object_set(saved, "once", s->once);
    json_object_set(saved, "labels", s->labels);
    json_object_set_new(saved, "language", json_string(s->language->name));
    if (s->template)
        json_object_set(saved, "template", s->template);
    if (s->forked_from)
        json_object_set_new(saved, "forked_from", json_string(s->forked_from));
    if (s->preload)
        json_object_set(saved, "preload", s->preload);
    json_object_set_new(saved, "shares_keeper", json_boolean(s->shares_keeper));
    json_object_set_new(saved, "seeding", json_boolean(s->seeding));
}

/* What is found again as it was at an earlier time may find its name taken meanwhile. */
void sandbox_restore_words(struct sandbox *s, json_t *saved)
{
    const char *name = json_string_value(json_object_get(saved, "name"));
    json_t *labels = json_object_get(saved, "labels");
    scoped(json) json_t *once = once_renewed(s->core, json_object_get(saved, "once"));
    struct err e;
    if (name && sandbox_name_free(s->core, s->owner, name, s, &e))
        s->name = xstrdup(name);
    else if (name)
        log_warn("a sandbox lost its name", F_STR("sandbox", s->id), F_STR("why", e.text));
    if (json_is_object(labels))
        json_object_update(s->labels, labels);
    s->language = language_of_spec(saved);
    s->template = json_incref(json_object_get(saved, "template"));
    const char *from = json_string_value(json_object_get(saved, "forked_from"));
    s->forked_from = from ? xstrdup(from) : NULL;
    s->preload = json_incref(json_object_get(saved, "preload"));
    s->shares_keeper = json_is_true(json_object_get(saved, "shares_keeper"));
    s->seeding = json_is_true(json_object_get(saved, "seeding"));
    if (once && !made_with(s->core, once))
        s->once = json_incref(once);
}
