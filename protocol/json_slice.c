/* Where the members of a JSON object stand in its text, found in one pass over it.
 *
 * This reads what kernels and their clients wrote, up to hundreds of megabytes: nothing is copied,
 * and nesting costs one byte a level of a fixed stack. The scanner either reaches the end of a
 * well-formed text or has said where and why it is not one. */
#include "protocol/json.h"

#include "protocol/json_string.h"
#include "protocol/utf8.h"

#define DEPTH_LIMIT 200

struct scan {
    const char *start, *at, *end;
    struct err *e;
};

static bool broken(struct scan *s, const char *why)
{
    return fail(s->e, 400, "not valid JSON at byte %zu: %s", (size_t)(s->at - s->start), why);
}

static struct bytes rest_of(const struct scan *s)
{
    return (struct bytes){s->at, (size_t)(s->end - s->at)};
}

static void pass_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
        s->at++;
}

/* Passes white space and then c, if c is next. */
static bool pass_char(struct scan *s, char c)
{
    pass_space(s);
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static bool pass_escape(struct scan *s)
{
    static const bool single[UINT8_MAX + 1] = {
        ['"'] = true, ['\\'] = true, ['/'] = true, ['b'] = true,
        ['f'] = true, ['n'] = true,  ['r'] = true, ['t'] = true};
    struct bytes rest = rest_of(s);
    if (rest.len >= 2 && single[(unsigned char)rest.data[1]]) {
        s->at += 2;
        return true;
    }
    if (rest.len >= 6 && rest.data[1] == 'u' && json_hex4(rest.data + 2) >= 0) {
        s->at += 6;
        return true;
    }
    return broken(s, "bad escape in a string");
}

static bool pass_string(struct scan *s)
{
    if (!pass_char(s, '"'))
        return broken(s, "a string is expected");
    for (;;) {
        s->at += json_plain_run(rest_of(s));
        if (s->at == s->end)
            return broken(s, "a string does not end");
        unsigned char c = (unsigned char)*s->at;
        if (c == '"') {
            s->at++;
            return true;
        }
        if (c == '\\') {
            if (!pass_escape(s))
                return false;
            continue;
        }
        size_t whole = utf8_beyond_ascii(rest_of(s));
        if (whole == 0)
            return broken(s, c < 0x80 ? "control character in a string" : "not UTF-8");
        s->at += whole;
    }
}

static bool pass_digits(struct scan *s)
{
    const char *first = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return s->at > first || broken(s, "a digit is expected");
}

static bool next_is(const struct scan *s, char c)
{
    return s->at < s->end && *s->at == c;
}

static bool pass_number(struct scan *s)
{
    if (next_is(s, '-'))
        s->at++;
    if (next_is(s, '0'))
        s->at++;
    else if (!pass_digits(s))
        return false;
    if (next_is(s, '.')) {
        s->at++;
        if (!pass_digits(s))
            return false;
    }
    if (next_is(s, 'e') || next_is(s, 'E')) {
        s->at++;
        if (next_is(s, '+') || next_is(s, '-'))
            s->at++;
        return pass_digits(s);
    }
    return true;
}

static bool pass_word(struct scan *s)
{
    static const char *const words[] = {"true", "false", "null"};
    struct bytes rest = rest_of(s);
    for (size_t i = 0; i < countof(words); i++) {
        size_t len = strlen(words[i]);
        if (rest.len >= len && memcmp(rest.data, words[i], len) == 0) {
            s->at += len;
            return true;
        }
    }
    return broken(s, "a value is expected");
}

static bool pass_scalar(struct scan *s)
{
    if (s->at == s->end)
        return broken(s, "a value is expected");
    if (*s->at == '"')
        return pass_string(s);
    if (*s->at == '-' || (*s->at >= '0' && *s->at <= '9'))
        return pass_number(s);
    return pass_word(s);
}

static bool pass_name(struct scan *s)
{
    return pass_string(s) && (pass_char(s, ':') || broken(s, "':' is expected"));
}

/* After a value inside the `*depth` containers of open: closes what ends here. True: at the next
 * value, or with *depth == 0 after the last container. */
static bool pass_closings(struct scan *s, const char *open, size_t *depth)
{
    while (*depth > 0) {
        bool in_object = open[*depth - 1] == '{';
        if (pass_char(s, ','))
            return !in_object || pass_name(s);
        if (!pass_char(s, in_object ? '}' : ']'))
            return broken(s, in_object ? "',' or '}' is expected" : "',' or ']' is expected");
        (*depth)--;
    }
    return true;
}

/* Passes one value of any kind, itself `outer` levels deep. */
static bool pass_value(struct scan *s, size_t outer)
{
    char open[DEPTH_LIMIT];
    size_t depth = 0;
    do {
        pass_space(s);
        char c = s->at < s->end ? *s->at : '\0';
        if (c == '{' || c == '[') {
            if (outer + depth >= DEPTH_LIMIT)
                return broken(s, "nested too deeply");
            s->at++;
            if (!pass_char(s, c == '{' ? '}' : ']')) {
                open[depth++] = c;
                if (c == '{' && !pass_name(s))
                    return false;
                continue;
            }
        } else if (!pass_scalar(s)) {
            return false;
        }
        if (!pass_closings(s, open, &depth))
            return false;
    } while (depth > 0);
    return true;
}

/* Whether raw, a string with its quotes, spells name, be it with escapes. */
static bool spells(struct bytes raw, const char *name)
{
    size_t len = strlen(name);
    if (raw.len == len + 2 && memcmp(raw.data + 1, name, len) == 0)
        return true;
    if (raw.len > 6 * len + 2 || !memchr(raw.data, '\\', raw.len))
        return false;
    size_t decoded_len = 0;
    scoped(string) char *decoded = json_slice_string(raw, &decoded_len);
    return decoded && bytes_is((struct bytes){decoded, decoded_len}, name);
}

static struct slice *wanted(struct slice *slices, size_t count, struct bytes raw)
{
    for (size_t i = 0; i < count; i++)
        if (spells(raw, slices[i].name))
            return &slices[i];
    return NULL;
}

static bool pass_member(struct scan *s, struct slice *slices, size_t count)
{
    pass_space(s);
    const char *name = s->at;
    if (!pass_string(s))
        return false;
    struct slice *slice = wanted(slices, count, (struct bytes){name, (size_t)(s->at - name)});
    if (slice && slice->value.data)
        return fail(s->e, 400, "%s: is there twice (byte %zu)", slice->name,
                    (size_t)(name - s->start));
    if (!pass_char(s, ':'))
        return broken(s, "':' is expected");
    pass_space(s);
    const char *value = s->at;
    if (!pass_value(s, 1))
        return false;
    if (slice)
        slice->value = (struct bytes){value, (size_t)(s->at - value)};
    return true;
}

bool json_slices(struct bytes text, struct slice *slices, size_t count, struct err *e)
{
    const char *data = text.data ? text.data : "";
    struct scan s = {data, data, data + text.len, e};
    for (size_t i = 0; i < count; i++)
        slices[i].value = (struct bytes){0};
    if (!pass_char(&s, '{'))
        return broken(&s, "an object is expected");
    if (!pass_char(&s, '}')) {
        do {
            if (!pass_member(&s, slices, count))
                return false;
        } while (pass_char(&s, ','));
        if (!pass_char(&s, '}'))
            return broken(&s, "',' or '}' is expected");
    }
    pass_space(&s);
    return s.at == s.end || broken(&s, "something follows the object");
}
