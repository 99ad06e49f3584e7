/* One HTTP request and the reply it is owed.
 *
 * net/ makes an exchange when a request is complete (or its head, for an upgrade or a stream),
 * checks host, origin, principal and limits, finds the route, and calls its handler on the loop's
 * thread. The handler replies exactly once, at once or later: the exchange stays valid until then
 * even if the client has gone, and the reply then goes nowhere. */
#ifndef WARMCELL_GATEWAY_NET_EXCHANGE_H
#define WARMCELL_GATEWAY_NET_EXCHANGE_H

#include <jansson.h>

#include "gateway/net/principal.h"
#include "protocol/bytes.h"
#include "protocol/err.h"

enum method {
    GET,
    POST,
    PUT,
    PATCH,
    DELETE,
    METHOD_COUNT
}; /* HEAD runs GET; OPTIONS is answered by net/ */

struct doc;
struct exchange;

/* All views are borrowed and live until the reply. */
enum method exchange_method(const struct exchange *x);
const char *exchange_path(const struct exchange *x); /* decoded, without base URL and query */
const char *exchange_param(
    const struct exchange *x,
    const char *name); /* {name} of the route, decoded; never NULL for a name in the pattern */
const char *exchange_target(const struct exchange *x); /* as it came: path and query, not decoded */
const char *exchange_method_text(const struct exchange *x);
/* The headers in their order; false: there are no more. */
bool exchange_header_at(const struct exchange *x, size_t i, const char **name, const char **value);
const char *exchange_query(const struct exchange *x, const char *name); /* decoded; NULL: absent */
/* One that may be there several times: the next one from place *at on, which is 0 at first and
 * moves on; NULL: that was all. */
const char *exchange_query_next(const struct exchange *x, const char *name, size_t *at);
const char *exchange_header(const struct exchange *x,
                            const char *name);            /* name in any case; NULL: absent */
const struct doc *exchange_doc(const struct exchange *x); /* of its route; may be NULL */
struct bytes exchange_body(const struct exchange *x);
/* What the head says of the body's length; -1: it does not (chunks). */
int64_t exchange_body_length(const struct exchange *x);
/* The next piece of the body of a ROUTE_STREAM: piece (borrowed until done) is emptied and filled
 * with BODY_PIECE_BYTES or a little more, or with what is left. While it is used, the next is read,
 * and no more than that. done is called once, at once or later: last: there is nothing more to ask
 * for; e: nor will there be (400: the client has gone, or sent no proper chunk; 408), and the
 * exchange is failed with it. A handler that replies before it had the last closes the connection.
 */
void exchange_receive(struct exchange *x, struct buffer *piece,
                      void (*done)(void *user, bool last, const struct err *e), void *user);
/* From now on a piece is given as soon as there is anything of it. */
void exchange_receive_eagerly(struct exchange *x);
/* Who asks. Never NULL in a route that needs a principal; elsewhere NULL: nobody we know. */
const struct principal *exchange_principal(const struct exchange *x);
const char *
exchange_base_url(const struct exchange *x); /* "" or "/prefix", without a final slash */

bool exchange_is_secure(const struct exchange *x);  /* came over TLS */
bool exchange_is_gone(const struct exchange *x);    /* the client has closed the connection */
bool exchange_is_upgrade(const struct exchange *x); /* asks for another protocol */
bool exchange_is_secret(const struct exchange *x, const char *text); /* a token that is good here */
bool exchange_is_ours(const struct exchange *x,
                      const char *authorization);    /* the same in a header */
bool exchange_shows_token(const struct exchange *x); /* it was let in by one in its query */

/* Adds a header to the reply; value is copied and must hold no CR or LF (a bug otherwise: check
 * what comes from outside). */
void exchange_add_header(struct exchange *x, const char *name, const char *value);

/* Names what was made, or taken, for the record of who did what (net/audit.h), where the path names
 * nothing as {id}. id is copied. */
void exchange_made(struct exchange *x, const char *id);

/* The replies; each ends the exchange, which must not be used after. No handler of another request
 * runs inside them. */
void exchange_reply(struct exchange *x, int status, const char *content_type,
                    struct bytes body);                                 /* body is copied */
void exchange_reply_json(struct exchange *x, int status, json_t *body); /* body is taken */
void exchange_reply_empty(struct exchange *x, int status);
/* In the form of the route: {"message", "reason"} under /api, application/problem+json under /v1.
 * 429 and 503 carry Retry-After. */
void exchange_fail(struct exchange *x, const struct err *e);
/* Appends the object of a application/problem+json reply: {"type", "title", "status", "detail"}. */
void exchange_problem(struct buffer *out, const struct err *e);
/* Instead of a reply for now: run is called in the next turn of the loop, unless x was replied to
 * until then; also when the client has gone. Only before a reply has begun. */
void exchange_later(struct exchange *x, void (*run)(void *user), void *user);
/* A regular file, streamed in pieces of bounded memory, with ETag, If-None-Match and one Range;
 * etag may be NULL. */
void exchange_reply_file(struct exchange *x, const char *path, const char *content_type,
                         const char *etag);
/* The same with a regular file that is open for reading. fd is taken; closed(user) is called once,
 * when it is closed, perhaps at once. */
void exchange_reply_descriptor(struct exchange *x, int fd, const char *content_type,
                               const char *etag, void (*closed)(void *user), void *user);

/* A reply of a length that nobody knows yet, sent piece by piece. Neither callback comes from
 * inside the functions below. */
struct pieces_events {
    void (*on_ready)(void *user); /* what was sent is with the socket: more may be sent */
    void (*on_gone)(void *user);  /* the client has gone; the exchange is ended */
};

/* Writes the head. False: the client has gone already, or wants the head alone (HEAD): the exchange
 * is ended. */
bool exchange_begin(struct exchange *x, int status, const char *content_type,
                    const struct pieces_events *events, void *user);
/* The same with what another server said: its reason phrase and its header lines, each ended by
 * CRLF, instead of ours. length: of the body, which is then sent as it is; -1: nobody knows.
 * has_body false: none may be sent. */
struct reply_as {
    int status;
    const char *reason;
    struct bytes lines;
    int64_t length;
    bool has_body;
};
bool exchange_begin_as(struct exchange *x, const struct reply_as *as,
                       const struct pieces_events *events, void *user);
/* Of a reply without an end of its own, once it has begun: a client that ends its side has gone.
 * (Others may end theirs and wait for the rest.) */
void exchange_ends_with_client(struct exchange *x);
/* Sends a piece (copied), and everything before it. False: the client is slower; nothing more
 * should be sent before on_ready. */
bool exchange_send(struct exchange *x, struct bytes piece);
/* Sends nothing for now: on_ready comes in a later turn of the loop. */
void exchange_yield(struct exchange *x);
void exchange_end(struct exchange *x); /* that was all */
/* Ends it so that the client sees that this was not all: the connection closes in the middle. */
void exchange_cut(struct exchange *x);

/* A WebSocket route ends its exchange with websocket_accept (net/websocket.h) instead. */

#endif
