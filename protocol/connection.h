/* A connection file: where the five sockets of a kernel are, and the key.
 * Source: jupyter-client "Making kernels for Jupyter", "Connection files". */
#ifndef WARMCELL_PROTOCOL_CONNECTION_H
#define WARMCELL_PROTOCOL_CONNECTION_H

#include "protocol/bytes.h"
#include "protocol/err.h"

enum port { PORT_SHELL, PORT_IOPUB, PORT_STDIN, PORT_CONTROL, PORT_HB, PORT_COUNT };

/* All strings owned, never NULL after connection_read or connection_default ("" when absent), but
 * for the two curve keys (NULL when absent). An absent transport is "tcp", an absent ip 127.0.0.1.
 */
struct connection {
    char *transport;       /* "tcp" or "ipc" */
    char *ip;              /* an address, "*", or for ipc a path prefix */
    int ports[PORT_COUNT]; /* 0: to be picked */
    char *key;
    char *signature_scheme; /* default "hmac-sha256" */
    char *kernel_name;
    char *jupyter_session;
    char *curve_publickey; /* Z85, 40 characters */
    char *curve_secretkey;
    void *extra; /* the parsed file: unknown members are kept when it is rewritten */
};

#define CONNECTION_LIMIT_BYTES (64 * 1024)

/* Reads and checks a connection file. 404: no such file; 400 names the member; 413: beyond
 * CONNECTION_LIMIT_BYTES. Absent ports count as 0. */
bool connection_read(const char *path, struct connection *out, struct err *e);
bool connection_parse(struct bytes text, struct connection *out, struct err *e);

/* tcp on 127.0.0.1, ports 0, a new random key. */
void connection_default(struct connection *out);
void connection_free(struct connection *c);
static inline void connection_scoped(struct connection *c)
{
    connection_free(c);
}

/* The text of the file: what was read, with our members in the place of the old ones. Given to the
 * caller; NULL: a member is not UTF-8. */
char *connection_text(const struct connection *c);

/* Writes the file whole (temporary file, mode 0600, rename), unknown members kept. 500: it cannot
 * be written; 400: a member is not UTF-8. */
bool connection_write(const struct connection *c, const char *path, struct err *e);

/* "tcp://127.0.0.1:5555", "tcp://[::1]:5555", "ipc:///path-1"; ip "*" becomes 0.0.0.0. A port of 0
 * gives for tcp the form with which ZeroMQ picks one ("tcp://ip:*"), for ipc 1 to 5 in the order of
 * enum port. Given to the caller. */
char *connection_endpoint(const struct connection *c, enum port port);

#endif
