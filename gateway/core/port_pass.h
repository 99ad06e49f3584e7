/* What lets a browser in at the origin of a sandbox's port: a ticket, good once and for a minute,
 * for which it is given a cookie there. Both name the principal, and hold at that one origin only.
 * They are signed with a key that this process alone has: nothing is kept for them. */
#ifndef WARMCELL_GATEWAY_CORE_PORT_PASS_H
#define WARMCELL_GATEWAY_CORE_PORT_PASS_H

#include "gateway/net/principal.h"
#include "protocol/bytes.h"

enum {
    PORT_TICKET_S = 60,
    PORT_COOKIE_S = 3600, /* renewed while it is used */
    PORT_PASS_LIMIT_BYTES = 512,
};

enum port_pass { PORT_TICKET, PORT_COOKIE };

struct port_passes;
struct port_passes *port_passes_new(void);
void port_passes_free(struct port_passes *p); /* NULL is legal */

/* Where a pass is good. Borrowed. */
struct port_place {
    const char *sandbox; /* its id */
    int port;
};

/* Appends one for who; letters, digits and "-._~@" alone. It ends with the token of who, or after
 * its time. now_s: since 1970. */
void port_pass_make(const struct port_passes *p, enum port_pass kind,
                    const struct port_place *place, const struct principal *who, int64_t now_s,
                    struct buffer *out);

/* Is text such a pass, of that kind and place, and not over? *left_s: how long it is still good. */
bool port_pass_read(const struct port_passes *p, enum port_pass kind,
                    const struct port_place *place, struct bytes text, int64_t now_s,
                    struct principal *who, int64_t *left_s);

/* False: it was used before. text: one that port_pass_read took. */
bool port_pass_use(struct port_passes *p, struct bytes text, int64_t now_s);

#endif
