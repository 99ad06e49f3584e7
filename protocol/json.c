/* Bodies that are parsed: at the edge, once, and then read member by member. */
#include "protocol/json.h"

#include <inttypes.h>

json_t *json_parse_object(struct bytes text, const char *what, size_t limit_bytes, struct err *e)
{
    if (text.len > limit_bytes) {
        fail(e, 413, "%s: larger than %zu bytes", what, limit_bytes);
        return NULL;
    }
    /* jansson (2.14) passes over a NUL byte that follows a number. */
    const char *nul = text.len ? memchr(text.data, '\0', text.len) : NULL;
    if (nul) {
        fail(e, 400, "%s: not valid JSON (byte %zu is NUL)", what, (size_t)(nul - text.data));
        return NULL;
    }
    json_error_t at;
    scoped(json) json_t *body =
        json_loadb(text.data ? text.data : "", text.len,
                   JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &at);
    if (!body) {
        fail(e, 400, "%s: not valid JSON (line %d, column %d): %s", what, at.line, at.column,
             at.text);
        return NULL;
    }
    if (!json_is_object(body)) {
        fail(e, 400, "%s: must be an object", what);
        return NULL;
    }
    return take(&body);
}

/* Finds a member; *out stays NULL for one that may be and is absent. */
static bool member(json_t *body, const char *name, enum presence presence, json_t **out,
                   struct err *e)
{
    json_t *value = json_object_get(body, name);
    *out = json_is_null(value) ? NULL : value;
    if (!*out && presence == REQUIRED)
        return fail(e, 400, "%s: is required", name);
    return true;
}

bool field_str(json_t *body, const char *name, enum presence presence, const char **out,
               struct err *e)
{
    json_t *value;
    if (!member(body, name, presence, &value, e))
        return false;
    if (!value)
        return true;
    if (!json_is_string(value))
        return fail(e, 400, "%s: must be a string", name);
    if (strlen(json_string_value(value)) != json_string_length(value))
        return fail(e, 400, "%s: must not contain the NUL character", name);
    *out = json_string_value(value);
    return true;
}

bool field_int(json_t *body, const char *name, enum presence presence, int64_t low, int64_t high,
               int64_t *out, struct err *e)
{
    json_t *value;
    if (!member(body, name, presence, &value, e))
        return false;
    if (!value)
        return true;
    if (!json_is_integer(value))
        return fail(e, 400, "%s: must be an integer", name);
    int64_t number = json_integer_value(value);
    if (number < low || number > high)
        return fail(e, 400, "%s: out of range (%" PRId64 " to %" PRId64 ")", name, low, high);
    *out = number;
    return true;
}

bool field_bool(json_t *body, const char *name, enum presence presence, bool *out, struct err *e)
{
    json_t *value;
    if (!member(body, name, presence, &value, e))
        return false;
    if (!value)
        return true;
    if (!json_is_boolean(value))
        return fail(e, 400, "%s: must be true or false", name);
    *out = json_is_true(value);
    return true;
}

bool field_object(json_t *body, const char *name, enum presence presence, json_t **out,
                  struct err *e)
{
    json_t *value;
    if (!member(body, name, presence, &value, e))
        return false;
    if (!value)
        return true;
    if (!json_is_object(value))
        return fail(e, 400, "%s: must be an object", name);
    *out = value;
    return true;
}
