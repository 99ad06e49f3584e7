#include "gateway/core/languages.h"

#include "gateway/launch/language.h"
#include "gateway/launch/toolchain.h"
#include "protocol/memory.h"

static json_t *kernel_model(const struct language *l)
{
    struct err why = {0};
    bool available = language_check(l, &why);
    return json_pack("{s:s, s:s, s:s, s:b, s:s?, s:s?, s:s?, s:s, s:s, s:b}", "name", l->name,
                     "kind", "kernel", "title", l->title, "available", (int)available, "reason",
                     available ? NULL : why.text, "program", l->program, "package", l->package,
                     "mime_type", l->mime_type, "file_extension", l->file_extension,
                     "keeps_variables", (int)l->keeps_variables);
}

static json_t *toolchain_model(const struct toolchain *t)
{
    bool available = toolchain_is_there(t);
    scoped(string) char *reason =
        available ? NULL
                  : xasprintf("%s needs %s, which sandboxes do not find; install %s", t->title,
                              t->program, t->package);
    return json_pack("{s:s, s:s, s:s, s:b, s:s?, s:s, s:s, s:s, s:s, s:b}", "name", t->name, "kind",
                     "toolchain", "title", t->title, "available", (int)available, "reason", reason,
                     "program", t->program, "package", t->package, "mime_type", t->mime_type,
                     "file_extension", t->file_extension, "keeps_variables", 0);
}

json_t *languages_model(void)
{
    json_t *list = json_array();
    const struct language *l;
    const struct toolchain *t;
    for (size_t i = 0; (l = language_at(i)); i++)
        json_array_append_new(list, kernel_model(l));
    for (size_t i = 0; (t = toolchain_at(i)); i++)
        json_array_append_new(list, toolchain_model(t));
    return list;
}
