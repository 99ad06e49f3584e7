/* The network of a sandbox: what it may be, and the proxy at 127.0.0.1:3128 that lets listed hosts
 * through. ("full" is in sandbox/pasta.h.)
 *
 * The proxy is a process outside (warmcell-proxy), one for each keeper, with no rights but to
 * connect. The keeper makes a listening socket in the sandbox's own network namespace, where there
 * is nothing else, and hands it over; so the namespace stays without a way out of its own. */
#ifndef WARMCELL_SANDBOX_PROXY_H
#define WARMCELL_SANDBOX_PROXY_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "protocol/err.h"
#include "sandbox/outsider.h"
#include "sandbox/wire.h"

#define PROXY_PROGRAM "warmcell-proxy"
#define PROXY_PORT    3128

/* Words on the socket between a keeper and its proxy: datagrams of sandbox/wire.h. */
enum proxy_word {
    PROXY_OPEN = 96,   /* {"sandbox": id, "allow": [...]}, and a listening socket */
    PROXY_CLOSE = 97,  /* {"sandbox": id}: its connections end, too */
    PROXY_RENAME = 98, /* {"sandbox": id, "to": id}: the audit has the new name from now on */
};

enum network {
    NETWORK_NONE,
    NETWORK_ALLOW, /* {"allow": ["pypi.org", "*.example.com:8443"]} */
    NETWORK_FULL,
};

/* value: NULL, null or "none"; "full"; or {"allow": [...]}. 400: what is wrong. */
bool network_read(json_t *value, enum network *out, struct err *e);

/* NAME=VALUE strings for the environment of what runs behind the proxy; NULL at the end. */
extern const char *const network_environment[];

/* Starts the proxy as that uid (0: ours), with its audit file (appended to, made with mode 0600;
 * NULL: no audit). 503. */
bool proxy_start(struct outsider *o, uid_t uid, const char *audit_path, struct err *e);

/* Opens the way of a sandbox whose namespaces (of struct boundary) are given: network is what
 * network_read took for NETWORK_ALLOW; borrowed. 503. */
bool proxy_open(struct outsider *o, const char *id, json_t *network,
                const int namespaces[WIRE_NAMESPACES], struct err *e);
void proxy_rename(struct outsider *o, const char *from, const char *to);
void proxy_close(struct outsider *o, const char *id);

#endif
