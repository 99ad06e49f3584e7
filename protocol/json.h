/* JSON at the edges: members of a parsed body by name, raw slices of a text that is not to be
 * parsed and printed again, and quoting.
 *
 * Flags for jansson are always JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL. What a kernel or its client
 * wrote (content, metadata) is bytes to us: json_slices finds where each member stands. */
#ifndef WARMCELL_PROTOCOL_JSON_H
#define WARMCELL_PROTOCOL_JSON_H

#include <jansson.h>

#include "protocol/bytes.h"
#include "protocol/err.h"

enum presence { REQUIRED, OPTIONAL };

SCOPED(json, json_t *, json_decref)

/* Parses a whole body that must be an object. 400: "what: not valid JSON (where)" or "what:
 * must be an object"; 413 beyond limit_bytes. Returns a value the caller owns, or NULL with e
 * filled. what names the thing in the sentence ("body", "connection file"). */
json_t *json_parse_object(struct bytes text, const char *what, size_t limit_bytes, struct err *e);

/* Members of an object. An absent OPTIONAL member (or null) leaves *out as it was; an absent
 * REQUIRED one is 400 "name: is required"; a wrong type is 400 "name: must be a string". Strings
 * are borrowed from body and refused (400) if they contain NUL. */
bool field_str(json_t *body, const char *name, enum presence presence, const char **out,
               struct err *e);
bool field_int(json_t *body, const char *name, enum presence presence, int64_t low, int64_t high,
               int64_t *out, struct err *e); /* 400 "name: out of range (low to high)" */
bool field_bool(json_t *body, const char *name, enum presence presence, bool *out, struct err *e);
bool field_object(json_t *body, const char *name, enum presence presence, json_t **out,
                  struct err *e); /* borrowed */

/* One member of a JSON object to look for, and where it was found: value is the raw JSON text of
 * the value inside the text given, without surrounding white space; data == NULL: absent. */
struct slice {
    const char *name;
    struct bytes value;
};

/* Finds the raw values of top-level members of the JSON object in text. The whole text is checked
 * to be one well-formed JSON object (RFC 8259; depth at most 200; lone surrogate escapes are
 * accepted, invalid UTF-8 is not); a duplicate of a wanted member is an error; others are passed
 * over. 400 with the byte offset. */
bool json_slices(struct bytes text, struct slice *slices, size_t count, struct err *e);

/* Decodes a raw JSON string slice (with its quotes) to UTF-8; lone surrogates become U+FFFD. The
 * result is given to the caller, NUL-terminated, its length in *len (a string may hold NUL). NULL:
 * not a string. */
char *json_slice_string(struct bytes raw, size_t *len);
bool json_slice_is_object(struct bytes raw);
bool json_slice_bool(struct bytes raw, bool fallback);

/* Appends text as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD; control
 * characters, '"' and '\' are escaped, all else stays as it is. */
void json_quote(struct buffer *out, struct bytes text);

/* Appends value as compact JSON, members in their order; nothing for NULL. As json_dumps, but for
 * long texts, of which this one takes a tenth of the time. */
void json_write(struct buffer *out, json_t *value);

#endif
