/* The machine's own network, as far as a sandbox that may reach the outside is concerned. */
#ifndef WARMCELL_SANDBOX_OUTSIDE_H
#define WARMCELL_SANDBOX_OUTSIDE_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stddef.h>

#include "protocol/err.h"
#include "sandbox/netlink.h"

#define OUTSIDE_OWN_MOST 4096

struct outside {
    bool v4, v6; /* there is a default route */
    /* The first name server of each family in resolv.conf; "": there is none. */
    char resolver4[INET_ADDRSTRLEN], resolver6[INET6_ADDRSTRLEN];
    struct prefix *own; /* owned: all that the machine takes for itself, loopback too */
    size_t own_count;
};

/* Looks, in the network namespace of the caller; 503. Freed by the caller when true. */
bool outside_read(struct outside *out, struct err *e);
void outside_free(struct outside *o);

/* Whether what pasta was started with still holds. */
bool outside_same_way(const struct outside *a, const struct outside *b);
/* Whether all that b takes for itself is in a, too. */
bool outside_has_own(const struct outside *a, const struct outside *b);

/* The first name servers in the text of a resolv.conf, into out, as pasta finds them, too.
 * Addresses with a scope ("fe80::1%eth0") are passed over. */
void outside_read_resolvers(const char *text, struct outside *out);

#endif
