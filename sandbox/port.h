/* Sockets and tables of a sandbox's own network namespace, for those who reach it from outside: the
 * gateway's proxy to servers that listen inside (docs/ports.md). */
#ifndef WARMCELL_SANDBOX_PORT_H
#define WARMCELL_SANDBOX_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/err.h"
#include "sandbox/wire.h"

/* What port_tables opens: /proc/net/tcp and /proc/net/tcp6 of the namespace, in this order. */
#define PORT_TABLES 2

/* A TCP socket inside that is connected to the namespace's own loopback (127.0.0.1, or ::1 when
 * six) at that port, or is on its way: *connected tells. It does not block, and neither does this.
 * namespaces: WIRE_NAMESPACES of them. The descriptor, given; -1: 502 when nothing listens there,
 * 503. */
int port_connect(const int *namespaces, uint16_t port, bool six, bool *connected, struct err *e);

/* Opens both tables for reading; out: given. 503. */
bool port_tables(const int *namespaces, int out[PORT_TABLES], struct err *e);

#endif
