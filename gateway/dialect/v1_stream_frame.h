/* What a client of /v1/stream sends: one JSON object in each text message (docs/stream.md).
 *
 *     {"id": "1", "op": "run", "sandbox": "…", "key": "…", "body": {"code": "1+1"}}
 */
#ifndef WARMCELL_GATEWAY_DIALECT_V1_STREAM_FRAME_H
#define WARMCELL_GATEWAY_DIALECT_V1_STREAM_FRAME_H

#include <jansson.h>

#include "protocol/bytes.h"
#include "protocol/err.h"

#define V1_FRAME_LIMIT_BYTES (32 * 1024 * 1024)
#define V1_FRAME_ID_LIMIT    64 /* bytes */

enum v1_frame_op {
    FRAME_RUN,
    FRAME_COMMAND,
    FRAME_SUBSCRIBE,
    FRAME_UNSUBSCRIBE,
    FRAME_INPUT,
    FRAME_CANCEL,
    FRAME_INTERRUPT,
    FRAME_STDIN,
    FRAME_SIGNAL,
    FRAME_PING,
    FRAME_OPS
};

/* Texts borrow from json; NULL: not said. What the op needs is there. */
struct v1_frame {
    json_t *json; /* owned */
    enum v1_frame_op op;
    char id[V1_FRAME_ID_LIMIT + 1]; /* "": none that could be read */
    const char *sandbox, *execution, *command, *context, *of, *key, *traceparent, *encoding;
    json_t *body;           /* an object */
    struct bytes body_text; /* as it stands in the frame, which it borrows from; with a key only */
    uint64_t after;
};

/* Reads one. 400 names the member; 413. On failure too out->id is what could be read of it, and out
 * is to be freed. */
bool v1_frame_read(struct bytes text, struct v1_frame *out, struct err *e);
void v1_frame_free(struct v1_frame *f);

const char *v1_frame_op_name(enum v1_frame_op op);
/* The route whose POST does the same; NULL: it changes nothing. */
const char *v1_frame_op_route(enum v1_frame_op op);

#endif
