/* Origins of their own for what sandboxes serve: http://8000-SANDBOX.DOMAIN:PORT/ is port 8000 of
 * that sandbox, so that no page from inside shares an origin with the gateway, or with what another
 * sandbox or port serves. A browser resolves every name below localhost to this machine. */
#ifndef WARMCELL_GATEWAY_NET_SITE_H
#define WARMCELL_GATEWAY_NET_SITE_H

#include <stdbool.h>

#include "gateway/net/principal.h"
#include "protocol/bytes.h"
#include "protocol/ids.h"

struct exchange;
struct route;
struct server;

#define SITE_PORT_TEXT 6

struct site {
    int port; /* 1 to 65535 */
    char port_text[SITE_PORT_TEXT];
    char sandbox[UUID_TEXT]; /* its id; nobody has looked whether there is one */
};

/* Who answers what is asked of such an origin. Nothing of the gateway's own is there. */
struct sites {
    const struct route *route; /* ROUTE_RELAY: the row of all its paths; has "id" and "n" */
    void *context;
    /* Who asks: the gateway's cookies and tokens in a query do not count there. False: nobody that
     * is known. */
    bool (*who)(void *context, const struct exchange *x, const struct site *site,
                struct principal *out);
};

/* Is host ("8000-ID.DOMAIN", a port may follow) such an origin? domain "": there is none. */
bool site_of_host(const char *host, const char *domain, struct site *out);

/* From now on these are served. Copied; before server_listen or after. */
void server_sites(struct server *s, const struct sites *sites);

/* The origin that was called; NULL: the gateway's own. */
const struct site *exchange_site(const struct exchange *x);

/* Appends "http://8000-ID.DOMAIN:PORT", as the caller of x could reach it. False: there is no such
 * origin: the gateway listens at a Unix socket, or beyond this machine and was told no domain. */
bool exchange_site_url(const struct exchange *x, const char *sandbox, int port, struct buffer *out);

#endif
