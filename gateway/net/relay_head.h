/* What passes of the heads of a relayed exchange, in both directions (docs/ports.md): one table for
 * all names, and the few headers that speak of addresses are rewritten. */
#ifndef WARMCELL_GATEWAY_NET_RELAY_HEAD_H
#define WARMCELL_GATEWAY_NET_RELAY_HEAD_H

#include "gateway/net/relay.h"
#include "gateway/net/relay_reply.h"

/* Appends the request as the server inside gets it, to the empty line. 400: a value holds control
 * characters. */
bool relay_request_head(const struct exchange *x, const struct relay_plan *plan, struct buffer *out,
                        struct err *e);

/* Appends the header lines of its reply as the client gets them, without those of the framing. */
void relay_reply_lines(const struct exchange *x, const struct relay_plan *plan,
                       const struct relay_reply *r, struct buffer *out);

/* The lines of a 101: the same, with Upgrade. */
void relay_upgrade_lines(const struct exchange *x, const struct relay_plan *plan,
                         const struct relay_reply *r, struct buffer *out);

/* Appends a Location as the client must see it: what leads to the server inside leads to where the
 * client calls it, all else stays. */
void relay_location(const struct relay_plan *plan, const char *value, struct buffer *out);

/* Appends a Set-Cookie without its Domain: it is that origin's alone. False: it has the name of
 * ours, and nothing was appended. */
bool relay_set_cookie(const char *value, const char *ours, struct buffer *out);

/* Appends a Cookie header's value without the cookie of that name. False: nothing is left. */
bool relay_cookie(const char *value, const char *ours, struct buffer *out);

#endif
