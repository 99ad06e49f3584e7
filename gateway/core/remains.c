#include "gateway/core/remains.h"

#include <string.h>
#include <unistd.h>

#include "gateway/core/keepsake.h"
#include "gateway/core/state.h"
#include "gateway/launch/language.h"
#include "protocol/ids.h"
#include "protocol/json.h"

static void copy(json_t *to, const char *name, json_t *from, const char *of)
{
    json_t *value = json_object_get(from, of);
    if (value)
        json_object_set(to, name, value);
}

/* As snapshot_context_record has one. Why it is dead is in its file only if it was. */
static json_t *context_of(json_t *saved)
{
    json_t *context = json_pack("{s:O, s:s, s:s, s:n, s:n}", "id", json_object_get(saved, "id"),
                                "language", language_of_spec(json_object_get(saved, "spec"))->name,
                                "problem", KEEPSAKE_PROBLEM, "forked_from", "head");
    copy(context, "name", saved, "context_name");
    copy(context, "number", saved, "context_number");
    copy(context, "created", saved, "started");
    if (json_integer_value(json_object_get(saved, "generation")))
        copy(context, "generation", saved, "generation");
    else /* a host had been started for it */
        json_object_set_new(context, "generation", json_integer(1));
    copy(context, "forked_from", saved, "forked_from");
    copy(context, "once", saved, "once");
    if (json_is_true(json_object_get(saved, "dead"))) {
        copy(context, "reason", saved, "reason");
        copy(context, "cause", saved, "cause");
    }
    return context;
}

void remains_note(json_t *remains, json_t *saved)
{
    json_t *own = json_object_get(saved, "sandbox");
    const char *id = json_string_value(json_object_get(own, "id"));
    if (!id || !id_valid(id) || json_is_true(json_object_get(saved, "pooled")) ||
        json_is_true(json_object_get(saved, "handing")) ||
        json_is_true(json_object_get(own, "seeding")) ||
        !json_is_string(json_object_get(saved, "context_name")))
        return;
    json_t *noted = json_object_get(remains, id);
    if (!noted) {
        noted = json_pack("{s:O, s:[]}", "sandbox", own, "contexts");
        json_object_set_new(remains, id, noted);
    }
    json_array_append_new(json_object_get(noted, "contexts"), context_of(saved));
}

static const char *id_of(json_t *context)
{
    const char *id = json_string_value(json_object_get(context, "id"));
    return id ? id : "";
}

static json_t *find(json_t *contexts, const char *id)
{
    json_t *one;
    size_t i;
    json_array_foreach(contexts, i, one)
    {
        if (strcmp(id_of(one), id) == 0)
            return one;
    }
    return NULL;
}

static int64_t number_of(json_t *context)
{
    return json_integer_value(json_object_get(context, "number"));
}

static void insert(json_t *list, json_t *context) /* context: taken */
{
    size_t at = json_array_size(list);
    while (at > 0 && number_of(json_array_get(list, at - 1)) > number_of(context))
        at--;
    json_array_insert_new(list, at, context);
}

/* A keepsake is a moment behind. Who deletes a context removes its log before they are answered;
 * after an end of the machine a folder that was just made may not be there either. */
static bool was_deleted(const struct core *c, const char *id)
{
    scoped(string) char *log = xasprintf("%s/%s", c->logs_dir, id);
    return !id_valid(id) || (!c->machine_restarted && access(log, F_OK) != 0);
}

static void add(json_t *list, json_t *context, json_t *snapshot)
{
    json_t *saved = find(snapshot, id_of(context));
    json_t *fresh = json_deep_copy(saved ? saved : context);
    json_object_del(fresh, "reason");
    json_object_del(fresh, "cause");
    insert(list, fresh);
}

json_t *remains_contexts(const struct core *c, json_t *snapshot, json_t *newest, json_t *noted)
{
    json_t *list = json_array(), *left = json_object_get(noted, "contexts"), *one;
    size_t i;
    json_array_foreach(newest ? newest : snapshot, i, one)
    {
        bool known = !newest || find(left, id_of(one)) || !was_deleted(c, id_of(one));
        if (known)
            add(list, one, snapshot);
    }
    json_array_foreach(left, i, one)
    {
        if (!find(list, id_of(one)))
            add(list, one, snapshot);
    }
    return list;
}

const char *remains_reason(json_t *noted)
{
    json_t *one;
    size_t i;
    const char *reason = NULL;
    json_array_foreach(json_object_get(noted, "contexts"), i, one)
    {
        const char *own = json_string_value(json_object_get(one, "reason"));
        if (!own)
            return NULL; /* it lived when its gateway ended */
        reason = reason ? reason : own;
    }
    return reason;
}

static void find_dead(struct sandbox *s, json_t *remains)
{
    struct core *c = s->core;
    json_t *noted = json_object_get(remains, s->id), *one;
    json_t *left = json_object_get(noted, "contexts");
    size_t i;
    scoped(json) json_t *keepsake = keepsake_load(c, s->id);
    json_array_foreach(keepsake_contexts(keepsake), i, one)
    {
        if (!find(left, id_of(one)) && !kernels_any(c, id_of(one)) && !was_deleted(c, id_of(one)))
            context_find_dead(s, one);
    }
    json_array_foreach(left, i, one)
    {
        if (!kernels_any(c, id_of(one)))
            context_find_dead(s, one);
    }
    json_object_del(remains, s->id);
}

void remains_find_dead(struct core *c, json_t *remains)
{
    for (size_t i = 0; i < c->sandbox_count; i++) {
        struct sandbox *s = c->sandboxes[i];
        if (!s->paused && !s->pool && !s->seeding && s->kernel && !s->kernel->pooled)
            find_dead(s, remains);
    }
}
