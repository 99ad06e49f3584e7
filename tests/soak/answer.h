/* One answer of the gateway that brings an execution's output, taken in as it comes, in pieces of
 * any length: by HTTP in chunks, or as frames of a WebSocket. */
#ifndef WARMCELL_TESTS_SOAK_ANSWER_H
#define WARMCELL_TESTS_SOAK_ANSWER_H

#include "tests/soak/printed.h"

enum answer_form {
    ANSWER_LINES,  /* NDJSON */
    ANSWER_EVENTS, /* server-sent events */
    ANSWER_STREAM, /* /v1/stream */
    ANSWER_TEXT,   /* .../output */
    ANSWER_FORMS
};

enum answer_state {
    STATE_HEAD,
    STATE_CHUNK_SIZE,
    STATE_CHUNK,
    STATE_CHUNK_END,
    STATE_LAST, /* the chunk without bytes was there */
    STATE_FRAME,
    STATE_OVER
};

/* {0} but for the form is one of which nothing has come. */
struct answer {
    enum answer_form form;
    enum answer_state state;
    uint64_t left;        /* of the chunk */
    bool greeted;         /* the first frame was read */
    struct buffer part;   /* of a head, size, event or frame that is not whole yet */
    struct buffer pieces; /* of the body, likewise */
};

void answer_free(struct answer *a);

/* Takes what came. place moves with every event (of text: every byte) that is whole. False: it is
 * not what it should be. The answer is over when place has ended, or, of text, when state is
 * STATE_OVER. */
bool answer_take(struct answer *a, struct printed_place *place, struct bytes data, struct err *e);

#endif
