/* /api/kernelspecs and the files of kernelspecs. */
#include <string.h>

#include "gateway/dialect/jupyter.h"
#include "protocol/memory.h"

static json_t *model(const struct exchange *x, const struct kernelspec *spec)
{
    json_t *resources = json_object(), *file;
    const char *name;
    json_object_foreach(spec->resources, name, file)
    {
        scoped(string) char *url = xasprintf("%s/kernelspecs/%s/%s", exchange_base_url(x),
                                             spec->name, json_string_value(file));
        json_object_set_new(resources, name, json_string(url));
    }
    return json_pack("{s:s, s:O, s:o}", "name", spec->name, "spec", spec->spec, "resources",
                     resources);
}

void jupyter_kernelspecs_list(struct exchange *x, void *core)
{
    struct kernelspecs *specs = core_kernelspecs(core);
    scoped(string) char *first = xstrdup(kernelspecs_default(specs));
    json_t *list = json_object();
    size_t count = 0;
    const struct kernelspec *const *all = kernelspecs_all(specs, &count);
    for (size_t i = 0; i < count; i++)
        json_object_set_new(list, all[i]->name, model(x, all[i]));
    exchange_reply_json(x, 200, json_pack("{s:s, s:o}", "default", first, "kernelspecs", list));
}

static const struct kernelspec *find(struct exchange *x, struct core *c)
{
    struct err e = {0};
    const struct kernelspec *spec =
        kernelspecs_find(core_kernelspecs(c), exchange_param(x, "name"), &e);
    if (!spec)
        exchange_fail(x, &e);
    return spec;
}

void jupyter_kernelspec_show(struct exchange *x, void *core)
{
    const struct kernelspec *spec = find(x, core);
    if (spec)
        exchange_reply_json(x, 200, model(x, spec));
}

static const char *content_type(const char *file)
{
    static const struct {
        const char *extension, *type;
    } types[] = {{".png", "image/png"}, {".svg", "image/svg+xml"},     {".js", "text/javascript"},
                 {".css", "text/css"},  {".json", "application/json"}, {".gif", "image/gif"}};
    const char *dot = strrchr(file, '.');
    for (size_t i = 0; dot && i < countof(types); i++)
        if (strcasecmp(dot, types[i].extension) == 0)
            return types[i].type;
    return "application/octet-stream";
}

void jupyter_kernelspec_file(struct exchange *x, void *core)
{
    const struct kernelspec *spec = find(x, core);
    if (!spec)
        return;
    struct err e = {0};
    const char *file = exchange_param(x, "file");
    scoped(string) char *path = kernelspec_file(spec, file, &e);
    if (!path) {
        exchange_fail(x, &e);
        return;
    }
    const char *type = content_type(file);
    if (strcmp(type, "image/png") == 0)
        exchange_add_header(x, "Cache-Control", "max-age=2592000");
    exchange_add_header(x, "X-Content-Type-Options", "nosniff");
    exchange_reply_file(x, path, type, NULL);
}
