/* What the files of /v1/stream share: a client's WebSocket, and the calls that are open on it.
 *
 * v1_stream.c has the socket, v1_stream_call.c what every call does, v1_stream_execution.c and
 * v1_stream_command.c those that give events, v1_stream_acts.c the others. */
#ifndef WARMCELL_GATEWAY_DIALECT_V1_STREAM_H
#define WARMCELL_GATEWAY_DIALECT_V1_STREAM_H

#include "gateway/core/command_run.h"
#include "gateway/core/core.h"
#include "gateway/core/execution_event.h"
#include "gateway/dialect/v1_stream_frame.h"
#include "gateway/net/list.h"
#include "gateway/net/websocket.h"

/* Bounds of one client. What it has not taken of its events is V1_WINDOW_BYTES and, of each call
 * that waits for it, one frame: V1_PIECE_BYTES, or a single event that is larger. */
enum v1_stream_limits {
    V1_CALLS_MOST = 512,          /* open, or with answers that the client has not taken */
    V1_REFUSALS_MOST = 512,       /* not taken: who sends and never reads is sent away */
    V1_WINDOW_BYTES = 256 * 1024, /* of frames that are queued */
    V1_PIECE_BYTES = 64 * 1024,   /* of events, gathered for one frame */
    V1_RESUMED_AT_ONCE = 8,       /* of the calls that wait for the client */
};

/* Lives until its WebSocket has told that it is closed. */
struct v1_socket {
    struct core *core; /* borrowed */
    struct websocket *socket;
    struct principal who;
    struct list calls;   /* struct v1_call, that have not ended */
    struct list waiting; /* struct v1_call, for the client to take what is queued */
    size_t queued_bytes; /* of frames */
    size_t untaken;      /* calls that are open, or whose last frame is queued */
    size_t refusals;     /* queued frames that belong to no call */
};

/* One request of a client, by its id, until its last frame. It is freed when it has ended and core
 * owes it no callback. */
struct v1_call {
    struct list link;         /* of socket.calls; or of itself alone */
    struct list waiting;      /* of socket.waiting; or of itself alone */
    struct v1_socket *socket; /* NULL: it has ended, or the client has gone */
    char id[V1_FRAME_ID_LIMIT + 1];
    const char
        *route; /* for the record of who did what; NULL: nothing is to be, or it was, noted */
    char sandbox[V1_FRAME_ID_LIMIT + 1]; /* the same */
    int owed;                            /* callbacks of core that are to come */
    uint64_t after;
    struct buffer out;   /* a frame that is being gathered; empty: no event is in it */
    struct buffer given; /* for an act, until it is done */
    bool named;          /* the client knows its execution or command */
    void (*resume)(struct v1_call *c); /* the client has room */

    struct execution *execution; /* owned; NULL: of a command */
    struct execution_follower *follower;
    bool held;    /* nothing is sent before the execution is stored */
    bool hurried; /* which was asked for */

    struct command_run *run; /* NULL: of an execution */
    struct command_watch *watch;
    struct run_cursor cursor;
    bool base64;
};

/* v1_stream.c */
bool v1_socket_full(const struct v1_socket *s); /* no more events, until a call is resumed */
/* Queues a frame (taken). last: of a call; NULL, it is of none. */
void v1_socket_send(struct v1_socket *s, struct buffer *frame, bool last, bool refusal);
/* What the frame names; NULL: the call was failed. any: also one that is paused. */
struct sandbox *v1_call_sandbox(struct v1_call *c, const struct v1_frame *f, bool any);

/* v1_stream_call.c */
struct v1_call *v1_call_new(struct v1_socket *s, const struct v1_frame *f);
struct v1_call *v1_call_find(const struct v1_socket *s, const char *id); /* NULL: it is not open */
/* A callback of core came. False: nobody waits for it any more, and c may be gone. */
bool v1_call_back(struct v1_call *c);
/* Each sends the last frame and ends the call: {"id", "done": true} with members (`,"name":…`; may
 * be ""); the problem; the events that were gathered. */
void v1_call_done(struct v1_call *c, const char *members);
void v1_call_fail(struct v1_call *c, const struct err *e);
void v1_call_finish(struct v1_call *c);
/* Ends it without a frame: the client has gone, or wants no more. */
void v1_call_drop(struct v1_call *c);

/* Where the next event of the call is to be written. */
struct buffer *v1_call_event(struct v1_call *c);
void v1_call_send(struct v1_call *c); /* the events so far, also when there are none */
void v1_call_wait(struct v1_call *c); /* resume comes when the client has room */

/* v1_stream_execution.c, v1_stream_command.c, v1_stream_acts.c: one function for each op. f is
 * borrowed for the call. */
void v1_stream_run(struct v1_call *c, const struct v1_frame *f);
void v1_stream_subscribe(struct v1_call *c, const struct v1_frame *f);
void v1_stream_command(struct v1_call *c, const struct v1_frame *f);
void v1_stream_subscribe_command(struct v1_call *c, const struct v1_frame *f);
void v1_stream_unsubscribe(struct v1_call *c, const struct v1_frame *f);
void v1_stream_input(struct v1_call *c, const struct v1_frame *f);
void v1_stream_cancel(struct v1_call *c, const struct v1_frame *f);
void v1_stream_interrupt(struct v1_call *c, const struct v1_frame *f);
void v1_stream_stdin(struct v1_call *c, const struct v1_frame *f);
void v1_stream_signal(struct v1_call *c, const struct v1_frame *f);
void v1_stream_ping(struct v1_call *c, const struct v1_frame *f);

#endif
