/* Bytes pass as they are: what they do to a terminal is the program's and its user's matter, as
 * with any program that is run here. */
#include "gateway/cli/output.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/follow.h"
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

bool output_line(struct bytes line, struct err *e)
{
    return follow_write(STDOUT_FILENO, line, e) && follow_write(STDOUT_FILENO, bytes_of("\n"), e);
}

void output_note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("warmcell: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}
