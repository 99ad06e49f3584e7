/* Lets a server inside a sandbox answer an exchange: the request goes there, its reply comes back,
 * each in pieces of bounded memory and at the pace of who reads it. docs/ports.md says what of
 * headers passes. */
#ifndef WARMCELL_GATEWAY_NET_RELAY_H
#define WARMCELL_GATEWAY_NET_RELAY_H

#include "gateway/net/exchange.h"

struct relay_plan {
    int port;           /* where it listens inside */
    const char *prefix; /* the path before its own ("/v1/sandboxes/ID/ports/8000"); NULL: the
                           exchange came to an origin of its own (net/site.h) */
    const char *target; /* what it is asked for: its own path, which begins with "/", and query */
    const char *cookie; /* the name of ours at that origin, which stays outside; NULL: none is */
    int64_t reply_s;    /* how long it may take to begin its reply */
    void (*done)(void *user); /* all is closed; NULL is legal */
    void *user;
};

/* The exchange is of a ROUTE_RELAY and ends by this. fd: a connected socket that does not block;
 * taken. plan is copied. The client is told 400 (a header holds bytes that it may not), 502 (what
 * came from inside is no HTTP, or too long, or ended early) and 504; a reply that has begun
 * breaks off instead. */
void relay_begin(struct exchange *x, int fd, const struct relay_plan *plan);

#endif
