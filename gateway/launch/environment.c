/* Builds kernel environments. Called once for each kernel that is started or adopted; every result
 * is a copy of its own, so that two requests at once can never see each other's. */
#include "gateway/launch/environment.h"

#include <string.h>

#include "protocol/bytes.h"

/* MAX_ARG_STRLEN of execve(2), with the NUL. */
#define VARIABLE_LIMIT_BYTES (128 * 1024)

/* What the gateway was told in confidence, and what would make a child believe it is a service. */
static const char *const secrets[] = {
    "WARMCELL_TOKEN",
    "KG_AUTH_TOKEN",
    "EG_AUTH_TOKEN",
    "JUPYTER_TOKEN",
    "JPY_API_TOKEN",
    "JUPYTERHUB_API_TOKEN",
    "CONFIGPROXY_AUTH_TOKEN",
    "JUPYTER_GATEWAY_AUTH_TOKEN",
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
};

void environment_init(struct environment *env)
{
    env->vars = xcalloc(1, sizeof(*env->vars));
    env->count = 0;
}

void environment_free(struct environment *env)
{
    for (size_t i = 0; i < env->count; i++)
        free(env->vars[i]);
    free(env->vars);
    *env = (struct environment){0};
}

static char **find(const struct environment *env, const char *name, size_t name_len)
{
    for (size_t i = 0; i < env->count; i++)
        if (strncmp(env->vars[i], name, name_len) == 0 && env->vars[i][name_len] == '=')
            return &env->vars[i];
    return NULL;
}

static const char *get(const struct environment *env, const char *name, size_t name_len)
{
    char **var = find(env, name, name_len);
    return var ? *var + name_len + 1 : NULL;
}

const char *environment_get(const struct environment *env, const char *name)
{
    return get(env, name, strlen(name));
}

static void append(struct environment *env, char *var)
{
    env->vars = xrealloc(env->vars, (env->count + 2) * sizeof(*env->vars));
    env->vars[env->count++] = var;
    env->vars[env->count] = NULL;
}

void environment_set(struct environment *env, const char *name, const char *value)
{
    char *var = xasprintf("%s=%s", name, value);
    char **old = find(env, name, strlen(name));
    if (!old) {
        append(env, var);
        return;
    }
    free(*old);
    *old = var;
}

void environment_copy(const struct environment *env, struct environment *out)
{
    environment_init(out);
    for (size_t i = 0; i < env->count; i++)
        append(out, xstrdup(env->vars[i]));
}

static bool is_secret(const char *var)
{
    for (size_t i = 0; i < countof(secrets); i++) {
        size_t len = strlen(secrets[i]);
        if (strncmp(var, secrets[i], len) == 0 && var[len] == '=')
            return true;
    }
    return false;
}

static bool listed(const struct string_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->item[i], name) == 0 || strcmp(list->item[i], "*") == 0)
            return true;
    return false;
}

static void inherit_all(char *const *server, struct environment *out)
{
    for (char *const *var = server; *var; var++)
        if (strchr(*var, '=') && !is_secret(*var))
            append(out, xstrdup(*var));
}

static void inherit_listed(const struct settings_core *settings, char *const *server,
                           struct environment *out)
{
    for (char *const *var = server; *var; var++) {
        const char *equals = strchr(*var, '=');
        if (!equals || is_secret(*var))
            continue;
        scoped(string) char *name = xstrndup(*var, (size_t)(equals - *var));
        if (strcmp(name, "PATH") == 0 || listed(&settings->env_process_whitelist, name))
            append(out, xstrdup(*var));
    }
}

bool environment_check(json_t *asked, struct err *e)
{
    if (!json_is_object(asked))
        return fail(e, 400, "env: must be an object of strings");
    size_t total = 0;
    const char *name;
    json_t *value;
    json_object_foreach(asked, name, value)
    {
        if (!json_is_string(value))
            return fail(e, 400, "env: %.100s: must be a string", name);
        if (name[0] == '\0' || strchr(name, '='))
            return fail(e, 400, "env: a name must not be empty or hold \"=\"");
        if (strlen(json_string_value(value)) != json_string_length(value))
            return fail(e, 400, "env: %.100s: must not hold NUL", name);
        size_t bytes = strlen(name) + json_string_length(value) + 2;
        if (bytes > VARIABLE_LIMIT_BYTES)
            return fail(e, 400,
                        "env: %.100s: larger than %d bytes, which Linux passes to no program", name,
                        VARIABLE_LIMIT_BYTES);
        total += bytes;
    }
    if (total > ENVIRONMENT_LIMIT_BYTES)
        return fail(e, 400, "env: larger than %d bytes", ENVIRONMENT_LIMIT_BYTES);
    return true;
}

bool environment_build(const struct settings_core *settings, char *const *server, json_t *asked,
                       struct environment *out, struct err *e)
{
    if (asked && json_is_null(asked))
        asked = NULL;
    if (asked && !environment_check(asked, e))
        return false;
    environment_init(out);
    if (!asked) {
        inherit_all(server, out);
    } else {
        inherit_listed(settings, server, out);
        const char *name;
        json_t *value;
        json_object_foreach(asked, name, value) if (strncmp(name, "KERNEL_", 7) == 0 ||
                                                    strcmp(name, "WARMCELL_COLD") == 0 ||
                                                    listed(&settings->env_whitelist, name))
            environment_set(out, name, json_string_value(value));
    }
    environment_set(out, "KERNEL_GATEWAY", "1");
    return true;
}

static bool name_char(char c)
{
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Reads "$NAME" or "${NAME}" at text; returns its length, 0 if it is neither. */
static size_t reference_at(const char *text, const char **name, size_t *name_len)
{
    bool braces = text[1] == '{';
    *name = text + 1 + braces;
    *name_len = 0;
    while (name_char((*name)[*name_len]))
        (*name_len)++;
    if (*name_len == 0 || (braces && (*name)[*name_len] != '}'))
        return 0;
    return 1 + *name_len + (braces ? 2 : 0);
}

static void expand(const struct environment *env, const char *text, struct buffer *out)
{
    while (*text) {
        const char *name = NULL;
        size_t name_len = 0, len = *text == '$' ? reference_at(text, &name, &name_len) : 0;
        const char *value = len ? get(env, name, name_len) : NULL;
        if (value) {
            buffer_add_text(out, value);
            text += len;
        } else {
            buffer_add(out, text++, 1);
        }
    }
}

void environment_add_spec(struct environment *env, json_t *spec_env)
{
    const char *name;
    json_t *value;
    json_object_foreach(spec_env, name, value)
    {
        if (!json_is_string(value) || name[0] == '\0' || strchr(name, '='))
            continue;
        scoped(buffer) struct buffer text = {0};
        expand(env, json_string_value(value), &text);
        environment_set(env, name, buffer_text(&text));
    }
}

json_t *environment_json(const struct environment *env)
{
    json_t *object = json_object();
    for (size_t i = 0; i < env->count; i++) {
        const char *equals = strchr(env->vars[i], '=');
        scoped(string) char *name = xstrndup(env->vars[i], (size_t)(equals - env->vars[i]));
        json_object_set_new(object, name, json_string(equals + 1)); /* not UTF-8: left out */
    }
    return object;
}

void environment_from_json(json_t *object, struct environment *out)
{
    environment_init(out);
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) if (json_is_string(value))
        environment_set(out, name, json_string_value(value));
}

json_t *environment_difference(const struct environment *from, const struct environment *to)
{
    json_t *changes = json_object(), *old = environment_json(from), *new = environment_json(to);
    const char *name;
    json_t *value;
    json_object_foreach(new, name, value) if (!json_equal(value, json_object_get(old, name)))
        json_object_set(changes, name, value);
    json_object_foreach(old, name, value) if (!json_object_get(new, name))
        json_object_set_new(changes, name, json_null());
    json_decref(old);
    json_decref(new);
    return changes;
}
