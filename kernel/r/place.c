/* R reads the variables and the folder of its process, so they are changed there. */
#include "kernel/r/place.h"

#include <string.h>
#include <unistd.h>

static bool check_env(json_t *env, struct err *e)
{
    const char *name;
    json_t *value;
    json_object_foreach(env, name, value)
    {
        if (!*name || strchr(name, '='))
            return fail(e, 400, "env: %.100s is no name of a variable", name);
        if (!json_is_string(value) && !json_is_null(value))
            return fail(e, 400, "env: %.100s: must be a string or null", name);
    }
    return true;
}

static void set_env(json_t *env)
{
    const char *name;
    json_t *value;
    json_object_foreach(env, name, value)
    {
        if (json_is_string(value))
            setenv(name, json_string_value(value), 1);
        else
            unsetenv(name);
    }
}

static void remember(json_t *env, struct place_before *before)
{
    const char *name;
    json_t *value;
    before->env = json_object();
    json_object_foreach(env, name, value)
    {
        const char *there = getenv(name);
        json_object_set_new(before->env, name, there ? driver_text(bytes_of(there)) : json_null());
    }
}

bool place_take(const struct driver_place *place, struct place_before *before, struct err *e)
{
    scoped(string) char *cwd = place->cwd && before ? getcwd(NULL, 0) : NULL;
    if (!check_env(place->env, e))
        return false;
    if (place->cwd && chdir(place->cwd) != 0)
        return fail_errno(e, 400, "cwd: %.200s cannot be entered", place->cwd);
    if (before) {
        before->cwd = take(&cwd);
        remember(place->env, before);
    }
    set_env(place->env);
    return true;
}

void place_give_back(struct place_before *before)
{
    set_env(before->env);
    json_decref(take(&before->env));
    /* where it has been removed meanwhile there is nothing to go back to */
    if (before->cwd && chdir(before->cwd) != 0 && chdir("/") != 0)
        abort();
    free(take(&before->cwd));
}
