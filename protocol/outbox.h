/* What an interpreter has written for the link and the socket has not taken yet: memory that both
 * see, behind the page of protocol/pipe_page.h, so that a host can still tell it when the
 * interpreter was killed.
 *
 * The bytes of the link from the interpreter to the host are counted from 0. A slot holds
 * consecutive ones, whole frames from its first byte on, and behind them perhaps the text of a
 * STREAM frame whose head is not written yet. The interpreter writes; the host looks when the link
 * has ended, and trusts nothing of it. */
#ifndef WARMCELL_PROTOCOL_OUTBOX_H
#define WARMCELL_PROTOCOL_OUTBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "protocol/bytes.h"
#include "protocol/link.h"

#define OUTBOX_OFFSET     4096 /* where it begins in the memory */
#define OUTBOX_SLOTS      16
#define OUTBOX_SLOT_BYTES (68 * 1024)
#define OUTBOX_BYTES      (OUTBOX_SLOTS * OUTBOX_SLOT_BYTES)

/* Both names are as long, so that the text of an open frame stands at one of two places. */
#define OUTBOX_NAME_BYTES 6
extern const char *const outbox_names[2]; /* "stdout", "stderr" */

struct outbox_slot {
    _Atomic uint64_t fill;   /* outbox_fill(); 0: nothing is in it */
    uint64_t at;             /* where in the stream its first byte stands */
    uint64_t number;         /* from here on of the open frame: its request, */
    uint64_t pipe_counts[2]; /* what it comes after, */
    uint8_t stream;          /* its index in outbox_names, */
    uint8_t after_pipes;     /* and whether it has LINK_FLAG_PIPES_FIRST */
    char data[];
};

#define OUTBOX_DATA_BYTES (OUTBOX_SLOT_BYTES - sizeof(struct outbox_slot))

/* One word, so that a kill finds it whole: the bytes of whole frames, and of text in the open
 * frame, 0 when there is none. */
static inline uint64_t outbox_fill(size_t whole, size_t text)
{
    return (uint64_t)text << 32 | (uint64_t)whole;
}

/* What is to be left free before the text of an open frame. */
static inline size_t outbox_head_bytes(bool after_pipes)
{
    return LINK_HEAD_BYTES + 4 * (after_pipes ? 3 : 2) + OUTBOX_NAME_BYTES;
}

static inline struct outbox_slot *outbox_slot(void *outbox, size_t index)
{
    return (struct outbox_slot *)((char *)outbox + index * OUTBOX_SLOT_BYTES);
}

/* Writes the head of the open frame, behind whole frames of that many bytes and around text bytes
 * of text. Returns how many bytes are whole with it. Allocates nothing; the caller sets fill. */
size_t outbox_close_frame(struct outbox_slot *slot, size_t whole, size_t text);

/* Appends what stands in the outbox from byte `from` of the stream on, an open frame closed. *gap:
 * how many bytes are missing before the first that is appended, so that it begins a frame; what
 * is missing later is left out by whole frames, and counted in *missing. */
void outbox_collect(void *outbox, uint64_t from, struct buffer *out, uint64_t *gap,
                    uint64_t *missing);

#endif
