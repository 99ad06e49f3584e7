/* What the files of net/ know of each other's objects. Only they include it.
 *
 * connection.c reads bytes and parses requests; exchange.c judges a request and runs its handler;
 * reply.c writes the answer; websocket.c takes the stream over after an upgrade; server.c owns the
 * lists. */
#ifndef WARMCELL_GATEWAY_NET_CONNECTION_H
#define WARMCELL_GATEWAY_NET_CONNECTION_H

#include <llhttp.h>
#include <uv.h>

#include "gateway/net/audit.h"
#include "gateway/net/auth.h"
#include "gateway/net/exchange.h"
#include "gateway/net/jwt.h"
#include "gateway/net/limits.h"
#include "gateway/net/list.h"
#include "gateway/net/origin.h"
#include "gateway/net/rate.h"
#include "gateway/net/router.h"
#include "gateway/net/server.h"
#include "gateway/net/site.h"
#include "gateway/net/stream.h"
#include "gateway/net/websocket.h"

struct server {
    const struct settings_net *settings; /* borrowed */
    uv_loop_t *loop;
    struct router *router;                          /* owned */
    const struct route_table *tables[TABLES_LIMIT]; /* borrowed */
    size_t table_count;
    struct auth *auth;            /* owned */
    struct jwt *jwt;              /* owned; NULL: none is taken */
    struct jwt *own_jwt;          /* owned; NULL: we sign none */
    struct rate *rate;            /* owned */
    struct audit *audit;          /* owned; NULL: none is kept */
    struct origin_policy *origin; /* owned */
    struct sites sites;           /* route NULL: there are none */
    const char *sites_domain;     /* borrowed; "": there are none */
    struct tls *tls;              /* owned; NULL: plain */
    struct listener *listener;    /* owned; NULL before server_listen and after drain */
    char *url;                    /* owned */
    int port;
    char cookie_name[32];
    struct list connections; /* struct connection */
    struct list websockets;  /* struct websocket */
    struct list relays;      /* struct relay: exchanges that a server in a sandbox answers */
    struct list tunnels;     /* struct tunnel: connections that it has taken over */
    struct list
        orphans; /* struct connection without a client whose exchange has not been replied to */
    struct list unsent;      /* struct websocket with something queued: flushed once a loop turn */
    struct list later;       /* struct connection that goes on in the next turn */
    size_t connection_count; /* both lists */
    uint64_t accepted;       /* connections that were ever opened */
    int64_t replies[6];      /* by the first digit of their status */
    uv_timer_t tick;
    int64_t ticked_ms; /* when it was last */
    int late_ticks;    /* one behind the other */
    uv_prepare_t flush;
    uv_idle_t hurry; /* active while unsent or later is not empty, so that the loop does not sleep
                        before the flush */
    bool draining;
    int64_t drain_deadline_ms;
    void (*on_drained)(void *user);
    void *drained_user;
    int handles_open; /* of the three above while closing */
    bool closing;
    void (*on_closed)(void *user);
    void *closed_user;
};

/* A place in exchange.text: offsets, because the buffer moves as it grows. */
struct header_place {
    uint32_t name;
    uint32_t value;
};

struct query_pair {
    const char *name;
    const char *value;
};

#define MADE_ID_TEXT 64

struct exchange {
    struct connection *connection;
    enum method method;
    bool head;    /* HEAD: the handler of GET runs, the body stays away */
    bool options; /* OPTIONS: answered here */
    bool open;    /* handed to a handler that has not replied */
    bool head_done;
    bool has_body; /* bytes follow the head */
    bool close;    /* no further request on this connection */
    bool http_1_0;
    bool upgraded;
    bool wants_upgrade; /* of a ROUTE_RELAY: it asks for another protocol */
    const char
        *target; /* in text: as it came, without scheme and authority; NULL: not judged yet */
    const struct site *site; /* the origin of a sandbox's port that was called; NULL: ours */
    struct site site_place;
    struct buffer text; /* the target and the headers, each ended by NUL */
    struct header_place headers[HEADERS_LIMIT];
    size_t header_count;
    struct buffer decoded; /* path, parameters and query; reserved once, so that it does not move */
    const char *path;
    struct query_pair query[QUERY_LIMIT];
    size_t query_count;
    struct {
        struct bytes name; /* of the pattern */
        const char *value;
    } params[PARAMS_LIMIT];
    size_t param_count;
    int64_t body_length; /* -1: in chunks */
    struct buffer body;
    struct buffer extra_headers;
    struct {
        struct buffer *into; /* of who waits for a piece; NULL: nobody does */
        void (*done)(void *user, bool last, const struct err *e);
        void *user;
        struct err broken; /* status != 0: no more comes, and why */
        bool ended;        /* all of it is in */
        bool continued;    /* 100 Continue was sent, or is not wanted */
        bool eager;        /* a piece need not be full */
    } incoming;            /* a streamed body; body.c */
    struct {
        void (*run)(void *user);
        void *user;
    } later;       /* of exchange_later */
    bool not_utf8; /* the decoded path or query */
    const struct route *route;
    void *context;
    char allow[64];          /* of a 405 or an OPTIONS reply */
    char made[MADE_ID_TEXT]; /* of exchange_made; "": nothing */
    enum route_errors error_form;
    struct principal principal; /* when known */
    bool known;
    enum credential credential;
    struct err verdict; /* status != 0: refused before any handler */
    int64_t started_us;
};

enum connection_state {
    CONNECTION_READING,   /* waiting for a request or in the middle of one */
    CONNECTION_RECEIVING, /* a handler has it, and its body still comes */
    CONNECTION_REPLYING,  /* a handler has it, or a file is being sent */
    CONNECTION_ENDING,    /* the last reply is on its way to the socket */
    CONNECTION_LINGERING, /* our side is ended; what comes is thrown away */
    CONNECTION_CLOSED,    /* the stream is closing or gone */
};

struct connection {
    struct list link; /* of server.connections */
    struct server *server;
    struct stream *stream; /* NULL: gone, or taken by a WebSocket */
    enum connection_state state;
    llhttp_t parser;
    enum {
        SCAN_BEFORE,
        SCAN_LINE,
        SCAN_LINE_START,
        SCAN_DONE
    } scan;          /* of the head, for folded lines */
    bool feeding;    /* in connection_feed: replies are flushed at its end */
    bool peer_ended; /* nothing more will come */
    bool in_message; /* between the first byte of a request and its last */
    size_t header_bytes;
    bool refusing; /* a streamed body that nobody wants any more */
    size_t lingered_bytes;
    int64_t taken_bytes; /* of all that was written, when last looked at */
    int64_t deadline_ms; /* 0: none */
    struct exchange exchange;
    struct buffer held;      /* bytes behind the request being answered */
    struct buffer out;       /* reply bytes not yet given to the stream */
    struct buffer sending;   /* reply bytes the stream has */
    struct file_reply *file; /* the file being sent; owned by file.c */
    struct {
        const struct pieces_events *events; /* NULL: no such reply is under way */
        void *user;
        bool plain;        /* without chunks */
        bool endless;      /* exchange_ends_with_client */
        bool waiting;      /* for the socket to take what was sent, or for the next turn */
        size_t turn_bytes; /* sent since it waited last */
    } pieces;              /* pieces.c */
    struct {
        struct list link; /* of server.later; or of itself alone */
        void (*run)(struct connection *c);
    } later;
};

/* connection.c */
void connection_accept(struct server *s, uv_stream_t *listener);
void connection_flush(struct connection *c); /* gives `out` to the stream */
/* The reply is in `out`, whole: what next? The request behind it runs in a later turn of the loop,
 * never inside the call: who replies need not fear what it does. */
void connection_reply_done(struct connection *c);
/* run is called in the next turn of the loop, unless that is taken back by removing the link, by
 * another run, or by the end of c. */
void connection_later(struct connection *c, void (*run)(struct connection *c));
void connection_close(struct connection *c);
void connection_tick(struct connection *c, int64_t now_ms);
void connection_release(
    struct connection *c); /* frees it once neither stream nor exchange need it */
void connection_free(struct connection *c);
bool connection_idle(const struct connection *c); /* between two requests, with nothing to write */
/* Takes the stream and the bytes that were read too far; the connection then ends. NULL: the client
 * has gone. */
struct stream *connection_detach(struct connection *c, struct buffer *leftover);

/* exchange.c */
void exchange_reset(struct exchange *x);
void exchange_free(struct exchange *x); /* releases the content */
/* Decides from the head alone: fills route, params and principal, or the verdict. */
void exchange_judge(struct exchange *x);
/* Runs the handler, or answers the verdict. */
void exchange_dispatch(struct exchange *x);
bool header_has_token(const char *value,
                      const char *token); /* "keep-alive, Upgrade" has "upgrade" */

/* body.c */
void body_continue(struct exchange *x); /* answers Expect: 100-continue, once */
void body_arrived(struct exchange *x);  /* there is more of a streamed body, or all of it */
/* Nothing more of a streamed body will come. */
void body_break(struct exchange *x, const struct err *e);

/* reply.c */
/* Appends status line and headers; length < 0: no Content-Length. */
void reply_head(struct exchange *x, int status, const char *content_type, int64_t length);
/* The same with what another server said. */
void reply_head_as(struct exchange *x, const struct reply_as *as);

/* file.c */
void file_reply_continue(struct file_reply *f); /* the last piece has been taken by the socket */
void file_reply_abort(struct file_reply *f);    /* the client has gone */

/* pieces.c */
void pieces_continue(struct connection *c); /* the socket has taken everything */
void pieces_abort(struct connection *c);    /* the client has gone */

/* websocket.c */
struct websocket *websocket_of_link(struct list *link);   /* of server.websockets */
struct websocket *websocket_of_unsent(struct list *link); /* of server.unsent */
const struct principal *websocket_principal(const struct websocket *w);
void websocket_flush(struct websocket *w);
void websocket_tick(struct websocket *w, int64_t now_ms);
void websocket_abort(struct websocket *w);

/* relay.c, tunnel.c */
void relays_tick(struct server *s, int64_t now_ms); /* ends those whose time or client has gone */
void relays_drain(struct server *s);                /* ends those that nobody knows the end of */
void relays_cut(struct server *s);
/* Answers 101 with those header lines and ends the exchange: from now on bytes go to and from the
 * stream inside (taken) as they are. early: what was read too far from it. done(user) is called
 * when both sides are closed. */
void tunnel_begin(struct exchange *x, struct bytes lines, struct stream *inside, struct bytes early,
                  void (*done)(void *user), void *user);
void tunnels_tick(struct server *s, int64_t now_ms); /* closes those whose client is lost */
void tunnels_recheck(struct server *s); /* closes those of who is not let in any more */
void tunnels_cut(struct server *s);

/* server.c */
void server_orphan(struct server *s, struct list *link); /* a connection has lost its stream */
void server_hurry(struct server *s);                     /* something is in `unsent` or `later` */
void server_check_drained(struct server *s);
/* Has this client's machine answered nothing for as long as the settings allow? Then the caller
 * closes the stream, which is open. */
bool server_lost(const struct server *s, struct stream *stream, int64_t now_ms);

#endif
