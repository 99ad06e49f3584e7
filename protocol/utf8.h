/* UTF-8 as RFC 3629 has it: no surrogates, no overlong forms, nothing above U+10FFFF. */
#ifndef WARMCELL_PROTOCOL_UTF8_H
#define WARMCELL_PROTOCOL_UTF8_H

#include "protocol/bytes.h"

#define UTF8_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

bool utf8_valid(struct bytes text);

/* The length (1..4) of the character that text starts with; 0: it starts with none (or is empty).
 */
size_t utf8_character(struct bytes text);

/* How many bytes at the start of text are whole characters beyond ASCII. */
size_t utf8_beyond_ascii(struct bytes text);

/* How many of the last bytes are the start of a character that is not complete yet (0..3): a stream
 * reader keeps them back until the rest arrives. */
size_t utf8_tail(struct bytes text);

/* Appends text with every byte that is not valid UTF-8 replaced by U+FFFD. */
void utf8_clean(struct buffer *out, struct bytes text);

/* Appends the code point (at most 0x10FFFF); a surrogate becomes U+FFFD. */
void utf8_add(struct buffer *out, uint32_t code_point);

#endif
