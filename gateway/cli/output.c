/* Bytes pass as they are: what they do to a terminal is the program's and its user's matter, as
 * with any program that is run here. */
#include "gateway/cli/output.h"
#include "gateway/cli/model.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/follow.h"
#include "gateway/cli/table.h"
#include "gateway/core/bundle.h"

bool output_event(const json_t *event, const char *kind, struct err *e)
{
    int fd = strcmp(kind, "stderr") == 0 ? STDERR_FILENO : STDOUT_FILENO;
    const json_t *text = json_object_get(event, "text");
    const json_t *encoded = json_object_get(event, "base64");
    if (json_is_string(text))
        return follow_write(fd, (struct bytes){json_string_value(text), json_string_length(text)},
                            e);
    if (!json_is_string(encoded))
        return fail(e, CLI_FAILED, "an event of the gateway has neither text nor base64");
    scoped(buffer) struct buffer bytes = {0};
    struct base64 state = {0};
    struct bytes data = {json_string_value(encoded), json_string_length(encoded)};
    if (!base64_decode(&state, data, &bytes) || !base64_whole(&state))
        return fail(e, CLI_FAILED, "an event of the gateway has broken base64");
    return follow_write(fd, buffer_view(&bytes), e);
}

static bool show_stream(const json_t *event, struct err *e)
{
    return output_event(event, json_string_value(json_object_get(event, "type")), e);
}

static bool show_text(const json_t *event, struct err *e)
{
    const json_t *text = json_object_get(event, "text");
    if (!json_is_string(text))
        text = json_object_get(json_object_get(event, "data"), "text/plain");
    struct bytes shown = {json_string_value(text), json_string_length(text)};
    return !json_is_string(text) || (follow_write(STDOUT_FILENO, shown, e) &&
                                     follow_write(STDOUT_FILENO, bytes_of("\n"), e));
}

static bool show_error(const json_t *event, struct err *e)
{
    const json_t *line,
        *lines =
            json_object_get(event, colour_wanted(STDERR_FILENO) ? "traceback_ansi" : "traceback");
    size_t i;
    (void)e;
    if (json_array_size(lines) == 0) {
        const char *name = json_string_value(json_object_get(event, "name"));
        const char *value = json_string_value(json_object_get(event, "value"));
        fprintf(stderr, "%s: %s\n", name ? name : "Error", value ? value : "");
    }
    json_array_foreach(lines, i, line)
    {
        if (json_is_string(line))
            fprintf(stderr, "%s\n", json_string_value(line));
    }
    return true;
}

static const struct {
    const char *type;
    bool (*show)(const json_t *event, struct err *e);
} shown_types[] = {
    {"stdout", show_stream}, {"stderr", show_stream},       {"result", show_text},
    {"display", show_text},  {"update_display", show_text}, {"error", show_error},
};

bool output_execution(const json_t *event, struct err *e)
{
    const char *type = json_string_value(json_object_get(event, "type"));
    for (size_t i = 0; type && i < countof(shown_types); i++)
        if (strcmp(type, shown_types[i].type) == 0)
            return shown_types[i].show(event, e);
    return true;
}

bool output_line(struct bytes line, struct err *e)
{
    return follow_write(STDOUT_FILENO, line, e) && follow_write(STDOUT_FILENO, bytes_of("\n"), e);
}

void output_note(const char *format, ...)
{
    va_list args;
    char *said = NULL;
    va_start(args, format);
    if (vasprintf(&said, format, args) < 0)
        abort();
    va_end(args);
    fprintf(stderr, "warmcell: %s\n", model_visible(said));
    free(said);
}
