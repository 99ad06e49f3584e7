/* The link: small framed messages over a Unix stream socket, between a host and its interpreter,
 * and between a gateway and a host. docs/link.md is the specification; this is its codec.
 *
 * Frame, little-endian:  u32 length | u8 kind | u8 flags | u16 parts | u64 number | parts x u32
 * part length | the parts. length counts what follows the 16-byte head. */
#ifndef WARMCELL_PROTOCOL_LINK_H
#define WARMCELL_PROTOCOL_LINK_H

#include "protocol/bytes.h"
#include "protocol/err.h"

#define LINK_VERSION     1
#define LINK_HEAD_BYTES  16
#define LINK_PARTS_LIMIT 1100
#define LINK_LIMIT_BYTES (1024u * 1024 * 1024)

enum link_kind {
    /* host to interpreter */
    LINK_HELLO = 1,    /* [json] */
    LINK_REQUEST = 2,  /* number: request; [msg_type, header, metadata, content, buffers...] */
    LINK_INPUT = 3,    /* number: request; [value] UTF-8 */
    LINK_SHUTDOWN = 4, /* [json {"restart": bool}] */
    LINK_ADOPT = 5,    /* [json {"env": {}, "cwd": ""}] */
    LINK_BRANCH = 6,   /* number: the host's; [json {"force": bool}], and five descriptors */
    LINK_SAVE = 7,     /* number: the host's; [], and one descriptor */
    LINK_RESTORE = 8,  /* likewise */
    /* interpreter to host */
    LINK_READY = 16,         /* [json {"version": 1, "kernel_info": {...}}] */
    LINK_STREAM = 17,        /* number: request; ["stdout"|"stderr", text] */
    LINK_PUBLISH = 18,       /* number: request; [msg_type, metadata, content, buffers...] */
    LINK_REPLY = 19,         /* number: request; [metadata, content, buffers...] */
    LINK_DONE = 20,          /* number: request; [] a request that has no reply is finished */
    LINK_INPUT_REQUEST = 21, /* number: request; [content] */
    LINK_HISTORY = 22,       /* number: request; [line (decimal), source, source_raw] */
    LINK_EXIT = 23,          /* [json {"keepkernel": bool}] user code asked the kernel to end */
    LINK_BRANCHED = 24, /* number: of BRANCH; [json {"ok": bool, "status": n, "message": ""}] */
    LINK_SAVED = 25,    /* number: of SAVE or RESTORE; [json {"ok": bool, "message": ""}] */
    /* gateway to host */
    LINK_ATTACH = 64,         /* number: last sequence stored; [json {"version": 1}] */
    LINK_CLIENT_MESSAGE = 65, /* [identity, v1 frame] */
    LINK_ACK = 66,            /* number: every sequence up to it is stored */
    LINK_INTERRUPT = 67,      /* number: the caller's; [] answered by LINK_RESULT */
    LINK_RESTART = 68,        /* likewise, answered when the new interpreter is ready */
    LINK_STOP = 69,           /* likewise; [json {"reason": ""}]; the host ends after the answer */
    LINK_ADOPT_KERNEL = 70,   /* likewise; [json {"env": {}, "cwd": ""}] */
    LINK_BRANCH_KERNEL = 71,  /* likewise; [json {"to": path, "force": bool}] */
    LINK_SAVE_KERNEL = 72,    /* likewise; [json {"to": path, "limit_s": n}] */
    LINK_RESTORE_KERNEL = 73, /* likewise */
    LINK_CANCEL = 74,         /* likewise; [json {"msg_id": ""}]: not run, or interrupted */
    /* host to gateway */
    LINK_STATE = 80,  /* number: last sequence given out; [json] */
    LINK_RESULT = 81, /* number: the caller's; [json {"ok": bool, "status": n, "message": ""}] */
    LINK_KERNEL_MESSAGE = 82, /* number: sequence; [identity ("": everybody), msg_type, v1 frame] */
    LINK_DEATH = 83,          /* [json {"reason": "", ...}] the host's last word */
};

enum link_flag {
    LINK_FLAG_ABORT_QUEUE = 1, /* LINK_REPLY: execution failed and stop_on_error was set */
    LINK_FLAG_PIPES_FIRST = 2, /* from the interpreter: bytes in its stdout and stderr pipes precede
                                  this frame; one more part, the last, says which */
};

/* The last part of a frame with LINK_FLAG_PIPES_FIRST: u64 bytes that were ever written to
 * descriptor 1, u64 to descriptor 2, before the frame. */
#define LINK_PIPE_COUNTS_BYTES 16
void link_pipe_counts(const uint64_t counts[2], char out[LINK_PIPE_COUNTS_BYTES]);

/* Takes that part off a frame that has the flag. 400: it has no such part. */
struct link_frame;
bool link_take_pipe_counts(struct link_frame *frame, uint64_t counts[2], struct err *e);

/* One frame; parts are borrowed. */
struct link_frame {
    uint8_t kind;
    uint8_t flags;
    uint64_t number;
    const struct bytes *parts;
    size_t part_count;
};

/* Appends the frame. The sum of the parts must be within LINK_LIMIT_BYTES (a bug otherwise). */
void link_encode(struct buffer *out, const struct link_frame *frame);

/* The head and the table of part lengths alone, for writev without copying the parts. */
void link_encode_head(struct buffer *out, const struct link_frame *frame);

/* Collects bytes from a socket into frames. */
struct link_reader;
struct link_reader *link_reader_new(size_t limit_bytes);
void link_reader_free(struct link_reader *r);
SCOPED(link_reader, struct link_reader *, link_reader_free)

/* Where the next bytes may be read to, and how many at most (at least 1): the whole rest of a big
 * frame, so that it is received in place. */
char *link_reader_space(struct link_reader *r, size_t *len);
void link_reader_filled(struct link_reader *r, size_t len);

/* The next whole frame; its parts are borrowed until the next call of a link_reader function.
 * Returns 1: a frame, 0: more bytes are needed, -1: the peer broke the protocol, e says how (400;
 * 413 too large): the connection is of no use any more. */
int link_reader_next(struct link_reader *r, struct link_frame *out, struct err *e);

#endif
