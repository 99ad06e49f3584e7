/* The ZeroMQ frontend: shell, control and stdin (ROUTER), iopub (XPUB) and hb, bound where a
 * connection file says. Source: jupyter-client "Messaging", "Making kernels". */
#ifndef WARMCELL_KERNEL_HOST_SOCKETS_H
#define WARMCELL_KERNEL_HOST_SOCKETS_H

#include "kernel/host/frontend.h"
#include "sandbox/loop.h"
#include "protocol/connection.h"

/* The same as struct frontend, so that &sockets->frontend is one. */
struct sockets;

/* Binds the five sockets; ports of 0 are picked and set in *connection. on_subscribed is called
 * with the topic for every subscription (before any other message goes to that subscriber). 503
 * where a port is taken; 400 for a key or scheme that cannot be used. connection is borrowed for
 * the call. */
struct sockets *sockets_open(struct loop *loop, struct connection *connection,
                             const struct receiver *receiver,
                             void (*on_subscribed)(void *data, struct bytes topic), struct err *e);
struct frontend *sockets_frontend(struct sockets *sockets);

/* Sends what is queued for at most a second, then releases everything; bound ports are free when it
 * returns. */
void sockets_close(struct sockets *sockets);

/* Publishes m to subscribers of topic alone: the first frame is the topic. */
void sockets_publish_to(struct sockets *sockets, struct bytes topic, const struct message *m);

#endif
