/* What is told of snapshots. Their lists of names are read from the vault when somebody asks, on
 * another thread, and not kept: code in a sandbox makes them as long as it likes. */
#include "gateway/core/once.h"
#include "gateway/core/snapshot.h"
#include "gateway/core/state.h"
#include "gateway/store/vault.h"
#include "gateway/store/vault_stream.h"
#include "protocol/json.h"

#define GIVE_BACK_MS 1000

/* Adds the files of a head, and gives its bytes. */
static json_int_t add_files(json_t *head, json_t *files, json_t *buffers)
{
    json_int_t bytes = json_integer_value(json_object_get(head, "pickle_bytes"));
    json_t *one;
    size_t i;
    if (head)
        json_array_append(files, json_object_get(head, "pickle"));
    json_array_foreach(json_object_get(head, "buffers"), i, one)
    {
        bytes += json_integer_value(json_object_get(one, "bytes"));
        json_array_append(files, vault_buffer_file(one));
        json_array_append(buffers, one);
    }
    return bytes;
}

static json_t *head_of(json_t *context)
{
    json_t *head = json_object_get(context, "head");
    return json_is_object(head) ? head : NULL;
}

json_t *snapshot_summary(json_t *record)
{
    json_t *files = json_array(), *buffers = json_array(), *one;
    json_int_t bytes = 0;
    size_t i;
    json_array_foreach(json_object_get(record, "contexts"), i, one) bytes +=
        add_files(head_of(one), files, buffers);
    return json_pack("{s:O, s:O, s:O, s:I, s:o, s:o, s:O*}", "id", json_object_get(record, "id"),
                     "created", json_object_get(record, "created"), "why",
                     json_object_get(record, "why"), "bytes", bytes, "files", files, "buffers",
                     buffers, "once", json_object_get(record, "once"));
}

void snapshot_keep_short(json_t *record)
{
    json_t *one;
    size_t i;
    json_array_foreach(json_object_get(record, "contexts"), i, one)
        json_object_del(head_of(one), "variables");
}

static json_t *or_empty(json_t *list)
{
    return list ? json_incref(list) : json_array();
}

static json_t *context_model(json_t *context)
{
    json_t *head = head_of(context);
    return json_pack("{s:O, s:O, s:o, s:I, s:o, s:I, s:O}", "id", json_object_get(context, "id"),
                     "name", json_object_get(context, "name"), "saved",
                     or_empty(json_object_get(head, "variables")), "saved_more",
                     json_integer_value(json_object_get(head, "variables_more")), "not_saved",
                     or_empty(json_object_get(head, "not_saved")), "not_saved_more",
                     json_integer_value(json_object_get(head, "not_saved_more")), "problem",
                     json_object_get(context, "problem"));
}

json_t *snapshot_model(json_t *record)
{
    json_t *contexts = json_array(), *one;
    size_t i;
    scoped(json) json_t *summary = snapshot_summary(record);
    json_array_foreach(json_object_get(record, "contexts"), i, one)
        json_array_append_new(contexts, context_model(one));
    return json_pack("{s:O, s:O, s:O, s:O, s:o}", "id", json_object_get(record, "id"), "created",
                     json_object_get(record, "created"), "why", json_object_get(record, "why"),
                     "bytes", json_object_get(summary, "bytes"), "contexts", contexts);
}

struct listing {
    uv_work_t work;
    struct core *core;
    char *sandbox;
    json_t *ids;
    char *text;
    struct err why;
    void (*done)(void *user, struct bytes list, const struct err *e);
    void *user;
};

/* One that is not there any more was dropped for a newer one meanwhile. */
static void on_work(uv_work_t *work)
{
    struct listing *l = work->data;
    scoped(json) json_t *list = json_array();
    json_t *id;
    size_t i;
    json_array_foreach(l->ids, i, id)
    {
        struct err e;
        scoped(json) json_t *record =
            vault_get(l->core->vault, l->sandbox, json_string_value(id), &e);
        if (record)
            json_array_append_new(list, snapshot_model(record));
        else if (e.status != 404) {
            l->why = e;
            return;
        }
    }
    l->text = json_dumps(list, JSON_COMPACT);
}

static void on_work_done(uv_work_t *work, int status)
{
    struct listing *l = work->data;
    struct core *c = l->core;
    (void)status;
    l->done(l->user, bytes_of(l->text ? l->text : ""), l->text ? NULL : &l->why);
    if (!c->give_back_ms)
        c->give_back_ms = monotonic_ms() + GIVE_BACK_MS;
    json_decref(l->ids);
    free(l->text);
    free(l->sandbox);
    free(l);
    core_handle_closed(c);
}

void sandbox_snapshots_each(const struct sandbox *s,
                            void (*each)(void *user, const char *id, const char *created),
                            void *user)
{
    json_t *one;
    size_t i;
    json_array_foreach(s->snapshots, i, one)
        each(user, json_string_value(json_object_get(one, "id")),
             json_string_value(json_object_get(one, "created")));
}

bool sandbox_snapshot_once(const struct sandbox *s, json_t *once, const char **id, struct err *e)
{
    json_t *one;
    size_t i;
    *id = NULL;
    json_array_foreach(s->snapshots, i, one)
    {
        if (!once_meets(json_object_get(one, "once"), once))
            continue;
        scoped(json) json_t *kept = once_renewed(s->core, json_object_get(one, "once"));
        *id = json_string_value(json_object_get(one, "id"));
        return once_same(kept, once, "snapshot", *id, e);
    }
    return true;
}

void sandbox_snapshots(const struct sandbox *s, json_t *ids,
                       void (*done)(void *user, struct bytes list, const struct err *e), void *user)
{
    struct listing *l = xcalloc(1, sizeof(*l));
    json_t *one;
    size_t i;
    *l = (struct listing){.core = s->core, .sandbox = xstrdup(s->id), .done = done, .user = user};
    l->work.data = l;
    l->ids = json_array();
    json_array_foreach(ids, i, one)
        json_array_append_new(l->ids, json_string(json_string_value(one)));
    s->core->open_handles++;
    uv_queue_work(s->core->loop, &l->work, on_work, on_work_done);
}
