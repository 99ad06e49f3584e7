/* Used by the readers of follow.c. Nothing is kept of the text but the offset: every byte of a line
 * follows from the line's number. */
#include "tests/soak/printed.h"

#include <inttypes.h>
#include <stdio.h>

#define DIGITS     8
#define LINE_BYTES 128

static const char *const ends[PRINTED_FORMS] = {[PRINTED_RAW] = "\n", [PRINTED_JSON] = "\\n"};

static size_t line_length(enum printed_form form)
{
    return strlen(PRINTED_BEFORE) + DIGITS + strlen(PRINTED_BEHIND) + strlen(ends[form]);
}

uint64_t printed_length(uint64_t lines, enum printed_form form)
{
    return lines * line_length(form);
}

/* The line as it stands in that form; borrowed until the next call. */
static const char *line_at(uint64_t number, enum printed_form form)
{
    static char lines[PRINTED_FORMS][LINE_BYTES];
    char *line = lines[form], *digits = line + strlen(PRINTED_BEFORE);
    if (!line[0])
        snprintf(line, LINE_BYTES, PRINTED_BEFORE "%0*d" PRINTED_BEHIND "%s", DIGITS, 0,
                 ends[form]);
    for (int i = DIGITS; i-- > 0; number /= 10)
        digits[i] = (char)('0' + number % 10);
    return line;
}

bool printed_text(struct printed_place *place, struct bytes text, enum printed_form form,
                  struct err *e)
{
    size_t length = line_length(form);
    while (text.len) {
        uint64_t number = place->at / length;
        size_t column = place->at % length;
        size_t part = length - column < text.len ? length - column : text.len;
        const char *line = line_at(number, form);
        if (memcmp(text.data, line + column, part) != 0)
            return fail(e, 1, "behind event %" PRIu64 " in line %" PRIu64 " stands \"%.*s\"",
                        place->events, number, (int)part, text.data);
        place->at += part;
        text.data += part;
        text.len -= part;
    }
    return true;
}

bool printed_word(struct bytes *rest, const char *word, struct err *e)
{
    size_t len = strlen(word);
    if (rest->len < len || memcmp(rest->data, word, len) != 0)
        return fail(e, 1, "in place of %s stands \"%.*s\"", word,
                    (int)(rest->len < 60 ? rest->len : 60), rest->data ? rest->data : "");
    rest->data += len;
    rest->len -= len;
    return true;
}

/* What is before the mark, which is taken off rest, too. */
static bool until(struct bytes *rest, char mark, struct bytes *out, struct err *e)
{
    const char *found = rest->len ? memchr(rest->data, mark, rest->len) : NULL;
    if (!found)
        return fail(e, 1, "an event breaks off");
    *out = (struct bytes){rest->data, (size_t)(found - rest->data)};
    rest->len -= out->len + 1;
    rest->data = found + 1;
    return true;
}

/* What is printed has no quotes: the first one is the end of the text. */
static bool stdout_event(struct printed_place *place, struct bytes *rest, struct err *e)
{
    struct bytes text = {0};
    return printed_word(rest, ",\"text\":\"", e) && until(rest, '"', &text, e) &&
           printed_text(place, text, PRINTED_JSON, e) && printed_word(rest, "}", e);
}

static bool started_event(struct printed_place *place, struct bytes *rest, struct err *e)
{
    struct bytes count = {0};
    return (place->events == 1 || fail(e, 1, "it started at event %" PRIu64, place->events)) &&
           until(rest, '}', &count, e);
}

static const struct {
    const char *type;
    bool (*check)(struct printed_place *place, struct bytes *rest, struct err *e);
} types[] = {
    {"stdout", stdout_event},
    {"started", started_event},
};

bool printed_event(struct printed_place *place, struct bytes *rest, struct err *e)
{
    struct bytes number = {0}, type = {0}, time = {0};
    char next[24];
    snprintf(next, sizeof next, "%" PRIu64, place->events + 1);
    if (!printed_word(rest, "{\"number\":", e) || !until(rest, ',', &number, e) ||
        !printed_word(rest, "\"type\":\"", e) || !until(rest, '"', &type, e))
        return false;
    if (!bytes_is(number, next))
        return fail(e, 1, "event %.*s came behind %" PRIu64, (int)number.len, number.data,
                    place->events);
    place->events++;
    place->ended = bytes_is(type, "end");
    if (place->ended) {
        rest->len = 0;
        return true;
    }
    for (size_t i = 0; i < countof(types); i++)
        if (bytes_is(type, types[i].type))
            return printed_word(rest, ",\"time\":\"", e) && until(rest, '"', &time, e) &&
                   types[i].check(place, rest, e);
    return fail(e, 1, "event %s is of the type %.*s", next, (int)type.len, type.data);
}
