/* A path is matched part by part: a set of places in the pattern, one bit each, goes with it, so
 * that no pattern makes us try twice. In a part, only the last "*" is ever tried again. */
#include "gateway/files/glob.h"

#include <stdint.h>
#include <string.h>

#include "protocol/bytes.h"
#include "protocol/memory.h"
#include "protocol/utf8.h"

struct glob {
    size_t len; /* of the pattern */
    size_t count;
    char *parts[GLOB_PARTS_MOST]; /* owned */
};

void glob_free(struct glob *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->count; i++)
        free(g->parts[i]);
    free(g);
}

/* The length of the character at text, which is not at its end; one byte where it is none. */
static size_t character(struct bytes text)
{
    size_t len = utf8_character(text);
    return len ? len : 1;
}

static uint32_t code_of(struct bytes text)
{
    size_t len = character(text);
    uint32_t code = 0;
    for (size_t i = 0; i < len; i++) /* in the order of code points, without decoding them */
        code = code << 8 | (unsigned char)text.data[i];
    return code;
}

static void skip(struct bytes *text, size_t len)
{
    text->data += len;
    text->len -= len;
}

/* One character of a set, a backslash before it taken off. */
static uint32_t take_code(struct bytes *pattern)
{
    if (*pattern->data == '\\' && pattern->len > 1)
        skip(pattern, 1);
    uint32_t code = code_of(*pattern);
    skip(pattern, character(*pattern));
    return code;
}

/* pattern: behind "["; goes behind "]". False with pattern NULL: there is no "]". */
static bool set_has(struct bytes *pattern, uint32_t code)
{
    bool other = pattern->len && (*pattern->data == '!' || *pattern->data == '^');
    bool found = false, first = true;
    if (other)
        skip(pattern, 1);
    while (pattern->len && (first || *pattern->data != ']')) {
        uint32_t low = take_code(pattern), high = low;
        if (pattern->len > 1 && pattern->data[0] == '-' && pattern->data[1] != ']') {
            skip(pattern, 1);
            high = take_code(pattern);
        }
        found = found || (low <= code && code <= high);
        first = false;
    }
    if (!pattern->len) {
        pattern->data = NULL;
        return false;
    }
    skip(pattern, 1);
    return found != other;
}

/* Does the first thing in pattern stand for the first character of name? Both go behind it. */
static bool step(struct bytes *pattern, struct bytes *name)
{
    struct bytes one = {name->data, character(*name)};
    char first = *pattern->data;
    if (first == '[') {
        skip(pattern, 1);
        bool has = set_has(pattern, code_of(one));
        skip(name, one.len);
        return has;
    }
    if (first == '?') {
        skip(pattern, 1);
        skip(name, one.len);
        return true;
    }
    if (first == '\\' && pattern->len > 1)
        skip(pattern, 1);
    bool same = *pattern->data == *name->data;
    skip(pattern, 1);
    skip(name, 1);
    return same;
}

static bool part_matches(const char *part, struct bytes name)
{
    struct bytes pattern = bytes_of(part), star = {0}, from = {0};
    if (*name.data == '.' && *part != '.' && !(*part == '\\' && part[1] == '.'))
        return false;
    for (;;) {
        if (pattern.len && *pattern.data == '*') {
            skip(&pattern, 1);
            star = pattern;
            from = name;
            continue;
        }
        if (!pattern.len && !name.len)
            return true;
        if (pattern.len && name.len && step(&pattern, &name))
            continue;
        if (!star.data || !from.len)
            return false;
        skip(&from, character(from));
        pattern = star;
        name = from;
    }
}

static bool is_deep(const struct glob *g, size_t i)
{
    return i < g->count && strcmp(g->parts[i], "**") == 0;
}

static bool check_part(const char *part, struct err *e)
{
    struct bytes rest = bytes_of(part);
    if (strcmp(part, ".") == 0 || strcmp(part, "..") == 0)
        return fail(e, 400, "glob: a pattern must not have a %s in it", part);
    while (rest.len) {
        if (*rest.data == '[') {
            skip(&rest, 1);
            set_has(&rest, 0);
            if (!rest.data)
                return fail(e, 400, "glob: a [ has no ] in %.200s", part);
        } else {
            skip(&rest, *rest.data == '\\' && rest.len > 1 ? 2 : 1);
        }
    }
    return true;
}

struct glob *glob_new(const char *pattern, struct err *e)
{
    struct glob *g = xcalloc(1, sizeof *g);
    g->len = strlen(pattern);
    bool ok =
        g->len <= GLOB_BYTES_MOST || fail(e, 400, "glob: more than %d bytes", GLOB_BYTES_MOST);
    for (const char *at = pattern; ok && *at;) {
        size_t len = strcspn(at, "/");
        if (len && g->count == GLOB_PARTS_MOST)
            ok = fail(e, 400, "glob: more than %d parts", GLOB_PARTS_MOST);
        else if (len)
            g->parts[g->count++] = xstrndup(at, len);
        ok = ok && (!len || check_part(g->parts[g->count - 1], e));
        at += len + (at[len] == '/');
    }
    if (ok && !g->count)
        ok = fail(e, 400, "glob: must be a pattern such as **/*.csv");
    if (ok)
        return g;
    glob_free(g);
    return NULL;
}

/* "**" may stand for nothing. */
static uint64_t with_empty(const struct glob *g, uint64_t at)
{
    for (size_t i = 0; i < g->count; i++)
        if ((at >> i & 1) && is_deep(g, i))
            at |= UINT64_C(1) << (i + 1);
    return at;
}

static uint64_t go(const struct glob *g, uint64_t at, struct bytes name)
{
    uint64_t next = 0;
    for (size_t i = 0; i < g->count; i++) {
        if (!(at >> i & 1))
            continue;
        if (!is_deep(g, i))
            next |= part_matches(g->parts[i], name) ? UINT64_C(1) << (i + 1) : 0;
        else if (*name.data != '.')
            next |= UINT64_C(1) << i;
    }
    return with_empty(g, next);
}

struct glob_answer glob_look(const struct glob *g, const char *path)
{
    uint64_t at = with_empty(g, 1), end = UINT64_C(1) << g->count;
    while (*path && at) {
        size_t len = strcspn(path, "/");
        at = go(g, at, (struct bytes){path, len});
        path += len + (path[len] == '/');
    }
    return (struct glob_answer){.matches = at & end, .below = at & ~end};
}

size_t glob_cost(const struct glob *g, const char *path)
{
    return g->len * strlen(path);
}
