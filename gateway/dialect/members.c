/* Called where a body of the native API is read, before anything is done.
 *
 * Invariant: a member is refused if and only if the schema, which /openapi.json is made of, does
 * not have it. */
#include "gateway/dialect/members.h"

#include <string.h>

#include "protocol/bytes.h"
#include "protocol/memory.h"

#define NAME_MOST 40 /* bytes: a longer one comes near to nothing */

static const struct doc_field *field_of(const struct doc_schema *s, const char *name)
{
    for (const struct doc_field *f = s->fields; f && f->name; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

static char lower(char letter)
{
    return (char)(letter >= 'A' && letter <= 'Z' ? letter - 'A' + 'a' : letter);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many letters are to be put in, taken out or changed (Levenshtein), in whatever case. */
static size_t distance(const char *from, const char *to)
{
    size_t row[NAME_MOST + 1], len = strlen(to);
    for (size_t j = 0; j <= len; j++)
        row[j] = j;
    for (size_t i = 0; from[i]; i++) {
        size_t before = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < len; j++) {
            size_t changed = before + (lower(from[i]) != lower(to[j]));
            before = row[j + 1];
            row[j + 1] = least(changed, least(row[j], before) + 1);
        }
    }
    return row[len];
}

static const char *nearest(const struct doc_schema *s, const char *name)
{
    const char *found = NULL;
    size_t most = 1 + strlen(name) / 4;
    if (strlen(name) > NAME_MOST)
        return NULL;
    for (const struct doc_field *f = s->fields; f && f->name; f++) {
        size_t far = strlen(f->name) > NAME_MOST ? SIZE_MAX : distance(name, f->name);
        if (far > most || (found && far == most))
            continue;
        most = far;
        found = f->name;
    }
    return found;
}

/* Whether the name is one of the words. */
static bool among(const char *words, const char *name)
{
    for (size_t len; words && *words; words += len) {
        words += strspn(words, " ");
        len = strcspn(words, " ");
        if (len && strlen(name) == len && memcmp(words, name, len) == 0)
            return true;
    }
    return false;
}

static bool refuse(const struct doc_schema *s, const char *name, struct err *e)
{
    const char *near = nearest(s, name);
    scoped(buffer) struct buffer all = {0};
    if (among(s->elsewhere, name))
        return fail(e, 400, "%s: %s", name, s->elsewhere_why);
    if (near)
        return fail(e, 400, "%.40s: there is no such member; did you mean %s?", name, near);
    for (const struct doc_field *f = s->fields; f && f->name; f++)
        buffer_printf(&all, "%s%s", f == s->fields ? "" : ", ", f->name);
    return fail(e, 400, "%.40s: there is no such member; there are: %s", name, buffer_text(&all));
}

static bool check_list(const struct doc_field *f, json_t *list, struct err *e)
{
    struct err wrong;
    json_t *item;
    size_t i;
    json_array_foreach(list, i, item) if (!members_check(item, f->of, &wrong)) return fail(
        e, 400, "%s[%zu]: %s", f->name, i, wrong.text);
    return true;
}

static bool check_value(const struct doc_field *f, json_t *value, struct err *e)
{
    struct err wrong;
    if (!f->of)
        return true;
    if (f->type == DOC_LIST)
        return check_list(f, value, e);
    return f->type != DOC_OBJECT || members_check(value, f->of, &wrong) ||
           fail(e, 400, "%s.%s", f->name, wrong.text);
}

bool members_check(json_t *object, const struct doc_schema *s, struct err *e)
{
    const char *name;
    json_t *value;
    if (!s->closed)
        return true;
    json_object_foreach(object, name, value)
    {
        const struct doc_field *f = field_of(s, name);
        if (!f)
            return refuse(s, name, e);
        if (!check_value(f, value, e))
            return false;
    }
    return true;
}
