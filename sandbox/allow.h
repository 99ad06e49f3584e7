/* Which hosts a sandbox may reach through the proxy, and which addresses nobody may unless they are
 * listed as such. Opens nothing and asks nobody. */
#ifndef WARMCELL_SANDBOX_ALLOW_H
#define WARMCELL_SANDBOX_ALLOW_H

#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/err.h"

#define ALLOW_RULES_MOST 256
#define ALLOW_HOST_MOST  253 /* characters of a name */

struct allow_rule {
    char *host;              /* lower case, without a final dot; of "*.x" only ".x"; owned */
    bool suffix;             /* it was "*.x": names below x, not x itself */
    bool literal;            /* an address */
    struct in6_addr address; /* of a literal; IPv4 as ::ffff:a.b.c.d */
    uint16_t port;           /* 0: none was given, 80 and 443 */
};

struct allow {
    struct allow_rule rules[ALLOW_RULES_MOST];
    size_t count;
};

/* Reads ["pypi.org", "*.example.com:8443", "192.0.2.7:5432", "[2001:db8::1]"]. 400 names the entry.
 */
bool allow_read(json_t *list, struct allow *out, struct err *e);
void allow_free(struct allow *a); /* what it owns; it is then empty */

/* Makes a name of a request what rules are compared with: lower case, no final dot. false: it holds
 * what no name holds; it is then not to be looked up. Brackets of an IPv6 address go. */
bool allow_normalize(const char *host, char out[ALLOW_HOST_MOST + 1]);

/* host: normalized. An address is only allowed as an address. */
bool allow_host(const struct allow *a, const char *host, uint16_t port);

/* May a connection go to this address, which an allowed name has? Those of the public Internet, and
 * those that a rule lists. *kind: what else it is ("loopback", "private", "link-local", ...). That
 * it is one of this machine's own is for the caller to say. */
bool allow_address(const struct allow *a, const struct sockaddr *address, const char **kind);
/* Only by a rule that lists it. */
bool allow_listed(const struct allow *a, const struct sockaddr *address);

#endif
