/* Which MIME type a file has, and its content as that type has it in a bundle. */
#include "kernel/bash/show.h"

#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "kernel/driver/driver.h"

#define LOOKED_AT_BYTES 512

static const struct {
    const char *type, *magic;
    size_t len;
} magics[] = {
    {"image/png", "\x89PNG\r\n\x1a\n", 8},
    {"image/jpeg", "\xff\xd8\xff", 3},
    {"image/gif", "GIF8", 4},
    {"application/pdf", "%PDF-", 5},
};

/* What a text of that type begins with, after white space; in any case. */
static const struct {
    const char *type, *word;
} beginnings[] = {
    {"image/svg+xml", "<svg"},
    {"text/html", "<!doctype html"},
    {"text/html", "<html"},
};

static const struct {
    const char *type, *ending;
} endings[] = {
    {"image/svg+xml", ".svg"}, {"text/html", ".html"},        {"text/html", ".htm"},
    {"text/markdown", ".md"},  {"application/json", ".json"}, {"text/latex", ".tex"},
    {"text/plain", ".txt"},    {"text/plain", ".log"},        {"text/plain", ".csv"},
};

static const char *type_of_content(struct bytes data)
{
    for (size_t i = 0; i < countof(magics); i++)
        if (data.len >= magics[i].len && memcmp(data.data, magics[i].magic, magics[i].len) == 0)
            return magics[i].type;
    size_t at = 0, most = data.len < LOOKED_AT_BYTES ? data.len : LOOKED_AT_BYTES;
    while (at < most && strchr(" \t\r\n", data.data[at]))
        at++;
    for (size_t i = 0; i < countof(beginnings); i++) {
        size_t len = strlen(beginnings[i].word);
        if (data.len - at >= len && strncasecmp(data.data + at, beginnings[i].word, len) == 0)
            return beginnings[i].type;
    }
    bool xml = data.len - at > 5 && memcmp(data.data + at, "<?xml", 5) == 0;
    return xml && memmem(data.data, most, "<svg", 4) ? "image/svg+xml" : NULL;
}

static const char *type_of_name(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < countof(endings); i++) {
        size_t end = strlen(endings[i].ending);
        if (len > end && strcasecmp(name + len - end, endings[i].ending) == 0)
            return endings[i].type;
    }
    return NULL;
}

static bool is_type(const char *type)
{
    const char *slash = strchr(type, '/');
    return slash && slash != type && slash[1] && !strpbrk(type, " \t\r\n") &&
           !strchr(slash + 1, '/');
}

static bool ends_in(const char *text, const char *end)
{
    size_t len = strlen(text), tail = strlen(end);
    return len >= tail && strcmp(text + len - tail, end) == 0;
}

static json_t *value_of(const char *type, struct bytes data, struct err *e)
{
    if (strcmp(type, "application/json") == 0 || ends_in(type, "+json")) {
        json_error_t at;
        json_t *value = json_loadb(data.data, data.len,
                                   JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &at);
        if (!value)
            fail(e, 400, "no %s: %s", type, at.text);
        return value;
    }
    bool text = strncmp(type, "text/", 5) == 0 || ends_in(type, "+xml") ||
                strcmp(type, "application/javascript") == 0;
    return text ? driver_text(data) : driver_base64(data);
}

static bool make_content(struct show *out, const char *const words[3], struct bytes data,
                         struct err *e)
{
    const char *type = *words[0] ? words[0] : type_of_content(data);
    if (!type)
        type = type_of_name(words[2]);
    if (!type)
        return fail(e, 400, "%.200s: neither content nor name says what it is; -m TYPE does",
                    words[2]);
    if (!is_type(type))
        return fail(e, 400, "%.100s is no MIME type", type);
    json_t *value = value_of(type, data, e);
    if (!value)
        return false;
    out->content = json_pack("{s:o, s:{}, s:{}}", "data", json_object(), "metadata", "transient");
    json_object_set_new_nocheck(json_object_get(out->content, "data"), type, value);
    if (*words[1])
        json_object_set_new(json_object_get(out->content, "transient"), "display_id",
                            driver_text(bytes_of(words[1])));
    return true;
}

bool show_read(struct show *out, const char *text, size_t len, int data_fd, struct err *e)
{
    const char *words[3] = {text, "", ""};
    for (size_t i = 0, n = 1; i + 1 < len && n < countof(words); i++)
        if (text[i] == '\0')
            words[n++] = text + i + 1;
    struct stat found;
    if (fstat(data_fd, &found) != 0)
        return fail_errno(e, 400, "%.200s: cannot be read", words[2]);
    if (found.st_size == 0)
        return make_content(out, words, (struct bytes){"", 0}, e);
    void *data = mmap(NULL, (size_t)found.st_size, PROT_READ, MAP_PRIVATE, data_fd, 0);
    if (data == MAP_FAILED)
        return fail_errno(e, 400, "%.200s: cannot be read", words[2]);
    bool ok = make_content(out, words, (struct bytes){data, (size_t)found.st_size}, e);
    munmap(data, (size_t)found.st_size);
    return ok;
}
