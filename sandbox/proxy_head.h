/* The head of a request to the proxy. */
#ifndef WARMCELL_SANDBOX_PROXY_HEAD_H
#define WARMCELL_SANDBOX_PROXY_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/bytes.h"
#include "protocol/err.h"
#include "sandbox/allow.h"

#define PROXY_HEAD_BYTES  (16 * 1024)
#define PROXY_METHOD_MOST 20

struct proxy_head {
    char method[PROXY_METHOD_MOST + 1];
    char host[ALLOW_HOST_MOST + 1]; /* normalized */
    uint16_t port;
    bool tunnel;           /* CONNECT */
    struct buffer forward; /* otherwise: the head as the server gets it; owned */
};

/* How long the head is, with its empty line; 0: it is not whole yet. */
size_t proxy_head_length(struct bytes received);

/* Reads "CONNECT pypi.org:443 HTTP/1.1" or "GET http://host/path HTTP/1.1" and its fields. The
 * server gets the path alone, a Host of the target, no field that is between us and the client, and
 * "Connection: close": a connection carries one request. 400: what is wrong; 501: another scheme.
 */
bool proxy_head_read(struct bytes head, struct proxy_head *out, struct err *e);
void proxy_head_free(struct proxy_head *h);

#endif
