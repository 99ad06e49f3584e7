/* Names and labels: checked as they come in, compared as somebody looks for them. */
#include "gateway/core/naming.h"

#include <string.h>

#include "protocol/ids.h"

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static bool looks_like_id(const char *name)
{
    return strlen(name) == UUID_TEXT - 1 && id_valid(name);
}

bool name_check(const char *name, struct err *e)
{
    size_t len = strlen(name);
    if (len == 0 || len > NAME_LIMIT || !strchr(LETTERS, *name) ||
        strspn(name, LETTERS "._-") != len)
        return fail(e, 400,
                    "name: must be 1 to %d letters, digits and ._-, the first a letter or digit",
                    NAME_LIMIT);
    return !looks_like_id(name) || fail(e, 400, "name: must not look like an id");
}

static bool value_good(json_t *value)
{
    size_t len = json_string_length(value);
    const char *text = json_string_value(value);
    if (!text || len > LABEL_VALUE_LIMIT)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 127)
            return false;
    return true;
}

bool labels_check(json_t *labels, bool nulls, struct err *e)
{
    const char *name;
    json_t *value;
    if (json_object_size(labels) > LABELS_MOST)
        return fail(e, 400, "labels: at most %d", LABELS_MOST);
    json_object_foreach(labels, name, value)
    {
        size_t len = strlen(name);
        if (len == 0 || len > LABEL_NAME_LIMIT || strspn(name, LETTERS "._-/") != len)
            return fail(e, 400, "labels: a name must be 1 to %d letters, digits and ._-/",
                        LABEL_NAME_LIMIT);
        if (!(nulls && json_is_null(value)) && !value_good(value))
            return fail(e, 400,
                        "labels: %s: must be a string of at most %d bytes without control "
                        "characters",
                        name, LABEL_VALUE_LIMIT);
    }
    return true;
}

bool labels_change(json_t *labels, json_t *changes, struct err *e)
{
    const char *name;
    json_t *value;
    json_object_foreach(changes, name, value)
    {
        if (json_is_null(value))
            json_object_del(labels, name);
        else
            json_object_set(labels, name, value);
    }
    return json_object_size(labels) <= LABELS_MOST ||
           fail(e, 400, "labels: at most %d", LABELS_MOST);
}

bool labels_match(json_t *labels, const char *filter)
{
    if (!filter)
        return true;
    const char *equals = strchr(filter, '=');
    size_t len = equals ? (size_t)(equals - filter) : strlen(filter);
    json_t *value = json_object_getn(labels, filter, len);
    return value && (!equals || strcmp(json_string_value(value), equals + 1) == 0);
}
