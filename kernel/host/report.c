/* Lines on stderr. Called from the loop's thread; report() from any. One write(2) a line. */
#include "kernel/host/report.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "protocol/ids.h"

#define LINES_A_WINDOW 10
#define WINDOW_MS      10000

__attribute__((format(printf, 1, 0))) static void write_line(const char *format, va_list arguments)
{
    static const char prefix[] = "warmcell-kernel: ";
    char line[600];
    int used = snprintf(line, sizeof line, "%s", prefix);
    int more = vsnprintf(line + used, sizeof line - (size_t)used - 1, format, arguments);
    size_t len = (size_t)used + (more < 0 ? 0 : (size_t)more);
    if (len > sizeof line - 2)
        len = sizeof line - 2;
    line[len++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, len);
    (void)written; /* nobody is left to tell */
}

void report(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line(format, arguments);
    va_end(arguments);
}

void report_dropped(const char *format, ...)
{
    static int64_t window_ms = -WINDOW_MS;
    static unsigned lines, left_out;
    int64_t now = monotonic_ms();
    if (now - window_ms >= WINDOW_MS) {
        if (left_out)
            report("%u more dropped messages were not listed", left_out);
        window_ms = now;
        lines = left_out = 0;
    }
    if (lines++ >= LINES_A_WINDOW) {
        left_out++;
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    write_line(format, arguments);
    va_end(arguments);
}
