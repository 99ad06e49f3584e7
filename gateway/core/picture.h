/* What a picture says of itself: its type, and how large it is. */
#ifndef WARMCELL_GATEWAY_CORE_PICTURE_H
#define WARMCELL_GATEWAY_CORE_PICTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/bytes.h"

#define PICTURE_HEAD_BYTES (64 * 1024)

struct picture {
    const char *mime_type; /* borrowed for ever */
    int64_t width, height; /* pixels; 0: not said in what there is */
};

/* The bytes of a file that picture_look() needs, as they come: the first PICTURE_HEAD_BYTES, and
 * instead of what a JPEG or TIFF has before its size (EXIF, profiles, the pixels themselves) what
 * comes behind. Empty to begin with. */
struct picture_head {
    struct buffer bytes;
    uint64_t pass; /* of what comes next, not to be kept */
};
static inline void picture_head_scoped(struct picture_head *h)
{
    buffer_free(&h->bytes);
}
void picture_head_add(struct picture_head *h, struct bytes data);

/* PNG, GIF, JPEG, WebP, BMP, TIFF, and SVG. SVG's size is that of its first element's width and
 * height in absolute units of CSS (96 px are an inch), else its viewBox's; where one of the two is
 * given, the other is as the viewBox has them to each other. Rounded to whole pixels. False: it is
 * none of them. head comes from code that nobody trusts, and may be cut off anywhere. */
bool picture_look(struct bytes head, struct picture *out);

#endif
