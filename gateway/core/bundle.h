/* A MIME bundle as raw JSON: its members in order, and base64 in JSON strings. */
#ifndef WARMCELL_GATEWAY_CORE_BUNDLE_H
#define WARMCELL_GATEWAY_CORE_BUNDLE_H

#include "protocol/bytes.h"

/* Takes the next member off the inside of a JSON object. rest starts as the whole object with its
 * braces; it must be well-formed (json_slices found it so). name and value are raw, with quotes.
 * False: no more. */
bool bundle_next(struct bytes *rest, struct bytes *name, struct bytes *value);

/* Decodes base64 in pieces out of raw JSON strings: escapes are read, line breaks passed over. {0}
 * is the start. */
struct base64 {
    uint32_t bits;
    int have; /* characters of a group of four so far */
    int padding;
    int escape;    /* 0: none; 1: after a backslash; 2..5: hexadecimal digits that are missing, less
                      one */
    uint32_t code; /* of a \u escape */
    bool broken;
};

/* Decodes text (the inside of a raw JSON string, or any part of it) and appends the bytes to out.
 * False: it is not base64. */
bool base64_decode(struct base64 *state, struct bytes text, struct buffer *out);

/* True when what came so far is whole. */
bool base64_whole(const struct base64 *state);

#endif
