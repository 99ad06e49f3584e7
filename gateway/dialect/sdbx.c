/* What all routes of sandbox_sdk's dialect do alike: members in both cases, messages, finding. The
 * rows are in sdbx_doc.c, beside what they say of themselves.
 *
 * Invariant: inside the dialect every name of a member is camelCase. */
#include "gateway/dialect/sdbx.h"

#include <stdio.h>
#include <string.h>

#include "gateway/dialect/v1.h"
#include "protocol/ids.h"
#include "protocol/json.h"

/* "template_id" as "templateId"; what has no such underscore stays. */
static void add_camel(struct buffer *out, const char *name)
{
    for (const char *at = name; *at; at++) {
        bool joins = *at == '_' && at > name && at[1] >= 'a' && at[1] <= 'z';
        char letter = joins ? (char)(at[1] - 'a' + 'A') : *at;
        buffer_add(out, &letter, 1);
        at += joins;
    }
}

static void add_snake(struct buffer *out, const char *name)
{
    for (const char *at = name; *at; at++) {
        bool begins = *at >= 'A' && *at <= 'Z';
        char letter = begins ? (char)(*at - 'A' + 'a') : *at;
        buffer_add_text(out, begins ? "_" : "");
        buffer_add(out, &letter, 1);
    }
}

static json_t *in_camel(json_t *body, struct err *e)
{
    scoped(json) json_t *named = json_object();
    const char *name;
    json_t *value;
    json_object_foreach(body, name, value)
    {
        scoped(buffer) struct buffer camel = {0};
        add_camel(&camel, name);
        if (json_object_get(named, buffer_text(&camel))) {
            fail(e, 400, "%.100s: is there twice", buffer_text(&camel));
            return NULL;
        }
        json_object_set(named, buffer_text(&camel), value);
    }
    return take(&named);
}

json_t *sdbx_body(struct exchange *x)
{
    struct err e = {0};
    scoped(json) json_t *body = v1_body_within(x, SDBX_BODY_BYTES);
    json_t *named = body ? in_camel(body, &e) : NULL;
    if (body && !named)
        exchange_fail(x, &e);
    return named;
}

void sdbx_set(json_t *object, const char *name, json_t *value)
{
    scoped(buffer) struct buffer snake = {0};
    add_snake(&snake, name);
    json_object_set(object, name, value);
    json_object_set_new(object, buffer_text(&snake), value);
}

void sdbx_set_time(json_t *object, const char *name, struct timespec at)
{
    char text[TIME_TEXT];
    time_text(at, text);
    sdbx_set(object, name, json_string(text));
}

void sdbx_reply_message(struct exchange *x, int status, const char *text)
{
    exchange_reply_json(x, status, json_pack("{s:s}", "message", text));
}

void sdbx_removed(void *user, const struct err *e)
{
    if (e)
        exchange_fail(user, e);
    else
        sdbx_reply_message(user, 200, "Deleted successfully");
}

struct sandbox *sdbx_sandbox_any(struct exchange *x, struct core *c)
{
    struct err e = {0};
    struct sandbox *s = sandboxes_find_any(c, exchange_principal(x), exchange_param(x, "id"), &e);
    if (!s)
        exchange_fail(x, &e);
    return s;
}

struct sandbox *sdbx_sandbox(struct exchange *x, struct core *c)
{
    struct err e = {0};
    struct sandbox *s = sandboxes_find(c, exchange_principal(x), exchange_param(x, "id"), &e);
    if (!s)
        exchange_fail(x, &e);
    return s;
}

const char *sdbx_language(const char *name)
{
    static const char *const others[][2] = {
        {"python3", "python"}, {"py", "python"},       {"ipython", "python"},
        {"js", "javascript"},  {"node", "javascript"}, {"nodejs", "javascript"},
        {"sh", "bash"},        {"shell", "bash"},
    };
    if (!name || !*name)
        return NULL;
    for (size_t i = 0; i < countof(others); i++)
        if (strcmp(name, others[i][0]) == 0)
            return others[i][1];
    return name;
}

void sdbx_cwd_label(const char *context, char *out)
{
    snprintf(out, LABEL_NAME_LIMIT + 1, SDBX_LABEL "cwd.%s", context);
}
