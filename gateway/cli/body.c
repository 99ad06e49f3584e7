/* Options that become members of a request. What the gateway must say of them it says itself. */
#include "gateway/cli/body.h"

#include <stdio.h>
#include <string.h>

#include "gateway/cli/cli.h"
#include "protocol/bytes.h"
#include "protocol/json.h"
#include "protocol/memory.h"

#define BODY_LIMIT_BYTES (8 * 1024 * 1024)

json_t *body_from(const char *path, struct err *e)
{
    if (!path)
        return json_object();
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (!file) {
        fail_errno(e, CLI_USAGE, "--from: %s cannot be read", path);
        return NULL;
    }
    scoped(buffer) struct buffer text = {0};
    text.len = fread(buffer_reserve(&text, BODY_LIMIT_BYTES + 1), 1, BODY_LIMIT_BYTES + 1, file);
    if (file != stdin)
        fclose(file);
    json_t *body = json_parse_object(buffer_view(&text), path, BODY_LIMIT_BYTES, e);
    if (!body)
        e->status = CLI_USAGE;
    return body;
}

bool body_text(json_t *body, const char *member, const char *text, struct err *e)
{
    return !text || json_object_set_new(body, member, json_string(text)) == 0 ||
           fail(e, CLI_USAGE, "%s: %.80s is not UTF-8", member, text);
}

/* The member, which is an object from now on; NULL: the list is empty. */
static json_t *object_for(json_t *body, const char *member, const struct string_list *list)
{
    if (!list->count)
        return NULL;
    if (!json_is_object(json_object_get(body, member)))
        json_object_set_new(body, member, json_object());
    return json_object_get(body, member);
}

static bool put(json_t *object, struct bytes name, json_t *value, const char *text, struct err *e)
{
    scoped(string) char *key = xstrndup(name.data, name.len);
    return json_object_set_new(object, key, value) == 0 ||
           fail(e, CLI_USAGE, "%.80s is not UTF-8", text);
}

/* "cpus=1.5" */
static bool add_limit(json_t *limits, const char *text, struct err *e)
{
    const char *equals = strchr(text, '=');
    json_t *value =
        equals ? json_loads(equals + 1, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (!equals || equals == text || !json_is_number(value)) {
        json_decref(value);
        return fail(e, CLI_USAGE, "--limits: %.80s is not NAME=NUMBER", text);
    }
    return put(limits, (struct bytes){text, (size_t)(equals - text)}, value, text, e);
}

bool body_limits(json_t *body, const struct string_list *limits, struct err *e)
{
    json_t *object = object_for(body, "limits", limits);
    for (size_t i = 0; i < limits->count; i++)
        if (!add_limit(object, limits->item[i], e))
            return false;
    return true;
}

bool body_pairs(json_t *body, const char *member, const char *option,
                const struct string_list *pairs, struct err *e)
{
    json_t *object = object_for(body, member, pairs);
    for (size_t i = 0; i < pairs->count; i++) {
        const char *text = pairs->item[i];
        size_t len = strcspn(text, "=");
        if (len == 0)
            return fail(e, CLI_USAGE, "--%s: %.80s is not NAME=TEXT", option, text);
        if (!put(object, (struct bytes){text, len}, json_string(text + len + (text[len] == '=')),
                 text, e))
            return false;
    }
    return true;
}

bool body_network(json_t *body, const char *word, const struct string_list *allow, struct err *e)
{
    if (!allow->count)
        return body_text(body, "network", word, e);
    json_t *hosts = json_array();
    for (size_t i = 0; i < allow->count; i++)
        json_array_append_new(hosts, json_string(allow->item[i]));
    json_object_set_new(body, "network", json_pack("{s:o}", "allow", hosts));
    return true;
}
