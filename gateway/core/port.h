/* Servers that listen inside sandboxes: connections to them, and which there are (docs/ports.md).
 */
#ifndef WARMCELL_GATEWAY_CORE_PORT_H
#define WARMCELL_GATEWAY_CORE_PORT_H

#include <jansson.h>

#include "gateway/core/sandbox.h"

enum {
    PORTS_OF_SANDBOX = 64,    /* connections at one time; 429 */
    PORTS_OF_PRINCIPAL = 256, /* of all their sandboxes; 429 */
    PORT_CONNECT_MS = 10 * 1000,
    PORTS_LISTED = 256, /* ports in one list */
};

/* One connection, which counts until it is released. */
struct port_use;
void port_release(void *use); /* a struct port_use */

/* Connects to what listens at loopback of the sandbox, at 127.0.0.1 or else ::1, for who. done is
 * called once, at once or later, with a socket that does not block (taken) and the use that it
 * counts as, or -1 and why: 409, the sandbox is being saved or ended; 429, too many; 501, it has no
 * network of its own on this machine; 502, nothing listens; 503; 504, it does not accept. */
void port_connect_to(struct sandbox *s, const struct principal *who, int port,
                     void (*done)(void *user, int fd, struct port_use *use, const struct err *e),
                     void *user);

/* What listens: [{"port", "address"}], by port, and whether there is more; list is borrowed. done
 * as above. */
void ports_list(struct sandbox *s,
                void (*done)(void *user, json_t *list, bool more, const struct err *e), void *user);

/* Is a connection to one of its ports open? */
bool ports_used(const struct sandbox *s);

/* What lets browsers in (port_pass.h); borrowed. */
struct port_passes *core_port_passes(struct core *c);

/* The number of a port in a path; 400. */
bool port_read(const char *text, int *port, struct err *e);

#endif
