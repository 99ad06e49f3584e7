/* The ZeroMQ client of a foreign kernel: DEALER sockets for shell, control and stdin under one
 * identity, SUB for iopub. One client for one life of the kernel. There is none for hb: the end of
 * the process is told by the system. */
#ifndef WARMCELL_KERNEL_HOST_CLIENT_H
#define WARMCELL_KERNEL_HOST_CLIENT_H

#include "sandbox/loop.h"
#include "protocol/connection.h"
#include "protocol/message.h"

struct client_events {
    /* One message that is whole and rightly signed; its channel is set. Borrowed for the call,
     * which must not close the client. */
    void (*on_message)(void *data, const struct message *m);
    /* True: nothing more is received until client_resume(). ZeroMQ goes on collecting in memory: a
     * kernel drops what its subscribers do not take. */
    bool (*congested)(void *data);
    void *data;
};

struct client;

/* Connects (what is sent before the kernel is there waits). context: a ZeroMQ context, borrowed, as
 * is the loop. 400: the key or scheme cannot be used; 503: no more sockets. */
struct client *client_open(void *context, struct loop *loop, const struct connection *connection,
                           const struct client_events *events, struct err *e);
void client_close(struct client *c); /* at once; NULL is legal */

/* Signs m and sends it on its channel (shell, control or stdin). Its identities are not sent. */
void client_send(struct client *c, const struct message *m);

/* To be called before each sleep of the loop: receives; true: there is more to do. */
bool client_pump(struct client *c);
void client_resume(struct client *c);

/* Every connection that was made has been closed by the kernel, and all that came over them has
 * been told. */
bool client_drained(const struct client *c);
/* Everything that has come so far has been told. */
bool client_dry(const struct client *c);

#endif
