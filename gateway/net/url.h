/* A request target: its path and query, decoded. RFC 3986, and the + of HTML forms in queries. */
#ifndef WARMCELL_GATEWAY_NET_URL_H
#define WARMCELL_GATEWAY_NET_URL_H

#include "protocol/bytes.h"
#include "protocol/err.h"

/* Decodes %XX into out, which has room for raw.len + 1 bytes, and ends it with NUL. plus: "+" is a
 * space. Returns the length, or -1: a broken escape, an encoded NUL, or not UTF-8. */
long url_decode(struct bytes raw, bool plus, char *out);
/* The same for what may be any bytes but NUL. */
long url_decode_bytes(struct bytes raw, bool plus, char *out);

/* Appends raw with every byte but letters, digits and "-._~/" as %XX: url_decode_bytes takes it
 * back. */
void url_encode_path(struct buffer *out, struct bytes raw);

/* Splits a target "/path?query" or "http://host/path?query" (as sent to proxies). The views borrow
 * target. 400: neither form. A fragment is an error too. */
bool url_split(struct bytes target, struct bytes *path, struct bytes *query, struct err *e);

/* True when a decoded path holds a segment "." or "..". */
bool url_climbs(const char *path);

/* The next raw pair of a query; false at its end. A pair without "=" has an empty value. */
bool url_query_next(struct bytes *query, struct bytes *name, struct bytes *value);

#endif
