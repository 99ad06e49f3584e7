/* The inside of JSON strings: what the scanner and the quoting share. */
#ifndef WARMCELL_PROTOCOL_JSON_STRING_H
#define WARMCELL_PROTOCOL_JSON_STRING_H

#include "protocol/bytes.h"

/* How many bytes at the start of text stand for themselves in a JSON string: ASCII but for control
 * characters, '"' and '\'. */
size_t json_plain_run(struct bytes text);

/* The value of four hexadecimal digits; -1: they are not. */
int json_hex4(const char digits[4]);

#endif
