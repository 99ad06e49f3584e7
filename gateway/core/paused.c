/* Sandboxes that have no process: found in the vault as the gateway starts, and by the ids of their
 * contexts afterwards.
 *
 * Called after the kernels that live were found: what has no kernel is paused, whoever ended it. A
 * sandbox ends when somebody deletes it, and not otherwise. */
#include <string.h>

#include "gateway/core/journal.h"
#include "gateway/core/keepsake.h"
#include "gateway/core/remains.h"
#include "gateway/core/state.h"
#include "gateway/log.h"
#include "gateway/store/store.h"
#include "gateway/store/vault.h"
#include "protocol/ids.h"
#include "protocol/json.h"

#define CODE_PAUSED 1013

struct sandbox *paused_holding(const struct core *c, const char *kernel)
{
    for (size_t i = 0; i < c->sandbox_count; i++) {
        json_t *one;
        size_t at;
        json_array_foreach(sandbox_paused_contexts(c->sandboxes[i]), at, one)
        {
            const char *id = json_string_value(json_object_get(one, "id"));
            if (id && strcmp(id, kernel) == 0)
                return c->sandboxes[i];
        }
    }
    return NULL;
}

void paused_remove_logs(const struct sandbox *s)
{
    json_t *one;
    size_t i;
    json_array_foreach(sandbox_paused_contexts(s), i, one)
    {
        const char *id = json_string_value(json_object_get(one, "id"));
        scoped(string) char *path = xasprintf("%s/%s", s->core->logs_dir, id);
        scoped(string) char *left = xasprintf("%s/%s", s->core->kernels_dir, id);
        if (!id_valid(id))
            continue;
        journal_remove(path);
        if (!kernels_any(s->core, id)) /* what its keepsake could not be written of at the start */
            journal_remove(left);
    }
    sync_path(store_sync(s->core->store), s->core->logs_dir);
}

struct loading {
    struct core *core;
    const char *sandbox;
    json_t *records; /* of one sandbox */
};

static void read_record(void *user, const char *name)
{
    struct loading *l = user;
    struct err e;
    if (strcmp(name, "state") == 0)
        return;
    json_t *record = vault_get(l->core->vault, l->sandbox, name, &e);
    if (record)
        json_array_append_new(l->records, record);
    else
        log_warn("a snapshot cannot be used", F_STR("sandbox", l->sandbox), F_STR("why", e.text));
}

static const char *created(json_t *record)
{
    const char *text = json_string_value(json_object_get(record, "created"));
    return text ? text : "";
}

/* Oldest first, at most that of the state; one that the state does not name yet was not
 * acknowledged. Gives that of the state, borrowed. */
static json_t *order(json_t *records, const char *last, json_t *summaries)
{
    while (json_array_size(records)) {
        size_t first = 0;
        for (size_t i = 1; i < json_array_size(records); i++)
            if (strcmp(created(json_array_get(records, i)),
                       created(json_array_get(records, first))) < 0)
                first = i;
        json_t *record = json_array_get(records, first);
        const char *id = json_string_value(json_object_get(record, "id"));
        json_object_del(json_array_get(summaries, json_array_size(summaries) - 1), "buffers");
        json_array_append_new(summaries, snapshot_summary(record));
        if (id && strcmp(id, last) == 0)
            return record;
        json_array_remove(records, first);
    }
    return NULL;
}

/* What ended its processes: as its contexts said, or it was known before. */
static void take_end(struct sandbox *s, json_t *noted, json_t *keepsake)
{
    const char *reason = remains_reason(noted);
    if (!reason)
        reason = json_string_value(json_object_get(keepsake, "reason"));
    if (!reason)
        reason = s->core->machine_restarted ? "the machine ended" : "no gateway was there";
    s->ended_by = xstrdup(reason);
}

static void be_paused(struct sandbox *s, json_t *record)
{
    s->paused = json_incref(record);
    snapshot_keep_short(record);
    s->halted = true;
}

static void be_paused_as_asked(struct sandbox *s, json_t *record)
{
    const char *reason = json_string_value(json_object_get(record, "reason"));
    be_paused(s, record);
    s->paused_reason = reason ? xstrdup(reason) : NULL;
}

/* Its contexts are those that there were last, with the variables that the snapshot has of them. */
static void be_as_snapshot(struct sandbox *s, json_t *record, json_t *noted, json_t *keepsake)
{
    json_t *contexts = remains_contexts(s->core, json_object_get(record, "contexts"),
                                        keepsake_contexts(keepsake), noted);
    if (json_array_size(contexts))
        json_object_set(record, "contexts", contexts);
    json_decref(contexts);
    be_paused(s, record);
    take_end(s, noted, keepsake);
    s->paused_reason = xasprintf("its processes ended without it being paused (%s); its state is "
                                 "that of snapshot %s of %s",
                                 s->ended_by, sandbox_last_snapshot(s), created(record));
    log_warn("a sandbox is as its last snapshot", F_STR("sandbox", s->id));
}

/* One that was on its way as its gateway was killed is ended: nobody was told of it. */
static bool has_taker(const struct sandbox *s)
{
    for (const struct kernel *k = s->kernel; k; k = k->sibling)
        if (!k->handing)
            return true;
    return false;
}

/* What it is, from the newest that says so. */
static struct sandbox *revive(struct core *c, const char *id, json_t *noted, json_t *keepsake,
                              json_t *record)
{
    json_t *words = json_object_get(noted, "sandbox");
    if (!words)
        words = keepsake_words(keepsake);
    return sandbox_revive(c, id, words ? words : json_object_get(record, "sandbox"));
}

/* All is loaded at the start, each with what is noted in remains. */
struct all {
    struct core *core;
    json_t *remains;
};

/* It is paused: that goes to the disk before what is noted of it is cleared away. */
static void settle(struct all *all, struct sandbox *s)
{
    if (json_object_get(all->remains, s->id) && keepsake_write_now(s))
        json_object_del(all->remains, s->id);
}

static void take_up(struct all *all, const char *id, json_t *state, json_t *record,
                    json_t *summaries)
{
    struct core *c = all->core;
    bool asked = json_is_true(json_object_get(state, "paused"));
    struct sandbox *s = sandbox_known(c, id);
    bool lives = s && has_taker(s);
    bool revived = !s;
    json_t *noted = json_object_get(all->remains, id);
    scoped(json) json_t *keepsake = lives ? NULL : keepsake_load(c, id);
    if (revived)
        s = revive(c, id, noted, keepsake, record);
    s->seeding = false; /* it was a fork, and is whole */
    json_decref(s->snapshots);
    s->snapshots = json_incref(summaries);
    if (lives && !asked)
        return;
    if (asked)
        be_paused_as_asked(s, record);
    else
        be_as_snapshot(s, record, noted, keepsake);
    if (revived && keepsake)
        keepsake_is_known(s, keepsake);
    settle(all, s);
    if (lives) /* its gateway was killed between the record and the end of its processes */
        sandbox_end_contexts(s, CODE_PAUSED, "the sandbox is paused");
}

static void load_one(void *user, const char *id)
{
    struct all *all = user;
    struct core *c = all->core;
    struct err e;
    if (!id_valid(id))
        return;
    scoped(json) json_t *records = json_array(), *summaries = json_array();
    scoped(json) json_t *state = vault_get(c->vault, id, "state", &e);
    const char *last = json_string_value(json_object_get(state, "snapshot"));
    bool making = json_is_true(json_object_get(state, "making"));
    if (making || (!state && e.status == 404)) { /* its first snapshot was not finished */
        vault_remove(c->vault, id);
        return;
    }
    struct loading l = {c, id, records};
    vault_records(c->vault, id, read_record, &l);
    json_t *record = last ? order(records, last, summaries) : NULL;
    if (record) {
        take_up(all, id, state, record, summaries);
        return;
    }
    c->unread = true;
    log_error("a sandbox cannot be resumed", F_STR("sandbox", id),
              F_STR("why", state ? "its last snapshot cannot be read" : e.text));
}

/* It never had a snapshot. */
static void take_up_anew(void *user, const char *id)
{
    struct all *all = user;
    struct core *c = all->core;
    struct sandbox *s = sandbox_known(c, id);
    if (!id_valid(id) || (s && (s->paused || has_taker(s))) || vault_holds(c->vault, id))
        return;
    json_t *noted = json_object_get(all->remains, id);
    scoped(json) json_t *keepsake = keepsake_load_anew(c, id);
    if (!keepsake && !noted)
        return;
    json_t *contexts = remains_contexts(c, NULL, json_object_get(keepsake, "contexts"), noted);
    scoped(json) json_t *record = json_pack("{s:n, s:o}", "id", "contexts", contexts);
    if (json_array_size(contexts) == 0) { /* it was being deleted */
        vault_drop(c->vault, KEEPSAKES, id);
        return;
    }
    if (!s)
        s = revive(c, id, noted, keepsake, keepsake);
    be_paused(s, record);
    take_end(s, noted, keepsake);
    if (keepsake)
        keepsake_is_known(s, keepsake);
    s->paused_reason = xasprintf("its processes ended (%s), and it has no snapshot: its workspace "
                                 "is as it was, its contexts begin anew",
                                 s->ended_by);
    settle(all, s); /* id may be what it takes out */
    log_warn("a sandbox has its workspace alone", F_STR("sandbox", s->id));
}

void paused_load(struct core *c, json_t *remains)
{
    struct all all = {c, remains};
    const char *id;
    json_t *noted;
    void *next;
    vault_each(c->vault, load_one, &all);
    vault_records(c->vault, KEEPSAKES, take_up_anew, &all);
    json_object_foreach_safe(remains, next, id, noted) /* which no keepsake was written of yet */
        take_up_anew(&all, id);
}
