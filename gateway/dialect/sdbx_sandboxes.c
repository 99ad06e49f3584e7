/* /api/sandboxes: create, list, status, delete.
 *
 * A sandbox is {"id", "userId", "name", "templateId", "templateConfig", "status", "createdAt",
 * "updatedAt", "expiresAt", "metadata"}, each name in both cases. "status" is "creating", "ready",
 * "running" (one that was to be started at once, or in which code runs), "stopped" (paused) or
 * "error". */
#include <stdio.h>
#include <string.h>

#include "gateway/core/once.h"
#include "gateway/dialect/sdbx.h"
#include "gateway/dialect/v1.h"
#include "gateway/dialect/v1_page.h"
#include "protocol/json.h"

#define NAME_LABEL      SDBX_LABEL "name"
#define TEMPLATE_LABEL  SDBX_LABEL "template"
#define STARTED_LABEL   SDBX_LABEL "started"
#define METADATA_LABEL  SDBX_LABEL "metadata.%zu"
#define METADATA_PIECES 20 /* of LABELS_MOST: contexts have theirs, too */
#define EXPIRY_MOST_MS  (INT64_C(366) * 24 * 3600 * 1000)

/* --- the model */

static const char *label(const struct sandbox *s, const char *name)
{
    return json_string_value(json_object_get(sandbox_labels(s), name));
}

static json_t *metadata_of(const struct sandbox *s)
{
    scoped(buffer) struct buffer text = {0};
    for (size_t i = 0; i < METADATA_PIECES; i++) {
        char name[LABEL_NAME_LIMIT];
        snprintf(name, sizeof name, METADATA_LABEL, i);
        const char *piece = label(s, name);
        buffer_add_text(&text, piece ? piece : "");
    }
    json_t *metadata = json_loadb(text.data ? text.data : "", text.len, JSON_ALLOW_NUL, NULL);
    return metadata ? metadata : json_null();
}

static void find_busy(void *user, struct kernel *k)
{
    bool *busy = user;
    *busy = *busy || strcmp(kernel_state_text(k), "busy") == 0;
}

static const char *status_of(const struct sandbox *s)
{
    static const struct {
        const char *state, *status;
    } words[] = {
        {"starting", "creating"}, {"resuming", "creating"}, {"failed", "error"},
        {"pausing", "stopped"},   {"paused", "stopped"},
    };
    bool running = label(s, STARTED_LABEL) != NULL;
    for (size_t i = 0; i < countof(words); i++)
        if (strcmp(words[i].state, sandbox_state_text(s)) == 0)
            return words[i].status;
    if (!running)
        contexts_each(s, find_busy, &running);
    return running ? "running" : "ready";
}

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static json_t *template_config(const struct core *c, const struct principal *who,
                               const struct sandbox *s)
{
    const char *id = json_string_value(json_object_get(sandbox_template(s), "id"));
    const struct template *t = id ? templates_find(c, who, id, NULL) : NULL;
    return sdbx_template_config(t, sandbox_language(s));
}

static json_t *model(const struct core *c, const struct principal *who, const struct sandbox *s)
{
    const char *asked = label(s, TEMPLATE_LABEL);
    const char *named = json_string_value(json_object_get(sandbox_template(s), "name"));
    struct timespec created = sandbox_created(s);
    int64_t life_ms = sandbox_limits(s)->life_ms;
    json_t *m = json_pack("{s:s, s:s, s:o, s:o}", "id", sandbox_id(s), "status", status_of(s),
                          "name", text_or_null(label(s, NAME_LABEL)), "metadata", metadata_of(s));
    sdbx_set(m, "userId", json_string(sandbox_owner(s)));
    sdbx_set(m, "templateId", json_string(asked ? asked : named ? named : sdbx_template_usual));
    sdbx_set(m, "templateConfig", template_config(c, who, s));
    sdbx_set_time(m, "createdAt", created);
    sdbx_set_time(m, "updatedAt", created);
    created.tv_sec += life_ms / 1000;
    if (life_ms)
        sdbx_set_time(m, "expiresAt", created);
    else
        sdbx_set(m, "expiresAt", json_null());
    return m;
}

/* --- create */

struct creating {
    struct exchange *x;
    struct core *core;
};

/* What the client showed as its key, which it is told again; NULL: it showed none. */
static const char *shown_key(const struct exchange *x)
{
    const char *header = exchange_header(x, "authorization");
    return header && strncasecmp(header, "bearer ", 7) == 0 ? header + 7 : NULL;
}

static void on_created(void *user, struct sandbox *s, const struct err *e)
{
    struct creating *c = user;
    if (!s) {
        exchange_fail(c->x, e);
    } else {
        json_t *credentials = json_object();
        sdbx_set(credentials, "apiKey", text_or_null(shown_key(c->x)));
        exchange_add_header(c->x, "Cache-Control", "no-store");
        exchange_made(c->x, sandbox_id(s));
        exchange_reply_json(c->x, 201,
                            json_pack("{s:o, s:o}", "sandbox",
                                      model(c->core, exchange_principal(c->x), s), "credentials",
                                      credentials));
    }
    free(c);
}

static bool add_metadata(json_t *metadata, json_t *labels, struct err *e)
{
    scoped(string) char *text = json_dumps(metadata, JSON_COMPACT | JSON_ENSURE_ASCII);
    size_t len = strlen(text);
    if (len > METADATA_PIECES * LABEL_VALUE_LIMIT)
        return fail(e, 400, "metadata: must be at most %d bytes as JSON",
                    METADATA_PIECES * LABEL_VALUE_LIMIT);
    for (size_t i = 0; i * LABEL_VALUE_LIMIT < len; i++) {
        char name[LABEL_NAME_LIMIT];
        size_t left = len - i * LABEL_VALUE_LIMIT;
        snprintf(name, sizeof name, METADATA_LABEL, i);
        json_object_set_new(labels, name,
                            json_stringn(text + i * LABEL_VALUE_LIMIT,
                                         left < LABEL_VALUE_LIMIT ? left : LABEL_VALUE_LIMIT));
    }
    return true;
}

static bool read_labels(json_t *body, const char *template, json_t *labels, struct err *e)
{
    const char *name = NULL;
    json_t *metadata = NULL;
    bool starts = false;
    if (!field_str(body, "name", OPTIONAL, &name, e) ||
        !field_bool(body, "autoStart", OPTIONAL, &starts, e) ||
        !field_object(body, "metadata", OPTIONAL, &metadata, e))
        return false;
    if (name && strlen(name) > LABEL_VALUE_LIMIT)
        return fail(e, 400, "name: must be at most %d bytes long", LABEL_VALUE_LIMIT);
    json_object_set_new(labels, TEMPLATE_LABEL, json_string(template));
    if (name)
        json_object_set_new(labels, NAME_LABEL, json_string(name));
    if (starts)
        json_object_set_new(labels, STARTED_LABEL, json_string("1"));
    return !metadata || add_metadata(metadata, labels, e);
}

/* One's own go before the names that are known for the usual one. */
static bool read_template(const struct exchange *x, const struct core *c, json_t *body,
                          struct sandbox_request *r, const char **name, struct err *e)
{
    struct err why;
    if (!field_str(body, "templateId", REQUIRED, name, e))
        return false;
    if (templates_find(c, exchange_principal(x), *name, &why))
        r->template = *name;
    else if (strcmp(sdbx_language(*name) ? sdbx_language(*name) : "", "javascript") == 0)
        json_object_set_new(r->body, "language", json_string("javascript"));
    else if (!sdbx_template_is_usual(*name))
        return fail(e, 404, "there is no template %.100s; the usual one is %s", *name,
                    sdbx_template_usual);
    return true;
}

static bool read_limits(json_t *body, json_t *limits, struct err *e)
{
    int64_t expiry_ms = 0;
    if (!field_int(body, "expiryTime", OPTIONAL, 1000, EXPIRY_MOST_MS, &expiry_ms, e))
        return false;
    if (expiry_ms)
        json_object_set_new(limits, "life_s", json_real((double)expiry_ms / 1000));
    return true;
}

void sdbx_sandboxes_create(struct exchange *x, void *core)
{
    struct err e = {0};
    const char *template = NULL;
    scoped(json) json_t *body = sdbx_body(x);
    scoped(json) json_t *labels = json_object(), *limits = json_object(), *none = json_object();
    struct sandbox_request r = {.labels = labels, .limits = limits, .body = none};
    if (!body)
        return;
    if (read_template(x, core, body, &r, &template, &e) &&
        read_labels(body, template, labels, &e) && read_limits(body, limits, &e) &&
        field_object(body, "initialEnvVars", OPTIONAL, &r.env, &e) &&
        v1_once(x, core, &r.once, &e)) {
        struct creating *c = xmalloc(sizeof *c);
        *c = (struct creating){x, core};
        sandboxes_make(core, exchange_principal(x), &r, on_created, c);
    } else {
        exchange_fail(x, &e);
    }
    json_decref(r.once);
}

/* --- the others */

struct listing {
    struct page page;
    const char *owner;
};

static void add_to_list(void *user, struct sandbox *s)
{
    struct listing *l = user;
    if (strcmp(sandbox_owner(s), l->owner) == 0)
        page_add(&l->page, sandbox_created(s), sandbox_id(s), s);
}

/* Those of the caller, an administrator's too. There are no pages in this API. */
void sdbx_sandboxes_list(struct exchange *x, void *core)
{
    json_t *models = json_array();
    const struct principal *who = exchange_principal(x);
    struct listing l = {.page = {.limit = INT64_MAX}, .owner = who->name};
    sandboxes_each(core, who, add_to_list, &l);
    page_cut(&l.page);
    for (size_t i = 0; i < l.page.count; i++)
        json_array_append_new(models, model(core, who, l.page.items[i].object));
    exchange_reply_json(x, 200, json_pack("{s:o}", "sandboxes", models));
    page_free(&l.page);
}

void sdbx_sandbox_status(struct exchange *x, void *core)
{
    const struct sandbox *s = sdbx_sandbox_any(x, core);
    if (s)
        exchange_reply_json(x, 200, json_pack("{s:s}", "status", status_of(s)));
}

void sdbx_sandbox_delete(struct exchange *x, void *core)
{
    struct sandbox *s = sdbx_sandbox_any(x, core);
    if (s)
        sandbox_remove(s, "the sandbox was deleted", sdbx_removed, x);
}
