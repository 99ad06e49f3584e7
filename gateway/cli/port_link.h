/* One connection to the local port of `warmcell port`, and the one to the gateway behind it. */
#ifndef WARMCELL_GATEWAY_CLI_PORT_LINK_H
#define WARMCELL_GATEWAY_CLI_PORT_LINK_H

#include <poll.h>

#include "gateway/cli/port_head.h"
#include "gateway/cli/target.h"

struct port_link;

/* fd, the local one, is taken. way and t are borrowed and must outlive it. */
struct port_link *port_link_new(int fd, const struct port_way *way, const struct target *t);
void port_link_free(struct port_link *l);

#define PORT_LINK_HEAD_MS 20000                    /* for the head of a request; then it is over */
bool port_link_in_head(const struct port_link *l); /* of a request: to be turned once a second */

/* What it waits for: the local side, and the gateway's (fd -1: not there yet). */
void port_link_wants(const struct port_link *l, struct pollfd out[2]);

/* Does what these say it can do without waiting, but for the connection to the gateway, which is
 * waited for. False: it is over, and to be freed. e->status is set when the gateway was not
 * reached, which its client is told, too. */
bool port_link_turn(struct port_link *l, const struct pollfd ready[2], struct err *e);

#endif
