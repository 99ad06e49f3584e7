/* Read at the start of the program, by option.c, and by the fuzzer. */
#include "gateway/ini.h"

#include <errno.h>
#include <stdio.h>

static struct bytes trim(struct bytes text)
{
    while (text.len && strchr(" \t\r", text.data[0])) {
        text.data++;
        text.len--;
    }
    while (text.len && strchr(" \t\r", text.data[text.len - 1]))
        text.len--;
    return text;
}

static struct bytes line_take(struct bytes *text)
{
    const char *end = memchr(text->data, '\n', text->len);
    struct bytes line = {text->data, end ? (size_t)(end - text->data) : text->len};
    text->data += line.len + (end != NULL);
    text->len -= line.len + (end != NULL);
    return trim(line);
}

bool ini_parse(struct bytes text,
               bool (*on_pair)(void *user, struct bytes key, struct bytes value, int line,
                               struct err *e),
               void *user, struct err *e)
{
    for (int number = 1; text.len; number++) {
        struct bytes line = line_take(&text);
        if (!line.len || line.data[0] == '#' || line.data[0] == ';')
            continue;
        if (memchr(line.data, '\0', line.len))
            return fail(e, 400, "line %d: holds a NUL", number);
        if (line.data[0] == '[' && line.data[line.len - 1] == ']')
            continue;
        const char *equals = memchr(line.data, '=', line.len);
        if (!equals || equals == line.data)
            return fail(e, 400, "line %d: must be key = value", number);
        struct bytes key = trim((struct bytes){line.data, (size_t)(equals - line.data)});
        struct bytes value =
            trim((struct bytes){equals + 1, line.len - (size_t)(equals - line.data) - 1});
        if (!on_pair(user, key, value, number, e))
            return false;
    }
    return true;
}

bool ini_read(const char *path, struct buffer *out, bool *found, struct err *e)
{
    FILE *file = fopen(path, "re");
    *found = file != NULL;
    if (!file)
        return errno == ENOENT || fail_errno(e, 400, "cannot read %s", path);
    size_t got = fread(buffer_reserve(out, INI_LIMIT_BYTES + 1), 1, INI_LIMIT_BYTES + 1, file);
    bool broken = ferror(file);
    fclose(file);
    if (broken)
        return fail(e, 400, "cannot read %s", path);
    if (got > INI_LIMIT_BYTES)
        return fail(e, 413, "%s is longer than %d bytes", path, INI_LIMIT_BYTES);
    out->len += got;
    return true;
}
