/* Heads of HTTP as they pass through `warmcell port`: what a program here says to the local port
 * becomes what the gateway is told. */
#ifndef WARMCELL_GATEWAY_CLI_PORT_HEAD_H
#define WARMCELL_GATEWAY_CLI_PORT_HEAD_H

#include "protocol/bytes.h"
#include "protocol/err.h"

#define PORT_HEAD_LIMIT_BYTES (64 * 1024)

/* Where requests go. All are borrowed. */
struct port_way {
    int local_port;
    const char *prefix; /* before each path; "": the gateway has an origin for the port alone */
    const char *host;   /* that the gateway is called by */
    const char *token;  /* "": none */
};

/* The length of the head that data begins with, its empty line counted; 0: it is not whole yet. */
size_t port_head_length(struct bytes data);

/* Appends what the gateway is told in place of a whole head. The connection is for this request
 * alone, or becomes what it asks to upgrade to, so that no other head has to be found in what
 * follows. 400: it is none that two programs would read alike; 403: it is for another host, or from
 * a page of another origin. */
bool port_request_head(const struct port_way *way, struct bytes head, struct buffer *out,
                       struct err *e);

/* Appends the head of a reply: as it came, but that a Location behind the prefix loses it. Gives
 * its status; 0: it is none. */
int port_reply_head(const struct port_way *way, struct bytes head, struct buffer *out);

#endif
