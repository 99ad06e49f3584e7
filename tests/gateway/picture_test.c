/* What the first bytes of pictures say, whole and cut off anywhere. */
#include "tests/unit.h"

#include "gateway/core/picture.h"

static const struct {
    struct bytes head;
    const char *mime_type; /* NULL: no picture */
    int64_t width, height;
} cases[] = {
    {LITERAL("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\2\0\0\0\7"), "image/png", 258, 7},
    {LITERAL("GIF87a\2\1\3\0"), "image/gif", 258, 3},
    {LITERAL("GIF89a\2\0\3\1"), "image/gif", 2, 259},
    {LITERAL("\xff\xd8\xff\xe0\0\4xx\xff\xff\xc4\0\3x\xff\xc2\0\x11\x08\0\2\1\0\3"), "image/jpeg",
     256, 2},
    {LITERAL("\xff\xd8\xff\xe0\xff\xff"), "image/jpeg", 0, 0},
    {LITERAL("\xff\xd8\xff\xe0\0\0\0\0\0\0\0\0\0"), "image/jpeg", 0, 0},
    {LITERAL("RIFF....WEBPVP8X\0\0\0\0\0\0\0\0\1\0\0\2\1\0"), "image/webp", 2, 259},
    {LITERAL("RIFF....WEBPVP8L\0\0\0\0\x2f\1\xc0\0\0....."), "image/webp", 2, 4},
    {LITERAL("RIFF....WEBPVP8 \0\0\0\0...\x9d\1\x2a\x10\0\x20\xc0"), "image/webp", 16, 32},
    {LITERAL("RIFF....WEBP"), "image/webp", 0, 0},
    {LITERAL("RIFF....WAVE"), NULL, 0, 0},
    {LITERAL("BM................\5\0\0\0\6\0\0\0"), "image/bmp", 5, 6},
    {LITERAL("BM................\5\0\0\0\xfa\xff\xff\xff"), "image/bmp", 5, 6},
    {LITERAL("BM"), NULL, 0, 0},
    {LITERAL("II*\0\x8\0\0\0\2\0\0\1\3\0\1\0\0\0\2\1\xff\xff\1\1\4\0\1\0\0\0\3\0\1\0"),
     "image/tiff", 258, 65539},
    {LITERAL("MM\0*\0\0\0\xa..\0\2\1\0\0\3\0\0\0\1\1\2\xff\xff\1\1\0\4\0\0\0\1\0\1\0\3"),
     "image/tiff", 258, 65539},
    {LITERAL("MM\0*\xff\xff\xff\xff"), "image/tiff", 0, 0},
    {LITERAL("<svg width=\"30\" height='40.4px'>"), "image/svg+xml", 30, 40},
    {LITERAL("\xef\xbb\xbf \n<?xml version=\"1.0\"?><!-- <svg> --><!DOCTYPE svg><svg\nwidth='9'/>"),
     "image/svg+xml", 9, 0},
    {LITERAL("<svg width=\"3em\" height=\"50%\">"), "image/svg+xml", 0, 0},
    {LITERAL("<?xml version=\"1.0\"?>\n<!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\">\n"
             "<svg height=\"345.6pt\" viewBox=\"0 0 460.8 345.6\" width=\"460.8pt\">"),
     "image/svg+xml", 614, 461},
    {LITERAL("<svg width=\"1in\" height=\"25.4mm\">"), "image/svg+xml", 96, 96},
    {LITERAL("<svg width = '2.54cm' height='6pc '>"), "image/svg+xml", 96, 96},
    {LITERAL("<svg width='101.6Q' height=' +1.5e1PX'>"), "image/svg+xml", 96, 15},
    {LITERAL("<svg width='460.79999999999999999' height='1.4'>"), "image/svg+xml", 461, 1},
    {LITERAL("<svg width='0x10' height='nan' viewBox='0 0 0 9'>"), "image/svg+xml", 0, 0},
    {LITERAL("<svg viewBox='-5,-5 , 30.5 40'>"), "image/svg+xml", 31, 40},
    {LITERAL("<svg width='100%' height='100%' viewBox='0 0 30 40'>"), "image/svg+xml", 30, 40},
    {LITERAL("<svg height='20' viewBox='0 0 30 40'>"), "image/svg+xml", 15, 20},
    {LITERAL("<svg width='3em' viewBox='0 0 30'>"), "image/svg+xml", 0, 0},
    {LITERAL("<svg width=\"1e9\" height=\"-4\">"), "image/svg+xml", 0, 0},
    {LITERAL("<svg data-width=\"7\" data-viewBox=\"0 0 1 1\">"), "image/svg+xml", 0, 0},
    {LITERAL("<svg><rect width=\"7\" height=\"8\"/>"), "image/svg+xml", 0, 0},
    {LITERAL("<svgs>"), NULL, 0, 0},
    {LITERAL("<!-- <svg width=\"1\">"), NULL, 0, 0},
    {LITERAL("<html><svg width=\"1\" height=\"1\">"), NULL, 0, 0},
    {LITERAL("text <svg>"), NULL, 0, 0},
    {LITERAL("\0<svg>"), NULL, 0, 0},
    {{NULL, 0}, NULL, 0, 0},
};

static void kinds(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(cases); i++) {
        struct picture found = {0};
        bool is_picture = picture_look(cases[i].head, &found);
        if (is_picture != (cases[i].mime_type != NULL))
            stop_test("row %zu: %s", i, is_picture ? found.mime_type : "no picture");
        if (!is_picture)
            continue;
        assert_text(found.mime_type, cases[i].mime_type);
        if (found.width != cases[i].width || found.height != cases[i].height)
            stop_test("row %zu: %lld x %lld", i, (long long)found.width, (long long)found.height);
    }
}

/* Each in memory of its own length, so that a read beyond it is seen by the sanitizers. */
static void cut_off(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(cases); i++)
        for (size_t len = 1; len < cases[i].head.len; len++) {
            struct picture found = {0};
            scoped(string) char *head = xmemdup(cases[i].head.data, len);
            if (picture_look((struct bytes){head, len}, &found) &&
                (found.width < 0 || found.height < 0 || !found.mime_type))
                stop_test("row %zu, %zu bytes: %lld x %lld", i, len, (long long)found.width,
                          (long long)found.height);
        }
}

/* What stands before the size, however long it is, and however it comes. */
static void far_behind(void **state)
{
    (void)state;
    scoped(buffer) struct buffer jpeg = {0}, tiff = {0};
    struct buffer *files[] = {&jpeg, &tiff};
    buffer_add(&jpeg, "\xff\xd8", 2);
    for (int i = 0; i < 9; i++) {
        scoped(string) char *profile = xcalloc(1, 65533);
        buffer_add(&jpeg, "\xff\xff\xe2\xff\xff", 5);
        buffer_add(&jpeg, profile, 65533);
    }
    buffer_add(&jpeg, "\xff\xc0\0\x11\x08\0\2\1\3\3and its pixels", 24);
    buffer_add(&tiff, "II*\0\0\0\x8\0", 8);
    while (tiff.len < 0x80000)
        buffer_add(&tiff, "pixels..", 8);
    buffer_add(&tiff, "\2\0\0\1\3\0\1\0\0\0\3\1\0\0\1\1\3\0\1\0\0\0\2\0\0\0", 26);
    static const size_t steps[] = {1, 7, 4096, 65536, 1 << 20};
    for (size_t f = 0; f < 2; f++)
        for (size_t i = 0; i < countof(steps); i++) {
            scoped(picture_head) struct picture_head head = {0};
            struct picture found = {0};
            for (size_t at = 0; at < files[f]->len; at += steps[i]) {
                size_t rest = files[f]->len - at;
                picture_head_add(
                    &head, (struct bytes){files[f]->data + at, rest < steps[i] ? rest : steps[i]});
                assert_true(head.bytes.len <= PICTURE_HEAD_BYTES);
                bool is_picture = picture_look(buffer_view(&head.bytes), &found);
                if (at + steps[i] > 8)
                    assert_true(is_picture);
            }
            if (found.width != 259 || found.height != 2)
                stop_test("file %zu in steps of %zu: %lld x %lld", f, steps[i],
                          (long long)found.width, (long long)found.height);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(kinds), cmocka_unit_test(cut_off),
                                       cmocka_unit_test(far_behind)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
