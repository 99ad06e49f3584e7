#include "gateway/cli/model.h"

#include <stdio.h>

#include "protocol/json.h"
#include "protocol/memory.h"

const char *model_text(const json_t *model, const char *name)
{
    const char *text = json_string_value(json_object_get(model, name));
    return text && *text ? text : "-";
}

char *model_visible(char *text)
{
    for (unsigned char *at = (unsigned char *)text; *at; at++) {
        if (*at < ' ' || *at == 0x7f)
            *at = '?';
        else if (*at == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0) /* U+0080 to U+009F */
            at[0] = at[1] = '?';
    }
    return text;
}

char *model_shown(const json_t *model, const char *name)
{
    return model_visible(xstrdup(name ? model_text(model, name) : json_string_value(model)));
}

void model_print(const json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
    putchar('\n');
}

bool model_each_word(struct cli *c, json_t *(*one)(struct cli *c, const char *word, struct err *e),
                     struct err *e)
{
    bool ok = true;
    scoped(json) json_t *done = json_array();
    for (size_t i = 0; i < c->word_count; i++) {
        struct err why = {0};
        json_t *said = one(c, c->words[i], &why);
        if (said)
            json_array_append_new(done, said);
        else if (ok)
            *e = why, ok = false;
    }
    if (c->json && (ok || json_array_size(done)))
        model_print(done);
    return ok;
}
