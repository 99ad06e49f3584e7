/* Words to the kernel about interfaces, addresses and routes (rtnetlink(7)): just those that the
 * network of a sandbox takes. Numbers are as the kernel has them. */
#ifndef WARMCELL_SANDBOX_NETLINK_H
#define WARMCELL_SANDBOX_NETLINK_H

#include <stdbool.h>
#include <stdint.h>

struct prefix {
    uint8_t family; /* AF_INET, AF_INET6; 0: none */
    uint8_t len;    /* bits */
    uint8_t bytes[16];
};

/* "192.0.2.0/24", "fe80::/10"; without a length the whole address. False: it is none. */
bool prefix_read(const char *text, struct prefix *out);

struct route {
    uint8_t type;       /* RTN_UNICAST, RTN_PROHIBIT, RTN_LOCAL, ... */
    struct prefix to;   /* len 0: the default route of its family */
    struct prefix over; /* the gateway, which need not be on the link; family 0: none */
    const char *out;    /* the interface; NULL: none */
};

/* A socket in the network namespace of the caller; groups is a mask of RTMGRP_*. -1 with errno. */
int netlink_open(uint32_t groups);

/* Each does one thing and waits for the kernel: 0, or -1 with errno. What exists already is done.
 */
int netlink_pair(int fd, const char *name, const char *peer, int peer_namespace_fd);
int netlink_up(int fd, const char *name, uint32_t mtu); /* mtu 0: as it is */
int netlink_address(int fd, const char *name, const struct prefix *address);
int netlink_route(int fd, const struct route *route);

/* Every route of both families, those of the table "local" too; out and over are not told. */
int netlink_routes(int fd, void (*each)(void *data, const struct route *route), void *data);

#endif
