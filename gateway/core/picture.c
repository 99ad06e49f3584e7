/* The heads of picture files. Every number is read within the bytes that there are. */
#include "gateway/core/picture.h"

#include <stdio.h>
#include <string.h>

static uint32_t big(struct bytes b, size_t at, size_t len)
{
    uint32_t value = 0;
    for (size_t i = 0; i < len; i++)
        value = value << 8 | (at + i < b.len ? (unsigned char)b.data[at + i] : 0);
    return value;
}

static uint32_t little(struct bytes b, size_t at, size_t len)
{
    uint32_t value = 0;
    for (size_t i = len; i-- > 0;)
        value = value << 8 | (at + i < b.len ? (unsigned char)b.data[at + i] : 0);
    return value;
}

static bool has(struct bytes b, size_t at, const char *text, size_t len)
{
    return b.len >= at + len && memcmp(b.data + at, text, len) == 0;
}

static void measure_png(struct bytes b, struct picture *out)
{
    out->width = big(b, 16, 4);
    out->height = big(b, 20, 4);
}

static void measure_gif(struct bytes b, struct picture *out)
{
    out->width = little(b, 6, 2);
    out->height = little(b, 8, 2);
}

static void measure_bmp(struct bytes b, struct picture *out)
{
    int32_t height = (int32_t)little(b, 22, 4);
    out->width = little(b, 18, 4);
    out->height = height < 0 ? -(int64_t)height : height; /* negative: from the top down */
}

/* The frame's size stands in a marker C0 to CF that is neither a table (C4), nor reserved (C8), nor
 * for arithmetic coding (CC). */
static void measure_jpeg(struct bytes b, struct picture *out)
{
    size_t at = 2;
    while (at + 9 <= b.len && (unsigned char)b.data[at] == 0xff) {
        unsigned char marker = (unsigned char)b.data[at + 1];
        if (marker == 0xff) {
            at++;
            continue;
        }
        if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 &&
            marker != 0xcc) {
            out->height = big(b, at + 5, 2);
            out->width = big(b, at + 7, 2);
            return;
        }
        at += 2 + big(b, at + 2, 2);
    }
}

static void measure_webp(struct bytes b, struct picture *out)
{
    if (b.len < 30)
        return;
    if (has(b, 12, "VP8X", 4)) {
        out->width = 1 + (int64_t)little(b, 24, 3);
        out->height = 1 + (int64_t)little(b, 27, 3);
    } else if (has(b, 12, "VP8L", 4)) {
        uint32_t bits = little(b, 21, 4);
        out->width = 1 + (int64_t)(bits & 0x3fff);
        out->height = 1 + (int64_t)(bits >> 14 & 0x3fff);
    } else if (has(b, 12, "VP8 ", 4)) {
        out->width = little(b, 26, 2) & 0x3fff;
        out->height = little(b, 28, 2) & 0x3fff;
    }
}

static const struct {
    const char *start;
    size_t len;
    const char *second; /* at 8; NULL: none */
    size_t least;       /* bytes that it needs */
    const char *mime_type;
    void (*measure)(struct bytes b, struct picture *out);
} kinds[] = {
    {"\x89PNG\r\n\x1a\n", 8, NULL, 24, "image/png", measure_png},
    {"GIF87a", 6, NULL, 10, "image/gif", measure_gif},
    {"GIF89a", 6, NULL, 10, "image/gif", measure_gif},
    {"\xff\xd8\xff", 3, NULL, 4, "image/jpeg", measure_jpeg},
    {"RIFF", 4, "WEBP", 12, "image/webp", measure_webp},
    {"BM", 2, NULL, 26, "image/bmp", measure_bmp},
};

/* --- SVG */

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Where the element svg begins, behind a declaration, comments and a doctype; NULL. */
static const char *find_svg(const char *text)
{
    for (const char *at = strchr(text, '<'); at; at = strchr(at + 1, '<')) {
        if (strncmp(at, "<svg", 4) == 0 && (is_space(at[4]) || at[4] == '>'))
            return at + 4;
        if (strncmp(at, "<!--", 4) == 0)
            at = strstr(at, "-->");
        else if (at[1] != '?' && at[1] != '!')
            return NULL;
        if (!at)
            return NULL;
    }
    return NULL;
}

/* A length in pixels (or without a unit) of an attribute; 0: there is none such. */
static int64_t length_of(const char *text, size_t len, const char *name)
{
    size_t name_len = strlen(name);
    for (size_t i = 1; i + name_len + 2 < len; i++) {
        const char *at = text + i;
        if (!is_space(at[-1]) || strncmp(at, name, name_len) != 0)
            continue;
        at += name_len;
        at += *at == '=';
        if (*at != '"' && *at != '\'')
            continue;
        double value = 0;
        int taken = 0;
        if (sscanf(at + 1, "%9lf%n", &value, &taken) != 1 || !(value >= 1 && value < 1e6))
            return 0;
        const char *unit = at + 1 + taken;
        bool pixels = *unit == *at || (strncmp(unit, "px", 2) == 0 && unit[2] == *at);
        return pixels ? (int64_t)(value + 0.5) : 0;
    }
    return 0;
}

static bool look_svg(struct bytes head, struct picture *out)
{
    scoped(string) char *text = xstrndup(head.data, head.len < 4096 ? head.len : 4096);
    const char *start = text;
    start += strncmp(start, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (is_space(*start))
        start++;
    const char *svg = *start == '<' ? find_svg(start) : NULL;
    if (!svg)
        return false;
    size_t len = strcspn(svg, ">");
    *out = (struct picture){"image/svg+xml", length_of(svg, len, "width"),
                            length_of(svg, len, "height")};
    return true;
}

bool picture_look(struct bytes head, struct picture *out)
{
    for (size_t i = 0; i < countof(kinds); i++) {
        if (head.len < kinds[i].least || !has(head, 0, kinds[i].start, kinds[i].len) ||
            (kinds[i].second && !has(head, 8, kinds[i].second, 4)))
            continue;
        *out = (struct picture){kinds[i].mime_type, 0, 0};
        kinds[i].measure(head, out);
        return true;
    }
    return head.len > 0 && look_svg(head, out);
}
