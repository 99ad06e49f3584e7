/* Read once, when the host begins. Nothing of the host's own environment gets into a sandbox. */
#include "kernel/host/sandbox_plan.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sandbox/limits.h"
#include "sandbox/root.h"

#define LIMIT_BYTES (1024 * 1024)

static bool read_file(const char *path, struct buffer *out, struct err *e)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return fail_errno(e, 503, "--sandbox-plan: cannot open %s", path);
    char *space = buffer_reserve(out, LIMIT_BYTES + 1);
    out->len = fread(space, 1, LIMIT_BYTES + 1, file);
    fclose(file);
    return out->len <= LIMIT_BYTES ||
           fail(e, 413, "--sandbox-plan: longer than %d bytes", LIMIT_BYTES);
}

/* How many processors the code inside can use: what its libraries' threads are made for. Limits
 * that are wrong are for the keeper to refuse. */
static long usable_cpus(json_t *plan)
{
    struct limits limits = limits_default;
    json_t *given = json_object_get(plan, "limits");
    if (json_is_object(given) && !limits_read(given, &limits, NULL))
        limits = limits_default;
    cpu_set_t ours;
    long all = sched_getaffinity(0, sizeof ours, &ours) == 0 ? CPU_COUNT(&ours) : 1;
    long wanted = (long)((limits.cpu_millis + 999) / 1000);
    return wanted > 0 && wanted < all ? wanted : all;
}

/* values may be NULL. */
static bool read_environment(json_t *values, long cpus, char ***out, struct err *e)
{
    static const char *const base[][2] = {{"PATH", "/usr/local/bin:/usr/bin:/bin"},
                                          {"HOME", ROOT_HOME},
                                          {"LANG", "C.UTF-8"},
                                          {"TMPDIR", "/tmp"}};
    char **env = *out = xcalloc(countof(base) + json_object_size(values) + 2, sizeof *env);
    const char *name;
    json_t *value;
    for (size_t n = 0; n < countof(base); n++)
        if (!json_object_get(values, base[n][0]))
            *env++ = xasprintf("%s=%s", base[n][0], base[n][1]);
    if (!json_object_get(values, "WARMCELL_CPUS"))
        *env++ = xasprintf("WARMCELL_CPUS=%ld", cpus);
    json_object_foreach(values, name, value)
    {
        if (!json_is_string(value) || !*name || strchr(name, '='))
            return fail(e, 400, "--sandbox-plan: env: %.80s must be a string", name);
        *env++ = xasprintf("%s=%s", name, json_string_value(value));
    }
    return true;
}

bool sandbox_plan_read(const char *id, const char *path, struct sandbox_plan *out, struct err *e)
{
    const char *cwd = "/workspace";
    json_t *env = NULL;
    scoped(buffer) struct buffer text = {0};
    if (!path)
        buffer_add_text(&text, "{}");
    else if (!read_file(path, &text, e))
        return false;
    if (path)
        unlink(path); /* its env may hold secrets */
    scoped(json) json_t *plan =
        json_parse_object(buffer_view(&text), "--sandbox-plan", LIMIT_BYTES, e);
    explicit_bzero(text.data, text.len);
    if (!plan || !field_object(plan, "env", OPTIONAL, &env, e) ||
        !field_str(plan, "cwd", OPTIONAL, &cwd, e) ||
        !read_environment(env, usable_cpus(plan), &out->env, e))
        return false;
    out->cwd = xstrdup(cwd);
    json_object_del(plan, "env");
    json_object_del(plan, "cwd");
    json_object_set_new(plan, "sandbox", json_string(id));
    out->body = json_incref(plan);
    return true;
}

void sandbox_plan_free(struct sandbox_plan *p)
{
    for (char **string = p->env; string && *string; string++)
        free(*string);
    free(p->env);
    free(p->cwd);
    json_decref(p->body);
    *p = (struct sandbox_plan){0};
}
