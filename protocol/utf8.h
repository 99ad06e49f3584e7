/* UTF-8: checking, and counting code points (the protocol counts cursor positions in them). */
#ifndef WARMCELL_PROTOCOL_UTF8_H
#define WARMCELL_PROTOCOL_UTF8_H

#include "protocol/bytes.h"

/* Strict RFC 3629 (no surrogates, no overlong forms). */
bool utf8_valid(struct bytes text);

/* How many of the last bytes are the start of a character that is not complete yet (0..3): a stream
 * reader keeps them back until the rest arrives. */
size_t utf8_tail(struct bytes text);

/* Appends text with every byte that is not valid UTF-8 replaced by U+FFFD. */
void utf8_clean(struct buffer *out, struct bytes text);

#endif
