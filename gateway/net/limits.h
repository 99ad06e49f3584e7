/* Every bound that net/ puts on what comes from outside, and every time it waits. Those that an
 * operator may change are options (gateway/options.c) and stand in struct settings_net. */
#ifndef WARMCELL_GATEWAY_NET_LIMITS_H
#define WARMCELL_GATEWAY_NET_LIMITS_H

enum {
    URL_LIMIT_BYTES = 16 * 1024,          /* request target; 414 */
    HEADER_BLOCK_LIMIT_BYTES = 64 * 1024, /* all names and values of a request; 431 */
    HEADERS_LIMIT = 100,                  /* header lines of a request; 431 */
    QUERY_LIMIT = 64,                     /* pairs of a query; 400 */
    TABLES_LIMIT = 32,                    /* of routes: a bug beyond */
    PARAMS_LIMIT = 4,                     /* {names} of a route: a bug beyond */
    HELD_LIMIT_BYTES =
        64 * 1024, /* pipelined bytes kept while a request is answered; reading stops */
    LINGER_LIMIT_BYTES =
        1024 * 1024, /* read and thrown away after a refusal, so that the refusal arrives */
    LINGER_STREAM_LIMIT_BYTES =
        256 * 1024 * 1024, /* the same when it is the body of a streamed request that was refused */
    KEPT_BUFFER_BYTES = 64 * 1024, /* a connection's buffer that grew beyond is given back */
    FILE_PIECE_BYTES = 256 * 1024, /* of a file in memory while it is sent */
    READ_PIECE_BYTES = 64 * 1024,
    PIECES_TURN_BYTES = 1024 * 1024, /* of a reply in pieces before others have their turn */
    BODY_PIECE_BYTES = 1024 * 1024,  /* of a streamed body; one more is read meanwhile */

    WRITE_STALL_MS = 60 * 1000, /* a client that takes nothing of its reply */
    KEEP_ALIVE_MS = 75 * 1000,  /* between two requests */
    LINGER_MS = 2 * 1000,
    TICK_MS = 500,        /* how exact these times are */
    LATE_TICKS_MOST = 20, /* one behind the other that end nobody's time */

    TLS_PIECE_BYTES = 256 * 1024, /* encrypted ahead of the socket */

    TCP_KEEPALIVE_S = 60, /* of silence, until the peer is asked whether it is there, */
    TCP_PROBE_S = 20,     /* so often */
    TCP_PROBES = 3,
    LISTEN_BACKLOG = 1024,

    WEBSOCKET_HIGH_WATER_BYTES = 8 * 1024 * 1024, /* queued for one socket: its owner shall wait */
    WEBSOCKET_LOW_WATER_BYTES = 2 * 1024 * 1024,
    WEBSOCKET_CONTROL_LIMIT_BYTES = 64 * 1024, /* unsent pongs: no more is read from that client */
    WEBSOCKET_STALL_MS = 120 * 1000,           /* a client that takes nothing of what it is sent */
    WEBSOCKET_CLOSE_MS = 5 * 1000, /* for the queue, the close frame and the peer's answer */
    WEBSOCKET_BUFFERS = 128,       /* in one writev */
};

#endif
