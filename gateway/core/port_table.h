/* The kernel's tables of TCP sockets, /proc/net/tcp and tcp6: which ports listen. */
#ifndef WARMCELL_GATEWAY_CORE_PORT_TABLE_H
#define WARMCELL_GATEWAY_CORE_PORT_TABLE_H

#include <netinet/in.h>
#include <stdint.h>

#include "protocol/bytes.h"

struct port_row {
    uint16_t port;
    char address[INET6_ADDRSTRLEN];
};

/* Takes the next row of a socket that listens off the table. False: there is none. What is no row
 * is passed over. */
bool port_table_next(struct bytes *table, struct port_row *out);

#endif
