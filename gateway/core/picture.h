/* What the first bytes of a picture say: its type, and how large it is. */
#ifndef WARMCELL_GATEWAY_CORE_PICTURE_H
#define WARMCELL_GATEWAY_CORE_PICTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/bytes.h"

#define PICTURE_HEAD_BYTES (64 * 1024) /* enough for all that is looked for */

struct picture {
    const char *mime_type; /* borrowed for ever */
    int64_t width, height; /* pixels; 0: not said in what there is */
};

/* PNG, GIF, JPEG, WebP, BMP, and SVG whose first element says so in pixels. False: it is none of
 * them. head comes from code that nobody trusts, and may be cut off anywhere. */
bool picture_look(struct bytes head, struct picture *out);

#endif
