/* Reads and runs the seed notebook. Its requests carry the gateway's own identity, so that their
 * replies go to no client. Source of the rules: kernel_gateway, seed_uri. */
#include "gateway/core/seed.h"

#include <stdio.h>
#include <string.h>

#include "gateway/core/state.h"
#include "protocol/framing.h"
#include "protocol/json.h"

struct seed {
    char *kernel_name; /* NULL: any */
    char **cells;
    size_t count;
};

/* A cell's source is a string or a list of strings. */
static char *source_of(json_t *cell)
{
    json_t *source = json_object_get(cell, "source"), *line;
    struct buffer text = {0};
    size_t i, len;
    if (json_is_string(source))
        buffer_add_text(&text, json_string_value(source));
    json_array_foreach(source, i, line) if (json_is_string(line))
        buffer_add_text(&text, json_string_value(line));
    return buffer_take(&text, &len);
}

static void take_cells(struct seed *s, json_t *notebook)
{
    json_t *spec = json_object_get(json_object_get(notebook, "metadata"), "kernelspec");
    const char *name = json_string_value(json_object_get(spec, "name"));
    s->kernel_name = name ? xstrdup(name) : NULL;
    size_t i;
    json_t *cell;
    json_array_foreach(json_object_get(notebook, "cells"), i, cell)
    {
        const char *type = json_string_value(json_object_get(cell, "cell_type"));
        if (!type || strcmp(type, "code") != 0)
            continue;
        s->cells = xrealloc(s->cells, (s->count + 1) * sizeof(*s->cells));
        s->cells[s->count++] = source_of(cell);
    }
}

static bool read_notebook(struct seed *s, const char *path, struct err *e)
{
    scoped(buffer) struct buffer text = {0};
    FILE *file = fopen(path, "re");
    if (!file)
        return fail_errno(e, 400, "seed-uri: %.200s cannot be read", path);
    char *space = buffer_reserve(&text, SEED_LIMIT_BYTES + 1);
    text.len = fread(space, 1, SEED_LIMIT_BYTES + 1, file);
    fclose(file);
    scoped(json) json_t *notebook =
        json_parse_object(buffer_view(&text), "seed-uri", SEED_LIMIT_BYTES, e);
    if (!notebook)
        return false;
    if (!json_is_array(json_object_get(notebook, "cells")))
        return fail(e, 400, "seed-uri: %.200s is not a notebook of format 4", path);
    take_cells(s, notebook);
    return true;
}

struct seed *seed_open(const char *uri, struct err *e)
{
    struct seed *s = xcalloc(1, sizeof(*s));
    const char *path = uri ? uri : "";
    if (strncmp(path, "file://", 7) == 0)
        path += 7;
    if (!*path || read_notebook(s, path, e))
        return s;
    seed_free(s);
    return NULL;
}

void seed_free(struct seed *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->count; i++)
        free(s->cells[i]);
    free(s->cells);
    free(s->kernel_name);
    free(s);
}

bool seed_is_for(const struct seed *s, const char *kernel_name)
{
    return s->count > 0 && (!s->kernel_name || strcmp(s->kernel_name, kernel_name) == 0);
}

static void run_cell(struct kernel *k, const char *code)
{
    scoped(buffer) struct buffer content = {0};
    buffer_add_text(&content, "{\"code\":");
    json_quote(&content, bytes_of(code));
    buffer_add_text(&content, ",\"silent\":false,\"store_history\":false,\"user_expressions\":{},"
                              "\"allow_stdin\":false,\"stop_on_error\":true}");
    kernel_ask(k, "execute_request", &content);
}

void seed_run(const struct seed *s, struct kernel *k)
{
    if (seed_is_for(s, k->name))
        for (size_t i = 0; i < s->count; i++)
            run_cell(k, s->cells[i]);
}

void seed_take_reply(struct kernel *k, struct bytes frame)
{
    scoped(framed) struct framed f = {0};
    struct slice slices[] = {{.name = "status"}, {.name = "ename"}, {.name = "evalue"}};
    if (!framing_v1_decode(frame, &f, NULL) ||
        !json_slices(f.message.content, slices, countof(slices), NULL) ||
        !bytes_is(slices[0].value, "\"error\""))
        return;
    size_t len;
    scoped(string) char *name = json_slice_string(slices[1].value, &len);
    scoped(string) char *value = json_slice_string(slices[2].value, &len);
    free(k->death_reason);
    k->death_reason = xasprintf("the seed notebook failed: %.100s: %.150s", name ? name : "error",
                                value ? value : "");
    k->restarts = RESTART_LIMIT; /* it would fail again */
    kernel_kill_host(k);
}
