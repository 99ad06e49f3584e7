/* One connection through the proxy, from the accept to its line in the audit. */
#ifndef WARMCELL_SANDBOX_PROXY_TUNNEL_H
#define WARMCELL_SANDBOX_PROXY_TUNNEL_H

#include <uv.h>

#include "sandbox/allow.h"

#define TUNNELS_MOST     64          /* of one sandbox; further ones wait in the socket's queue */
#define TUNNELS_ALL_MOST 1024        /* of all together */
#define TUNNEL_CHUNK     (64 * 1024) /* in flight, each way */

struct tunnel;

/* A sandbox, as the proxy knows it. */
struct box {
    struct box *next;
    char *id;           /* owned */
    struct allow allow; /* owned */
    uv_tcp_t listener;
    bool closing; /* told to end: no new tunnels */
    bool waiting; /* a connection is in the queue, but there were too many */
    size_t tunnel_count;
    struct tunnel *tunnels;
};

struct patience {
    uint64_t step_ms; /* for the head, a look-up, a connection */
    uint64_t idle_ms; /* without a byte either way */
};

/* Accepts what waits at the listener. on_less is called when a tunnel of the box has gone. */
void tunnel_accept(struct box *box, const struct patience *patience,
                   void (*on_less)(struct box *box));
void tunnels_close(struct box *box); /* all of them; on_less tells when they have gone */

#endif
