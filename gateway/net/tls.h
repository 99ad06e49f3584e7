/* TLS over bytes in memory: stream.c moves the bytes, OpenSSL sees no socket. */
#ifndef WARMCELL_GATEWAY_NET_TLS_H
#define WARMCELL_GATEWAY_NET_TLS_H

#include "protocol/bytes.h"
#include "protocol/err.h"

struct tls; /* certificate, key and client authority of a listener */

/* TLS 1.2 or newer. client_ca "" asks no certificate of clients, otherwise they must show one that
 * it signed. 400 names the file that cannot be used. Owned by the caller; sessions must be gone
 * before tls_free. */
struct tls *tls_new(const char *certfile, const char *keyfile, const char *client_ca,
                    struct err *e);
void tls_free(struct tls *t);

struct tls_session;
struct tls_session *tls_session_new(struct tls *t);
void tls_session_free(struct tls_session *s);

/* Takes bytes that came from the peer. */
void tls_session_feed(struct tls_session *s, struct bytes cipher);

/* Decrypts what it can: the number of bytes put into out, 0: more must be fed, -1: the peer ended
 * the session, -2: it broke the protocol. What is to be sent may have grown in any case. */
long tls_session_read(struct tls_session *s, char *out, size_t room);

/* Encrypts; only after the handshake. False: the session is broken. */
bool tls_session_write(struct tls_session *s, const char *data, size_t len);
void tls_session_end(struct tls_session *s); /* queues close_notify */

/* Moves everything that is to be sent to the end of out. */
void tls_session_take(struct tls_session *s, struct buffer *out);

#endif
