#include "gateway/cli/language.h"

#include <string.h>

#include "protocol/json.h"

#define PYTHON_EXTENSION ".py" /* that of most: no question is asked for it */

static bool has(const json_t *model, const char *member, const char *value)
{
    const char *text = json_string_value(json_object_get(model, member));
    return text && strcmp(text, value) == 0;
}

/* Of those with kernels. */
static bool of_extension(const struct target *t, const char *extension, char **out, struct err *e)
{
    scoped(json) json_t *answer = call_json(t, "GET", "/v1/languages", NULL, e);
    json_t *one;
    size_t i;
    json_array_foreach(json_object_get(answer, "languages"), i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        if (!*out && name && has(one, "kind", "kernel") && has(one, "file_extension", extension))
            *out = xstrdup(name);
    }
    return answer != NULL;
}

bool cli_language_choose(const struct target *t, const char *told, const struct code *code,
                         const char *file, char **out, struct err *e)
{
    const char *chosen = told ? told : code->language;
    const char *extension = strrchr(file, '.');
    *out = chosen ? xstrdup(chosen) : NULL;
    if (chosen || code->notebook || !extension || strchr(extension, '/') ||
        strcmp(extension, PYTHON_EXTENSION) == 0)
        return true;
    return of_extension(t, extension, out, e);
}

char *cli_language_context(const struct target *t, const char *sandbox, const char *language,
                           struct err *e)
{
    const char *id = NULL;
    json_t *one;
    size_t i;
    scoped(string) char *path = xasprintf("/v1/sandboxes/%s/contexts", sandbox);
    scoped(string) char *listed = xasprintf("%s?limit=1000", path);
    scoped(json) json_t *all = call_list(t, listed, "contexts", e);
    if (!all)
        return NULL;
    json_array_foreach(all, i, one)
    {
        if (has(one, "language", language) && !has(one, "state", "dead") &&
            field_str(one, "id", REQUIRED, &id, e))
            return xstrdup(id);
    }
    scoped(json) json_t *body = json_pack("{s:s}", "language", language);
    scoped(json) json_t *made = body ? call_json(t, "POST", path, body, e) : NULL;
    if (!body)
        fail(e, 400, "the language is not UTF-8");
    return made && field_str(made, "id", REQUIRED, &id, e) ? xstrdup(id) : NULL;
}
