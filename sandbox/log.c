/* Lines of the keeper's log. One write(2) a line. */
#include "sandbox/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "protocol/ids.h"

#define LINE_BYTES 800

void keeper_log(const char *format, ...)
{
    char line[LINE_BYTES], when[TIME_TEXT];
    time_now_text(when);
    int used = snprintf(line, sizeof line, "%s warmcell-keeper: ", when);
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(line + used, sizeof line - (size_t)used - 1, format, arguments);
    va_end(arguments);
    size_t len = (size_t)used + (more < 0 ? 0 : (size_t)more);
    if (len > sizeof line - 2)
        len = sizeof line - 2;
    for (size_t at = (size_t)used; at < len; at++)
        if (line[at] == '\n')
            line[at] = ' ';
    line[len++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, len);
    (void)written; /* nobody is left to tell */
}
