/* What a template, or a request that is one without a name, may say: each member is checked, and
 * put down as it will be used. */
#include <string.h>

#include "gateway/core/bundle.h"
#include "gateway/core/requirement.h"
#include "gateway/core/state.h"
#include "gateway/core/template_state.h"
#include "gateway/files/path.h"
#include "gateway/launch/environment.h"
#include "protocol/json.h"

#define MODULE_LIMIT  128 /* bytes of a name */
#define PATH_LIMIT    512 /* bytes of a file's path */
#define MODE_MOST     0777
#define MODE_DEFAULT  0644
#define SPEC_LIMIT    (256 * 1024) /* bytes of all that is kept in memory */
#define LETTERS       "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
#define MODULE_LETTER LETTERS "0123456789."

static bool read_language(json_t *body, json_t *spec, struct err *e)
{
    const char *language = NULL, *about = NULL;
    if (!field_str(body, "language", OPTIONAL, &language, e) ||
        !field_str(body, "description", OPTIONAL, &about, e))
        return false;
    const struct language *found = language ? language_find(language, e) : NULL;
    if (language && (!found || !language_check(found, e)))
        return false;
    if (about && strlen(about) > TEMPLATE_ABOUT_LIMIT)
        return fail(e, 400, "description: must be at most %d bytes long", TEMPLATE_ABOUT_LIMIT);
    if (about)
        json_object_set_new(spec, "description", json_string(about));
    if (found)
        json_object_set_new(spec, "language", json_string(found->name));
    return true;
}

static bool module_good(json_t *item)
{
    const char *name = json_string_value(item);
    size_t len = json_string_length(item);
    return name && len > 0 && len <= MODULE_LIMIT && strspn(name, MODULE_LETTER) == len &&
           strchr(LETTERS, *name) && !strstr(name, "..") && name[len - 1] != '.';
}

static bool read_preload(json_t *body, json_t *spec, struct err *e)
{
    json_t *list = json_object_get(body, "preload"), *item;
    size_t i;
    if (!list || json_is_null(list))
        return true;
    if (!json_is_array(list) || json_array_size(list) > TEMPLATE_MODULES_MOST)
        return fail(e, 400, "preload: must be a list of at most %d modules", TEMPLATE_MODULES_MOST);
    json_array_foreach(list, i, item) if (!module_good(item)) return fail(
        e, 400, "preload: must be names of modules, as \"matplotlib.pyplot\"");
    json_object_set(spec, "preload", list);
    return true;
}

static bool read_network(json_t *body, json_t *spec, struct err *e)
{
    json_t *network = json_object_get(body, "network");
    if (!network || json_is_null(network))
        return true;
    if (!sandbox_check_network(network, e))
        return false;
    json_object_set(spec, "network", network);
    return true;
}

static bool read_limits(const struct core *c, json_t *body, json_t *spec, struct err *e)
{
    json_t *env = NULL, *limits = NULL;
    struct limits all = limits_default;
    if (!field_object(body, "env", OPTIONAL, &env, e) ||
        !field_object(body, "limits", OPTIONAL, &limits, e) ||
        (env && !environment_check(env, e)) || !sandbox_read_limits(c, limits, &all, e))
        return false;
    if (env)
        json_object_set(spec, "env", env);
    if (limits)
        json_object_set(spec, "limits", limits);
    return true;
}

static bool read_packages(json_t *body, json_t *spec, struct err *e)
{
    json_t *packages = json_object_get(body, "packages");
    if (!packages || json_is_null(packages))
        return true;
    bool none = json_is_array(packages) && json_array_size(packages) == 0;
    if (!none && !requirements_check(packages, e))
        return false;
    json_object_set(spec, "packages", packages);
    return true;
}

/* Put down whole: {"min", "max"}. */
static bool read_pool(const struct core *c, json_t *body, json_t *spec, struct err *e)
{
    static const char *const names[] = {"min", "max"};
    json_t *pool = NULL;
    int64_t most = c->settings->core.pool_max, bounds[] = {0, most};
    if (!field_object(body, "pool", OPTIONAL, &pool, e))
        return false;
    if (!pool)
        return true;
    for (size_t i = 0; i < countof(names); i++) {
        json_t *value = json_object_get(pool, names[i]);
        bounds[i] = value ? json_integer_value(value) : bounds[i];
        if (value && (!json_is_integer(value) || bounds[i] < 0 || bounds[i] > most))
            return fail(e, 400, "pool.%s: must be 0 to %lld, as --pool-max allows", names[i],
                        (long long)most);
    }
    if (bounds[0] > bounds[1])
        return fail(e, 400, "pool.min: must not be above pool.max");
    json_object_set_new(
        spec, "pool",
        json_pack("{s:I, s:I}", names[0], (json_int_t)bounds[0], names[1], (json_int_t)bounds[1]));
    return true;
}

/* --- files */

bool template_file_bytes(json_t *file, struct buffer *out)
{
    json_t *text = json_object_get(file, "text"), *coded = json_object_get(file, "base64");
    struct base64 state = {0};
    if (text) {
        buffer_add(out, json_string_value(text), json_string_length(text));
        return true;
    }
    return base64_decode(
               &state, (struct bytes){json_string_value(coded), json_string_length(coded)}, out) &&
           base64_whole(&state);
}

static bool check_members(json_t *file, const char *path, struct err *e)
{
    const char *name;
    json_t *value;
    json_object_foreach(file, name, value)
    {
        if (strcmp(name, "text") != 0 && strcmp(name, "base64") != 0 && strcmp(name, "mode") != 0)
            return fail(e, 400, "files: %.200s: %.40s: a file has text or base64, and mode", path,
                        name);
    }
    return true;
}

static bool read_mode(json_t *value, const char *path, int *mode, struct err *e)
{
    const char *text = NULL;
    if (!field_str(value, "mode", OPTIONAL, &text, e))
        return false;
    if (!text)
        return true;
    size_t len = strlen(text);
    *mode = len && len < 5 && strspn(text, "01234567") == len ? (int)strtol(text, NULL, 8) : -1;
    return (*mode >= 0 && *mode <= MODE_MOST) ||
           fail(e, 400, "files: %s: mode must be octal, as \"644\"", path);
}

/* {"path", "mode", "text" or "base64"}; given; NULL: 400. */
static json_t *read_file(const char *name, json_t *value, size_t *bytes, struct err *e)
{
    scoped(string) char *path = path_clean(name, e);
    scoped(buffer) struct buffer content = {0};
    json_t *text = json_is_object(value) ? json_object_get(value, "text") : value;
    json_t *coded = json_object_get(value, "base64");
    int mode = MODE_DEFAULT;
    if (!path)
        return NULL;
    if (!*path || strlen(path) > PATH_LIMIT) {
        fail(e, 400, "files: a path must be 1 to %d bytes long", PATH_LIMIT);
        return NULL;
    }
    if (json_is_object(value) &&
        (!check_members(value, path, e) || !read_mode(value, path, &mode, e)))
        return NULL;
    if (!json_is_string(text ? text : coded) || (text && coded)) {
        fail(e, 400, "files: %s: must be a string, or have \"text\" or \"base64\"", path);
        return NULL;
    }
    scoped(json) json_t *file = json_pack("{s:s, s:i, s:O}", "path", path, "mode", mode,
                                          text ? "text" : "base64", text ? text : coded);
    if (!file || !template_file_bytes(file, &content)) {
        fail(e, 400, "files: %s: base64 is not valid", path);
        return NULL;
    }
    *bytes = content.len;
    return take(&file);
}

static bool in_the_way(json_t *files, const char *path, struct err *e)
{
    json_t *other;
    size_t i;
    json_array_foreach(files, i, other)
    {
        const char *its = json_string_value(json_object_get(other, "path"));
        size_t shorter = strlen(its) < strlen(path) ? strlen(its) : strlen(path);
        bool below = its[shorter] == '/' || path[shorter] == '/';
        if (strncmp(its, path, shorter) == 0 && (below || its[shorter] == path[shorter]))
            return !fail(e, 400, "files: %s and %s cannot both be there", its, path);
    }
    return false;
}

static bool read_files(json_t *body, json_t *spec, json_t **out, struct err *e)
{
    json_t *asked = NULL, *value;
    const char *name;
    size_t total = 0;
    if (!field_object(body, "files", OPTIONAL, &asked, e))
        return false;
    if (!asked)
        return true;
    if (json_object_size(asked) > TEMPLATE_FILES_MOST)
        return fail(e, 400, "files: at most %d", TEMPLATE_FILES_MOST);
    scoped(json) json_t *files = json_array(), *told = json_array();
    json_object_foreach(asked, name, value)
    {
        size_t bytes = 0;
        scoped(json) json_t *file = read_file(name, value, &bytes, e);
        if (!file || in_the_way(files, json_string_value(json_object_get(file, "path")), e))
            return false;
        total += bytes;
        if (total > TEMPLATE_FILES_BYTES)
            return fail(e, 400, "files: at most %d bytes together", TEMPLATE_FILES_BYTES);
        json_array_append(files, file);
        json_array_append_new(
            told, json_pack("{s:O, s:I, s:O}", "path", json_object_get(file, "path"), "bytes",
                            (json_int_t)bytes, "mode", json_object_get(file, "mode")));
    }
    json_object_set(spec, "files", told);
    json_decref(*out);
    *out = take(&files);
    return true;
}

bool template_read_spec(const struct core *c, json_t *body, json_t *spec, json_t **files,
                        struct err *e)
{
    if (!read_language(body, spec, e) || !read_preload(body, spec, e) ||
        !read_network(body, spec, e) || !read_limits(c, body, spec, e) ||
        !read_packages(body, spec, e) || !read_pool(c, body, spec, e) ||
        !read_files(body, spec, files, e))
        return false;
    return json_dumpb(spec, NULL, 0, JSON_COMPACT) <= SPEC_LIMIT ||
           fail(e, 400, "the template is larger than %d bytes without what is in its files",
                SPEC_LIMIT);
}
