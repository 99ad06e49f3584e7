/* Lines on stderr, each written with one write(2) so that threads and child processes do not mix
 * theirs into it. Called by everything in gateway/; protocol/ does not log. A line that is longer
 * than LINE_LIMIT_BYTES is cut. */
#include "gateway/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "protocol/bytes.h"
#include "protocol/ids.h"
#include "protocol/json.h"
#include "protocol/utf8.h"

#define LINE_LIMIT_BYTES 4096

static _Atomic int limit = LOG_INFO;
static _Atomic bool as_json;

static const char *const level_name[] = {"error", "warn", "info", "debug"};

void log_setup(enum log_level level, bool json)
{
    limit = level;
    as_json = json;
}

bool log_wants(enum log_level level)
{
    return (int)level <= limit;
}

/* A value without white space stands bare; others are quoted, which also keeps a line one line. */
static void add_text_value(struct buffer *line, const char *text)
{
    bool bare = *text != '\0';
    for (const char *at = text; *at && bare; at++)
        bare = (unsigned char)*at > ' ' && *at != '"' && *at != '\\' && *at != 0x7f;
    if (bare && utf8_valid(bytes_of(text)))
        buffer_add_text(line, text);
    else
        json_quote(line, bytes_of(text));
}

static void format_text(struct buffer *line, enum log_level level, const char *message,
                        const struct log_field *fields, size_t count)
{
    char now[TIME_TEXT];
    time_now_text(now);
    buffer_printf(line, "%s %s %s", now, level_name[level], message);
    for (size_t i = 0; i < count; i++) {
        buffer_printf(line, " %s=", fields[i].name);
        if (fields[i].text)
            add_text_value(line, fields[i].text);
        else
            buffer_printf(line, "%lld", (long long)fields[i].number);
    }
}

static void format_json(struct buffer *line, enum log_level level, const char *message,
                        const struct log_field *fields, size_t count)
{
    char now[TIME_TEXT];
    time_now_text(now);
    buffer_printf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":", now, level_name[level]);
    json_quote(line, bytes_of(message));
    for (size_t i = 0; i < count; i++) {
        buffer_printf(line, ",\"%s\":", fields[i].name);
        if (fields[i].text)
            json_quote(line, bytes_of(fields[i].text));
        else
            buffer_printf(line, "%lld", (long long)fields[i].number);
    }
    buffer_add_text(line, "}");
}

void log_event(enum log_level level, const char *message, const struct log_field *fields,
               size_t count)
{
    scoped(buffer) struct buffer line = {0};
    (as_json ? format_json : format_text)(&line, level, message, fields, count);
    if (line.len >= LINE_LIMIT_BYTES && !as_json)
        line.len =
            LINE_LIMIT_BYTES - 1 - utf8_tail((struct bytes){line.data, LINE_LIMIT_BYTES - 1});
    buffer_add_text(&line, "\n");
    ssize_t written = write(STDERR_FILENO, line.data, line.len);
    (void)written; /* nobody is left to tell */
}
