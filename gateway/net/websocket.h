/* One WebSocket of a client, after the upgrade. Everything happens on the loop's thread. */
#ifndef WARMCELL_GATEWAY_NET_WEBSOCKET_H
#define WARMCELL_GATEWAY_NET_WEBSOCKET_H

#include "gateway/net/exchange.h"

struct websocket;

/* Callbacks of the owner. None is called after on_closed, which comes exactly once, also when the
 * owner itself called websocket_close; user may be freed there. They may call websocket_send and
 * websocket_close. */
struct websocket_events {
    /* A whole message; data is borrowed for the call. */
    void (*on_message)(void *user, struct bytes data, bool binary);
    /* The queue fell below the low-water mark after websocket_send had returned false. */
    void (*on_drain)(void *user);
    void (*on_closed)(void *user);
    /* May be NULL. Called right before messages up to `cookie` are handed to the operating system
     * in one write that will take them whole; with 0 if it did not after all. Their on_sent
     * follows. An owner that keeps its place where a kill -9 does not reach can so tell what was
     * sent although on_sent was never reached. */
    void (*on_sending)(void *user, uint64_t cookie);
    /* May be NULL. Comes once in the next turn of the loop after websocket_later, before what is
     * queued is written. */
    void (*on_turn)(void *user);
};

/* Does the client offer this subprotocol? */
bool websocket_offered(const struct exchange *x, const char *subprotocol);

/* Answers 101 and ends the exchange. subprotocol may be NULL; events are copied. Never NULL: if the
 * client has gone meanwhile, on_closed follows from the loop. */
struct websocket *websocket_accept(struct exchange *x, const char *subprotocol,
                                   const struct websocket_events *events, void *user);

/* Bytes shared by many readers: counted, freed with the last reference. The same message goes to
 * all sockets and to the scan without a copy. */
struct shared;
struct shared *shared_new(char *data, size_t len); /* data is taken (malloc) */
struct shared *shared_ref(struct shared *s);
void shared_free(struct shared *s); /* drops one reference */
struct bytes shared_view(const struct shared *s);

/* Sends one message: part of `data` (a view into it), which is referenced until it has been
 * written. on_sent (may be NULL) is called with `cookie` when the last byte was handed to the
 * operating system; never after on_closed. Returns false when the queue is above its high-water
 * mark: send no more until on_drain. Each socket has its own queue; none delays another. */
bool websocket_send(struct websocket *w, struct shared *data, struct bytes part, bool binary,
                    void (*on_sent)(void *user, uint64_t cookie), uint64_t cookie);

/* Asks for on_turn. */
void websocket_later(struct websocket *w);

/* Adds a line to the record of who did what, as a reply to a request does: what was asked for is
 * as if it had come by this method and route. id: of the sandbox. All are borrowed. */
void websocket_audit(const struct websocket *w, const char *method, const char *route,
                     const char *id, int status);

int64_t websocket_message_limit(const struct websocket *w); /* bytes of what a client may send */

/* Sends a close frame after what is queued (bounded by a time limit), then closes. Codes: 1000 the
 * kernel was deleted, 1012 restart or drain, 1013 try again later, 1011 a bug. */
void websocket_close(struct websocket *w, int code, const char *reason);

#endif
