/* The two WebSocket framings of Jupyter, in both directions.
 *
 * v1 ("v1.kernel.websocket.jupyter.org"): little-endian u64
 *     N | offset[0..N-1] | channel | header | parent | metadata | content | buffers...
 * with offset[0] = 8*(1+N), N = 6 + buffers, and the last offset = total length.
 *
 * JSON (no subprotocol): a text of {header, msg_id, msg_type, parent_header, metadata, content,
 * buffers:[], channel}, or with buffers a binary of big-endian u32
 *     n | offset[0..n-1] | json | buffers...
 * with offset[0] = 4*(1+n), n = 1 + buffers.
 *
 * Source: jupyter_server services/kernels/connection/base.py; JupyterLab serialize.ts. */
#ifndef WARMCELL_PROTOCOL_FRAMING_H
#define WARMCELL_PROTOCOL_FRAMING_H

#include "protocol/message.h"

#define FRAMING_V1_NAME       "v1.kernel.websocket.jupyter.org"
#define FRAMING_BUFFERS_LIMIT 1024

/* A decoded message and the array its buffers stand in; {0} is empty. The views borrow the frame
 * that was decoded (JSON framing: its JSON part). */
struct framed {
    struct message message;
    struct bytes *buffers;
};
void framed_free(struct framed *f);
static inline void framed_scoped(struct framed *f)
{
    framed_free(f);
}

/* Decodes one v1 frame. 400 for every inconsistency: length, offsets that fall or leave the frame,
 * fewer than 6 offsets, too many buffers, unknown channel. The JSON parts are not looked at. */
bool framing_v1_decode(struct bytes frame, struct framed *out, struct err *e);

/* Appends m as one v1 frame; identities are not part of it. */
void framing_v1_encode(const struct message *m, struct buffer *out);

/* Decodes one JSON frame; binary: the frame was a WebSocket binary message. A missing channel means
 * shell; missing parent_header, metadata or content mean {}; null too. 400 otherwise. */
bool framing_json_decode(struct bytes frame, bool binary, struct framed *out, struct err *e);

/* Appends m in the JSON framing; *binary tells which kind of WebSocket message it must be. The raw
 * JSON texts are concatenated, never parsed and printed again; of what is no JSON object {} stands
 * there, as the members beside it must be ours. msg_id and msg_type come from the header. 400: the
 * header lacks them; 413: beyond 4 GiB. out is then as it was. */
bool framing_json_encode(const struct message *m, struct buffer *out, bool *binary, struct err *e);

#endif
