/* The list of sessions. Memory is the truth while the gateway runs. */
#include "gateway/core/session.h"

#include <string.h>

#include "gateway/core/state.h"
#include "gateway/store/session_table.h"
#include "protocol/ids.h"

struct session {
    struct core *core;
    char id[UUID_TEXT];
    char *path, *name, *type;
    struct kernel *kernel;
    struct session *next;
};

struct sessions {
    struct session *first;
};

const char *session_id(const struct session *s)
{
    return s->id;
}

const char *session_path(const struct session *s)
{
    return s->path;
}

const char *session_name(const struct session *s)
{
    return s->name;
}

const char *session_type(const struct session *s)
{
    return s->type;
}

struct kernel *session_kernel(const struct session *s)
{
    return s->kernel;
}

struct session *sessions_find(struct core *c, const struct principal *who, const char *id,
                              struct err *e)
{
    for (struct session *s = c->sessions->first; s; s = s->next)
        if (strcmp(s->id, id) == 0 && kernel_is_for(s->kernel, who))
            return s;
    fail(e, 404, "Session not found: session_id=%.100s", id);
    return NULL;
}

/* An admin sees those of others, too, but two principals may have the same path. */
static bool is_of(const struct session *s, const struct principal *who)
{
    const struct sandbox *in = kernel_sandbox(s->kernel);
    return in ? strcmp(sandbox_owner(in), who->name) == 0 : principal_is_admin(who);
}

struct session *sessions_find_path(struct core *c, const struct principal *who, const char *path)
{
    for (struct session *s = c->sessions->first; s; s = s->next)
        if (strcmp(s->path, path) == 0 && is_of(s, who))
            return s;
    return NULL;
}

void sessions_each(struct core *c, const struct principal *who,
                   void (*each)(void *user, struct session *s), void *user)
{
    for (struct session *s = c->sessions->first; s; s = s->next)
        if (kernel_is_for(s->kernel, who))
            each(user, s);
}

void session_write(const struct session *s, void (*done)(void *user, const struct err *e),
                   void *user)
{
    const struct session_row row = {s->id, s->path, s->name, s->type, s->kernel->id};
    session_table_put(s->core->store, &row, done, user);
}

static struct session *append(struct core *c, const struct session_row *row, struct kernel *k)
{
    struct session *s = xcalloc(1, sizeof(*s));
    s->core = c;
    memcpy(s->id, row->id, UUID_TEXT);
    s->path = xstrdup(row->path);
    s->name = xstrdup(row->name);
    s->type = xstrdup(row->type);
    s->kernel = k;
    struct session **end = &c->sessions->first;
    while (*end)
        end = &(*end)->next;
    *end = s;
    return s;
}

static bool kernel_has_room(const struct core *c, const struct kernel *k, struct err *e)
{
    size_t own = 0;
    for (const struct session *s = c->sessions->first; s; s = s->next)
        own += s->kernel == k;
    return own < SESSIONS_KERNEL_LIMIT ||
           fail(e, 403, "Resource Limit: kernel %s has %d sessions, the most allowed", k->id,
                SESSIONS_KERNEL_LIMIT);
}

bool sessions_have(const struct core *c, const struct kernel *k)
{
    for (const struct session *s = c->sessions->first; s; s = s->next)
        if (s->kernel == k)
            return true;
    return false;
}

bool sessions_allowed(const struct core *c, const struct kernel *k, struct err *e)
{
    size_t all = 0;
    for (const struct session *s = c->sessions->first; s; s = s->next)
        all++;
    if (all >= SESSIONS_LIMIT)
        return fail(e, 403, "Resource Limit: there are %d sessions, the most allowed",
                    SESSIONS_LIMIT);
    return !k || kernel_has_room(c, k, e);
}

struct session *sessions_add(struct core *c, const char *path, const char *name, const char *type,
                             struct kernel *k, struct err *e)
{
    char id[UUID_TEXT];
    if (!sessions_allowed(c, k, e))
        return NULL;
    uuid_make(id);
    return append(c, &(struct session_row){id, path, name, type, k->id}, k);
}

static void change(char **member, const char *value)
{
    if (!value)
        return;
    char *copy = xstrdup(value);
    free(*member);
    *member = copy;
}

bool session_change(struct session *s, const char *path, const char *name, const char *type,
                    struct kernel *k, struct err *e)
{
    if (k && k != s->kernel && !kernel_has_room(s->core, k, e))
        return false;
    change(&s->path, path);
    change(&s->name, name);
    change(&s->type, type);
    if (k)
        s->kernel = k;
    return true;
}

static void session_free(struct session *s)
{
    free(s->path);
    free(s->name);
    free(s->type);
    free(s);
}

static void remove_at(struct session **place)
{
    struct session *s = *place;
    *place = s->next;
    session_table_delete(s->core->store, s->id);
    session_free(s);
}

void session_remove(struct session *s)
{
    struct session **place = &s->core->sessions->first;
    while (*place != s)
        place = &(*place)->next;
    remove_at(place);
}

void sessions_kernel_gone(struct core *c, const char *kernel_id)
{
    struct session **place = &c->sessions->first;
    while (*place)
        if (strcmp((*place)->kernel->id, kernel_id) == 0)
            remove_at(place);
        else
            place = &(*place)->next;
}

struct sessions *sessions_new(void)
{
    return xcalloc(1, sizeof(struct sessions));
}

static void on_loaded(void *user, const struct session_row *row)
{
    struct core *c = user;
    struct kernel *k = kernels_find(c, &principal_gateway, row->kernel_id, NULL);
    if (k && strlen(row->id) == UUID_TEXT - 1)
        append(c, row, k);
    else
        session_table_delete(c->store, row->id);
}

void sessions_load(struct core *c)
{
    session_table_load(c->store, on_loaded, c);
}

void sessions_free(struct sessions *s)
{
    if (!s)
        return;
    while (s->first) {
        struct session *next = s->first->next;
        session_free(s->first);
        s->first = next;
    }
    free(s);
}
