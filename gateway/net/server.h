/* The HTTP and WebSocket server: listeners, connections, and what they share. */
#ifndef WARMCELL_GATEWAY_NET_SERVER_H
#define WARMCELL_GATEWAY_NET_SERVER_H

#include <uv.h>

#include "gateway/net/principal.h"
#include "gateway/net/route.h"
#include "gateway/settings.h"

struct server;

/* settings are borrowed. 400: an option that cannot be used (certificate, pattern), or an address
 * beyond loopback without a token or without TLS. */
struct server *server_new(const struct settings_net *settings, uv_loop_t *loop, struct err *e);

/* Before server_listen. The table is borrowed; its handlers get context. */
void server_add_routes(struct server *s, const struct route_table *table, void *context);

/* Every table that was added, for a description of them all. Of the server that an exchange came
 * through; borrowed. */
const struct route_table *const *exchange_route_tables(const struct exchange *x, size_t *count);

/* Whom else to let in. Copied. */
void server_trust(struct server *s, const struct trust *trust);

/* From now on JWTs of our own are signed, and let in: as jwt_new_own (net/jwt.h). 400. */
bool server_own_jwts(struct server *s, const char *issuer, json_t *secrets, struct err *e);
/* One with these claims; given. NULL: 500. */
char *server_sign_jwt(const struct server *s, json_t *claims, struct err *e);

/* Has it files that it reads again (the keys of JWTs)? Then does it so now. */
bool server_reloads(const struct server *s);
void server_reload(struct server *s);

/* Keeps a record of who did what (net/audit.h) in this file. 503. */
bool server_audit(struct server *s, const char *path, struct err *e);

/* Closes the WebSockets and the streams of those who are not let in any more, WebSockets with 1008.
 * Done each second, too. */
void server_recheck(struct server *s);
struct server *exchange_server(const struct exchange *x); /* that it came through; borrowed */

/* Binds and listens. 503: the port or path is taken, or may not be used; the sentence names it. */
bool server_listen(struct server *s, struct err *e);

/* Where it listens: "http://127.0.0.1:8888/" with the base URL, or "unix:/path". Borrowed. */
const char *server_url(const struct server *s);
int server_port(const struct server *s); /* 0 for a Unix socket */

/* Connections that are open now: HTTP and WebSocket. */
size_t server_connections(const struct server *s);

/* Connections that were ever opened. */
uint64_t server_accepted(const struct server *s);

/* What is open now, and the replies since the start by the first digit of their status (1 to 5). */
struct server_numbers {
    int64_t connections, websockets;
    int64_t replies[6];
};
/* Of the server that an exchange came through. */
void exchange_server_numbers(const struct exchange *x, struct server_numbers *out);

/* Stops listening, closes WebSockets with 1012 and idle connections at once; others when their
 * reply is out. done is called once all are closed, or after settings' drain_s, when what is left
 * is cut. */
void server_drain(struct server *s, void (*done)(void *user), void *user);

/* Closes everything at once; on_closed is called from the loop when no handle is left, and the
 * server is gone. */
void server_close(struct server *s, void (*on_closed)(void *user), void *user);

#endif
