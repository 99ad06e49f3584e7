/* nbformat 4: {"cells": [{"cell_type": "code", "source": "text" or ["line\n", ...]}]}. */
#include "gateway/cli/notebook.h"

#include <ctype.h>

#include "gateway/cli/cli.h"
#include "protocol/json.h"
#include "protocol/utf8.h"

static void add_cell(struct code *out, const char *text)
{
    out->cell = xrealloc(out->cell, (out->count + 1) * sizeof *out->cell);
    out->cell[out->count++] = xstrdup(text);
}

static void add_source(struct code *out, const json_t *source)
{
    scoped(buffer) struct buffer text = {0};
    const json_t *line;
    size_t i;
    if (json_is_string(source))
        buffer_add_text(&text, json_string_value(source));
    json_array_foreach(source, i, line) if (json_is_string(line))
        buffer_add_text(&text, json_string_value(line));
    if (strspn(buffer_text(&text), " \t\r\n") < text.len)
        add_cell(out, buffer_text(&text));
}

static bool ends_with(const char *name, const char *end)
{
    size_t len = strlen(name), end_len = strlen(end);
    return len >= end_len && strcmp(name + len - end_len, end) == 0;
}

/* {"metadata": {"kernelspec": {"language": "R"}}}, in small letters. Given; NULL. */
static char *language_of(const json_t *book)
{
    const json_t *spec = json_object_get(json_object_get(book, "metadata"), "kernelspec");
    const char *language = json_string_value(json_object_get(spec, "language"));
    char *copy = language && *language ? xstrdup(language) : NULL;
    for (char *at = copy; at && *at; at++)
        *at = (char)tolower((unsigned char)*at);
    return copy;
}

bool code_of(struct bytes text, const char *name, struct code *out, struct err *e)
{
    size_t blank = 0;
    const json_t *cell;
    size_t i;
    *out = (struct code){0};
    while (blank < text.len && isspace((unsigned char)text.data[blank]))
        blank++;
    bool named = ends_with(name, ".ipynb");
    scoped(json) json_t *book =
        named || (blank < text.len && text.data[blank] == '{')
            ? json_parse_object(text, name, NOTEBOOK_LIMIT_BYTES, named ? e : NULL)
            : NULL;
    const json_t *cells = json_object_get(book, "cells");
    if (named && book && !json_is_array(cells))
        fail(e, CLI_FAILED, "%.200s: has no \"cells\", so it is no notebook", name);
    if (named && !json_is_array(cells))
        return false;
    out->notebook = json_is_array(cells);
    json_array_foreach(cells, i, cell)
    {
        const char *type = json_string_value(json_object_get(cell, "cell_type"));
        if (type && strcmp(type, "code") == 0)
            add_source(out, json_object_get(cell, "source"));
    }
    if (out->notebook) {
        out->language = language_of(book);
        return true;
    }
    if (!utf8_valid(text) || (text.len && memchr(text.data, '\0', text.len)))
        return fail(e, CLI_FAILED, "%.200s: is not UTF-8 text", name);
    scoped(string) char *whole = xstrndup(text.data ? text.data : "", text.len);
    add_cell(out, whole);
    return true;
}

void code_free(struct code *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->cell[i]);
    free(c->cell);
    free(c->language);
    *c = (struct code){0};
}
