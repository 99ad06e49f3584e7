/* Reads one requirement from left to right. Called with what clients send, before anything runs.
 * What it lets through cannot be taken by pip for an option, a URL or a file: it begins with a
 * letter or digit and holds no slash, colon, at sign or semicolon. */
#include "gateway/core/requirement.h"

#include <ctype.h>
#include <string.h>

static bool is_name_end(char c)
{
    return isalnum((unsigned char)c);
}

static bool is_name(char c)
{
    return c && (is_name_end(c) || strchr("-_.", c));
}

static bool is_version(char c)
{
    return c && (is_name(c) || strchr("*+!", c));
}

static void skip_blanks(const char **at)
{
    *at += strspn(*at, " \t");
}

static bool take_name(const char **at)
{
    const char *from = *at;
    if (!is_name_end(*from))
        return false;
    while (is_name(**at))
        ++*at;
    return is_name_end((*at)[-1]);
}

/* "[a, b]", or nothing. */
static bool take_extras(const char **at)
{
    if (**at != '[')
        return true;
    do {
        ++*at;
        skip_blanks(at);
        if (!take_name(at))
            return false;
        skip_blanks(at);
    } while (**at == ',');
    return *(*at)++ == ']';
}

static bool take_operator(const char **at)
{
    static const char *const operators[] = {"===", "==", "~=", "!=", "<=", ">=", "<", ">"};
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        size_t len = strlen(operators[i]);
        if (strncmp(*at, operators[i], len) == 0) {
            *at += len;
            return true;
        }
    }
    return false;
}

/* ">=1, <2", or nothing. */
static bool take_versions(const char **at)
{
    if (!**at)
        return true;
    for (;;) {
        const char *from;
        if (!take_operator(at))
            return false;
        skip_blanks(at);
        for (from = *at; is_version(**at);)
            ++*at;
        if (*at == from)
            return false;
        skip_blanks(at);
        if (**at != ',')
            return !**at;
        ++*at;
        skip_blanks(at);
    }
}

/* What people write that is no name with versions. NULL: something else. */
static const char *known_wrong(const char *text)
{
    if (*text == '-')
        return "an option of pip";
    if (strstr(text, "://") || strchr(text, '@'))
        return "a URL";
    if (strchr(text, '/') || strchr(text, '\\') || *text == '.')
        return "a path";
    return strchr(text, ';') ? "an environment marker" : NULL;
}

bool requirement_check(const char *text, struct err *e)
{
    const char *at = text;
    if (strlen(text) > REQUIREMENT_LIMIT_BYTES)
        return fail(e, 400, "\"%.40s...\": longer than %d bytes", text, REQUIREMENT_LIMIT_BYTES);
    const char *wrong = known_wrong(text);
    if (wrong)
        return fail(e, 400, "\"%s\": holds %s; name packages of the index alone, as numpy==2.1",
                    text, wrong);
    skip_blanks(&at);
    if (!take_name(&at))
        return fail(e, 400, "\"%s\": does not begin with the name of a package", text);
    skip_blanks(&at);
    if (!take_extras(&at))
        return fail(e, 400, "\"%s\": its extras are not written as name[extra,other]", text);
    skip_blanks(&at);
    return take_versions(&at) ||
           fail(e, 400, "\"%s\": its versions are not written as name>=1.2,<2", text);
}

bool requirements_check(json_t *list, struct err *e)
{
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count < 1 || count > REQUIREMENTS_MOST)
        return fail(e, 400, "packages: must be a list of 1 to %d requirements", REQUIREMENTS_MOST);
    for (size_t i = 0; i < count; i++) {
        json_t *entry = json_array_get(list, i);
        const char *text = json_string_value(entry);
        struct err why;
        if (!text || strlen(text) != json_string_length(entry))
            return fail(e, 400, "packages[%zu]: must be a string without NUL", i);
        if (!requirement_check(text, &why))
            return fail(e, 400, "packages[%zu]: %s", i, why.text);
    }
    return true;
}

bool requirement_check_name(const char *name, struct err *e)
{
    const char *at = name;
    return (strlen(name) <= REQUIREMENT_LIMIT_BYTES && take_name(&at) && !*at) ||
           fail(e, 400, "\"%.80s\": is not the name of a package", name);
}
