/* The socket that clients connect to: TCP or a Unix path. */
#ifndef WARMCELL_GATEWAY_NET_LISTENER_H
#define WARMCELL_GATEWAY_NET_LISTENER_H

#include <uv.h>

#include "gateway/settings.h"
#include "protocol/err.h"

struct listener;

/* Binds and listens as the settings say. A taken port makes it try the next ones, port_retries of
 * them. A Unix path gets mode 0600; a socket that nobody listens at any more is replaced.
 * on_connection is called from the loop with the listening stream, which uv_accept takes a client
 * from. 503: taken or not allowed; 400: no such address. */
struct listener *listener_open(const struct settings_net *settings, uv_loop_t *loop,
                               void (*on_connection)(void *user, uv_stream_t *stream), void *user,
                               struct err *e);

int listener_port(const struct listener *l); /* 0 for a Unix socket */

/* Stops listening and removes the Unix path. on_closed (may be NULL) is called from the loop when
 * it is gone. */
void listener_close(struct listener *l, void (*on_closed)(void *user), void *user);

#endif
