/* What a session is, read from a sandbox and written to it. */
#include "gateway/dialect/cloud_session.h"

#include <stdio.h>
#include <string.h>

#include "gateway/core/context.h"
#include "gateway/core/snapshot.h"
#include "gateway/dialect/token_asker.h"
#include "protocol/ids.h"
#include "protocol/json.h"
#include "protocol/memory.h"

#define NUMBER_TEXT  24
#define TIME_MOST_MS INT64_C(253402300799000) /* the end of the year 9999 */

static const char *const bindings[] = {
    [CLOUD_UNBOUND] = "unbound",
    [CLOUD_RESUMED] = "resumed",
    [CLOUD_BOUND] = "bound",
    [CLOUD_LONE] = "lone",
};

int64_t cloud_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- reading */

static int64_t number_of(json_t *labels, const char *name, int64_t most)
{
    const char *text = json_string_value(json_object_get(labels, name));
    size_t len = text ? strlen(text) : 0;
    if (!len || len > 18 || strspn(text, "0123456789") != len)
        return 0;
    int64_t number = strtoll(text, NULL, 10);
    return number < most ? number : most;
}

bool cloud_session_read(struct sandbox *s, struct cloud_session *out)
{
    json_t *labels = sandbox_labels(s);
    const char *binding = json_string_value(json_object_get(labels, CLOUD_LABEL "binding"));
    const char *image = json_string_value(json_object_get(labels, CLOUD_LABEL "image"));
    for (size_t i = 0; binding && i < countof(bindings); i++) {
        if (strcmp(bindings[i], binding) != 0)
            continue;
        *out = (struct cloud_session){
            .sandbox = s,
            .binding = (enum cloud_binding)i,
            .image = image ? image : CLOUD_IMAGE,
            .ttl_ms = number_of(labels, CLOUD_LABEL "ttl_ms", CLOUD_TTL_MOST_MS),
            .expires_ms = number_of(labels, CLOUD_LABEL "expires", TIME_MOST_MS),
            .active_us = number_of(labels, CLOUD_LABEL "active", TIME_MOST_MS * 1000),
        };
        return true;
    }
    return false;
}

bool cloud_session_expired(const struct cloud_session *session)
{
    return session->expires_ms <= cloud_now_ms();
}

bool cloud_session_runs(const struct cloud_session *session)
{
    static const char *const still[] = {"pausing", "paused", "resuming"};
    const char *state = sandbox_state_text(session->sandbox);
    for (size_t i = 0; i < countof(still); i++)
        if (strcmp(still[i], state) == 0)
            return false;
    return true;
}

/* Not by its name, which an id of another's could be. */
static bool find(const struct exchange *x, const struct core *c, const char *id,
                 struct cloud_session *out)
{
    struct err none;
    struct sandbox *s = sandboxes_find_any(c, exchange_principal(x), id, &none);
    return s && strcmp(sandbox_id(s), id) == 0 && cloud_session_read(s, out);
}

bool cloud_session_find(const struct exchange *x, const struct core *c, const char *id,
                        struct cloud_session *out, struct err *e)
{
    return (find(x, c, id, out) && out->binding != CLOUD_LONE) ||
           fail(e, 404, "session %.64s does not exist", id);
}

struct sandbox *cloud_sandbox_find(const struct exchange *x, const struct core *c, const char *id,
                                   struct err *e)
{
    struct cloud_session session;
    if (!find(x, c, id, &session) || session.binding == CLOUD_UNBOUND)
        fail(e, 404, "sandbox %.64s does not exist, or was not acquired", id);
    else if (cloud_session_expired(&session))
        fail(e, 410, "session %.64s has expired", id);
    else if (sandbox_is_paused(session.sandbox))
        fail(e, 409, "session %.64s is paused: resume it first", id);
    else
        return sandboxes_find(c, exchange_principal(x), id, e);
    return NULL;
}

/* --- writing */

static void set_number(json_t *labels, const char *name, int64_t number)
{
    char text[NUMBER_TEXT];
    snprintf(text, sizeof(text), "%lld", (long long)number);
    json_object_set_new(labels, name, json_string(text));
}

/* Never the same twice: which of two was changed last is always known. Returns it. */
static int64_t set_binding(json_t *labels, enum cloud_binding binding)
{
    static int64_t last_us;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t now_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
    last_us = now_us > last_us ? now_us : last_us + 1;
    json_object_set_new(labels, CLOUD_LABEL "binding", json_string(bindings[binding]));
    set_number(labels, CLOUD_LABEL "active", last_us);
    return last_us;
}

void cloud_session_labels(json_t *labels, enum cloud_binding binding, const char *image,
                          int64_t ttl_ms)
{
    int64_t now_us = set_binding(labels, binding);
    json_object_set_new(labels, CLOUD_LABEL "image", json_string(image));
    set_number(labels, CLOUD_LABEL "ttl_ms", ttl_ms);
    set_number(labels, CLOUD_LABEL "expires", now_us / 1000 + ttl_ms);
}

void cloud_session_change(const struct cloud_session *session, const struct cloud_change *change,
                          void (*done)(void *user, const struct err *e), void *user)
{
    scoped(json) json_t *labels = json_object(), *limits = NULL;
    int64_t now_ms = set_binding(labels, change->binding) / 1000;
    int64_t life_ms = session->expires_ms - now_ms;
    if (change->renewed) {
        life_ms = session->ttl_ms;
        set_number(labels, CLOUD_LABEL "expires", now_ms + life_ms);
    }
    if (change->renewed || change->paused)
        limits = json_pack("{s:f}", "life_s", (double)(life_ms > 1 ? life_ms : 1) / 1000);
    const struct sandbox_change asked = {.limits = limits, .labels = labels, .soon = true};
    sandbox_change(session->sandbox, &asked, done, user);
}

/* --- the model */

static json_t *time_of(int64_t us)
{
    char text[TIME_TEXT];
    time_text((struct timespec){.tv_sec = (time_t)(us / 1000000), .tv_nsec = us % 1000000 * 1000},
              text);
    return json_string(text);
}

static int64_t us_of(struct timespec at)
{
    return (int64_t)at.tv_sec * 1000000 + at.tv_nsec / 1000;
}

static void take_later(void *user, struct kernel *k)
{
    int64_t *latest_us = user, us = us_of(kernel_last_activity(k));
    if (us > *latest_us)
        *latest_us = us;
}

static const char *status_of(const struct cloud_session *session)
{
    const char *state = sandbox_state_text(session->sandbox);
    if (cloud_session_expired(session))
        return "expired";
    return strcmp(state, "paused") == 0 || strcmp(state, "pausing") == 0 ? "paused" : "active";
}

/* The labels that are the user's own. */
static json_t *metadata_of(const struct sandbox *s)
{
    json_t *metadata = json_copy(sandbox_labels(s)), *value;
    const char *name;
    void *next;
    json_object_foreach_safe(metadata, next, name, value)
    {
        if (strncmp(name, CLOUD_LABEL, strlen(CLOUD_LABEL)) == 0)
            json_object_del(metadata, name);
    }
    return metadata;
}

json_t *cloud_session_model(const struct exchange *x, const struct cloud_session *session)
{
    const struct sandbox *s = session->sandbox;
    const struct limits *limits = sandbox_limits(s);
    int64_t used_us = session->active_us;
    contexts_each(s, take_later, &used_us);
    scoped(string) char *url =
        xasprintf("%s/v1/sandboxes/%s/files", exchange_base_url(x), sandbox_id(s));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:o, s:o, s:o, s:o, s:o}", "id",
                     sandbox_id(s), "user_id", token_asker_user(sandbox_owner(s)), "status",
                     status_of(session), "sandbox_id",
                     session->binding == CLOUD_UNBOUND ? "" : sandbox_id(s), "image",
                     session->image, "cpu_count", (json_int_t)((limits->cpu_millis + 999) / 1000),
                     "memory_mb", (json_int_t)(limits->memory_bytes >> 20), "workspace_url", url,
                     "created_at", time_of(us_of(sandbox_created(s))), "updated_at",
                     time_of(session->active_us), "last_active_at", time_of(used_us), "expires_at",
                     time_of(session->expires_ms * 1000), "metadata", metadata_of(s));
}

/* --- what it says of itself */

const struct doc_field cloud_in_session[] = {
    TEXT("id", "Of a session."),
    {.name = NULL},
};

const struct doc_schema cloud_session_schema = {
    .name = "CloudSession",
    .whole = true,
    .fields = FIELDS(
        TEXT("id", "It is the id of its sandbox, too.", .format = "uuid"),
        TEXT("user_id", "Whose it is."),
        TEXT("status", "An expired one can be deleted, and nothing else.",
             .words = "active paused expired"),
        TEXT("sandbox_id", "Of the sandbox that was acquired for it; empty: none is."),
        TEXT("image", "What was asked for."), INTEGER("cpu_count", "Processors."),
        INTEGER("memory_mb", "Memory, in MiB."),
        TEXT("workspace_url", "Where its files are in the native API."),
        TEXT("created_at", "When it began.", .format = "date-time"),
        TEXT("updated_at", "When it was acquired, paused, resumed or touched last.",
             .format = "date-time"),
        TEXT("last_active_at", "When anything was last done with it.", .format = "date-time"),
        TEXT("expires_at", "When it is over.", .format = "date-time"),
        MAP("metadata", NULL, "The labels of its sandbox.", .items = DOC_TEXT)),
};
