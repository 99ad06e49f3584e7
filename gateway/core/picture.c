/* The heads of picture files. Every number is read within the bytes that there are. Sources:
 * TIFF 6.0, section 2; CSS Values 4, absolute lengths; SVG 2, 8.8. */
#include "gateway/core/picture.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SVG_BYTES        (16 * 1024) /* in which its first element stands */
#define NUMBER_TEXT      32
#define PIXELS_LIMIT     1e6
#define SPACES           " \t\r\n"
#define TIFF_ENTRY_BYTES 12
#define TIFF_SHORT       3
#define TIFF_LONG        4

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
static bool is_frame(unsigned char marker)
{
    return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

/* Where the frame of a JPEG begins, or what of it is not there or no segment; beyond b's end: so
 * far nothing but other segments. */
static size_t jpeg_frame(struct bytes b)
{
    size_t at = 2;
    while (at + 4 <= b.len && (unsigned char)b.data[at] == 0xff) {
        unsigned char marker = (unsigned char)b.data[at + 1];
        size_t len = big(b, at + 2, 2);
        if (marker == 0xff)
            at++;
        else if (is_frame(marker) || len < 2)
            break;
        else
            at += 2 + len;
    }
    return at;
}

static void measure_jpeg(struct bytes b, struct picture *out)
{
    size_t at = jpeg_frame(b);
    if (at + 9 > b.len || !is_frame((unsigned char)b.data[at + 1]))
        return;
    out->height = big(b, at + 5, 2);
    out->width = big(b, at + 7, 2);
}

/* Width and height are tags 256 and 257 of the first directory, a short or a long each. */
static void measure_tiff(struct bytes b, struct picture *out)
{
    uint32_t (*number)(struct bytes, size_t, size_t) = b.data[0] == 'M' ? big : little;
    size_t at = number(b, 4, 4);
    size_t count = number(b, at, 2);
    for (at += 2; count > 0 && at + TIFF_ENTRY_BYTES <= b.len; count--, at += TIFF_ENTRY_BYTES) {
        uint32_t tag = number(b, at, 2), type = number(b, at + 2, 2);
        if (type != TIFF_SHORT && type != TIFF_LONG)
            continue;
        int64_t value = number(b, at + 8, type == TIFF_SHORT ? 2 : 4);
        if (tag == 256)
            out->width = value;
        else if (tag == 257)
            out->height = value;
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
    {"\xff\xd8\xff", 3, NULL, 3, "image/jpeg", measure_jpeg},
    {"RIFF", 4, "WEBP", 12, "image/webp", measure_webp},
    {"BM", 2, NULL, 26, "image/bmp", measure_bmp},
    {"II*\0", 4, NULL, 8, "image/tiff", measure_tiff},
    {"MM\0*", 4, NULL, 8, "image/tiff", measure_tiff},
};

/* --- the head */

/* Removes what stands from `from` to `until`, which may not all be there yet. */
static void cut(struct picture_head *h, size_t from, uint64_t until)
{
    struct buffer *b = &h->bytes;
    size_t end = until < b->len ? (size_t)until : b->len;
    h->pass = until - end;
    memmove(b->data + from, b->data + end, b->len - end);
    b->len -= end - from;
}

/* A JPEG's segments in front of its frame, and what a TIFF has in front of its directory. */
static void squeeze(struct picture_head *h)
{
    struct bytes b = buffer_view(&h->bytes);
    if (has(b, 0, "\xff\xd8\xff", 3)) {
        size_t frame = jpeg_frame(b);
        if (frame > 3)
            cut(h, 3, frame); /* what is left begins as it did: FF may come as often as one likes */
    } else if (b.len >= 8 && (has(b, 0, "II*\0", 4) || has(b, 0, "MM\0*", 4))) {
        bool is_big = b.data[0] == 'M';
        uint32_t at = is_big ? big(b, 4, 4) : little(b, 4, 4);
        if (at <= 8)
            return;
        cut(h, 8, at);
        memcpy(h->bytes.data + 4, is_big ? "\0\0\0\10" : "\10\0\0\0", 4);
    }
}

void picture_head_add(struct picture_head *h, struct bytes data)
{
    for (;;) {
        size_t passed = h->pass < data.len ? (size_t)h->pass : data.len;
        h->pass -= passed;
        data = (struct bytes){data.data + passed, data.len - passed};
        size_t room = PICTURE_HEAD_BYTES - h->bytes.len;
        size_t len = data.len < room ? data.len : room;
        if (len == 0)
            return;
        buffer_add(&h->bytes, data.data, len);
        data = (struct bytes){data.data + len, data.len - len};
        squeeze(h);
    }
}

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

/* The value of an attribute, behind its quotation mark; NULL. text ends with a NUL behind len. */
static const char *attribute(const char *text, size_t len, const char *name)
{
    size_t name_len = strlen(name);
    for (size_t i = 1; i + name_len + 2 < len; i++) {
        const char *at = text + i;
        if (!is_space(at[-1]) || strncmp(at, name, name_len) != 0)
            continue;
        at += name_len;
        at += strspn(at, SPACES);
        if (*at != '=')
            continue;
        at += 1 + strspn(at + 1, SPACES);
        if (*at == '"' || *at == '\'')
            return at + 1;
    }
    return NULL;
}

/* A decimal number; *text is then behind it. 0: there is none. */
static double number_at(const char **text)
{
    char digits[NUMBER_TEXT] = "", *end;
    size_t len = strspn(*text, "+-.0123456789eE");
    if (len >= sizeof(digits))
        return 0;
    memcpy(digits, *text, len);
    double value = strtod(digits, &end);
    *text += end - digits;
    return value;
}

static double in_bounds(double pixels)
{
    return pixels > 0 && pixels < PIXELS_LIMIT ? pixels : 0;
}

/* A length in pixels of CSS; 0: there is none such, or it is of something that is not said here. */
static double length_of(const char *text, size_t len, const char *name)
{
    static const struct {
        const char *name;
        double pixels;
    } units[] = {{"", 1},           {"px", 1},         {"pt", 96 / 72.}, {"in", 96},
                 {"cm", 96 / 2.54}, {"mm", 96 / 25.4}, {"pc", 16},       {"q", 96 / 101.6}};
    const char *value = attribute(text, len, name);
    if (!value)
        return 0;
    char quote = value[-1];
    value += strspn(value, SPACES);
    double number = number_at(&value);
    for (size_t i = 0; i < countof(units); i++) {
        size_t unit = strlen(units[i].name);
        if (strncasecmp(value, units[i].name, unit) == 0 &&
            value[unit + strspn(value + unit, SPACES)] == quote)
            return in_bounds(number * units[i].pixels);
    }
    return 0;
}

/* "0 0 460.8 345.6", with spaces or commas between. */
static bool view_box(const char *text, size_t len, double *width, double *height)
{
    double numbers[4];
    const char *at = attribute(text, len, "viewBox");
    for (size_t i = 0; at && i < countof(numbers); i++) {
        at += strspn(at, SPACES ",");
        numbers[i] = number_at(&at);
    }
    *width = at ? in_bounds(numbers[2]) : 0;
    *height = at ? in_bounds(numbers[3]) : 0;
    return *width > 0 && *height > 0;
}

static void measure_svg(const char *text, size_t len, struct picture *out)
{
    double width = length_of(text, len, "width"), height = length_of(text, len, "height");
    double view_width, view_height;
    if ((width == 0 || height == 0) && view_box(text, len, &view_width, &view_height)) {
        double scale = width > 0 ? width / view_width : height > 0 ? height / view_height : 1;
        width = in_bounds(view_width * scale);
        height = in_bounds(view_height * scale);
    }
    out->width = (int64_t)(width + 0.5);
    out->height = (int64_t)(height + 0.5);
}

static bool look_svg(struct bytes head, struct picture *out)
{
    scoped(string) char *text = xstrndup(head.data, head.len < SVG_BYTES ? head.len : SVG_BYTES);
    const char *start = text;
    start += strncmp(start, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (is_space(*start))
        start++;
    const char *svg = *start == '<' ? find_svg(start) : NULL;
    if (!svg)
        return false;
    *out = (struct picture){"image/svg+xml", 0, 0};
    measure_svg(svg, strcspn(svg, ">"), out);
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
