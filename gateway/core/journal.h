/* The log of one kernel on disk: every message it sent, in order, in append-only segments.
 *
 * The journal is what makes readers independent of each other and of this process: a slow socket
 * reads from it, a returning session is replayed from it, and a host is told that a message is
 * stored (ACK) only after it is here. It is bounded in bytes; the oldest segments go first.
 * Blocking, on the loop's thread: it is the page cache that is written, one write(2) for a batch.
 *
 * A record, little-endian: u32 magic | u32 frame length | u64 sequence | u64 source | u32 epoch |
 * u16 identity length | u16 msg_type length | u32 CRC-32C of all the rest | identity | msg_type |
 * v1 frame. Records of an older magic have no sum. A segment is a file of records whose name is the
 * sequence of its first one. */
#ifndef WARMCELL_GATEWAY_CORE_JOURNAL_H
#define WARMCELL_GATEWAY_CORE_JOURNAL_H

#include "gateway/net/websocket.h"
#include "gateway/store/sync.h"
#include "protocol/bytes.h"
#include "protocol/err.h"

#define JOURNAL_HEAD_BYTES    32 /* without the sum */
#define JOURNAL_SEGMENT_BYTES (8 * 1024 * 1024)

struct journal;

struct journal_record {
    uint64_t sequence;     /* ours: counts up from 1 without gaps for the life of the kernel */
    uint64_t source;       /* the host's sequence; 0: made by the gateway */
    uint32_t epoch;        /* counts the hosts that this kernel has had */
    struct bytes identity; /* "" : for everybody */
    struct bytes msg_type;
    struct bytes frame; /* v1 */
};

/* Appends the record's bytes to batch. identity and msg_type are at most 65,535 bytes (a bug
 * otherwise). */
void journal_encode(struct buffer *batch, const struct journal_record *record);

/* Takes the next record off a run of whole records; views borrow it. False: nothing whole and sound
 * is left. */
bool journal_next(struct bytes *rest, struct journal_record *out);

/* Opens the journal in dir (made if need be). A torn tail, left by a process that was killed, is
 * cut off. Records are kept up to limit_bytes (at least two segments). 503: the folder or a file
 * cannot be used. */
struct journal *journal_open(const char *dir, uint64_t limit_bytes, struct err *e);
void journal_close(struct journal *j);

/* What is appended from now on is said to sync (borrowed). */
void journal_set_sync(struct journal *j, struct sync *sync);

/* After a power cut, with nobody using the journal in dir: cuts it off at the first record that is
 * not what was written, with all that is behind. Gives how many bytes went. */
uint64_t journal_verify(const char *dir);

uint64_t
journal_first(const struct journal *j); /* lowest sequence that can be read; last + 1 when empty */
uint64_t journal_last(const struct journal *j); /* 0: nothing was ever written */
uint64_t journal_bytes(const struct journal *j);

/* The segments, oldest first, and the first sequence of each. */
size_t journal_segments(const struct journal *j);
uint64_t journal_segment(const struct journal *j, size_t index);
/* The next batch begins a segment: what stands at the start of one goes first. */
bool journal_begins(const struct journal *j);

/* The identity of a record that is the journal's own, about what is in the segments before it: no
 * session can have it, as it is no UTF-8. */
#define JOURNAL_MARK "\xff"

/* The source and epoch of the last record that a host sent; 0 when there is none. */
void journal_source(const struct journal *j, uint64_t *source, uint32_t *epoch);

/* Writes a batch of whole records, the first of which follows journal_last. 503: it could not be
 * written; the journal then is empty and goes on after the batch, so that what is missing shows as
 * a gap. */
bool journal_append(struct journal *j, struct bytes batch, struct err *e);

/* Removes segments that hold nothing at or above `needed`, as long as more than two segments' bytes
 * are kept. */
void journal_release(struct journal *j, uint64_t needed);

/* A reader's place: the next sequence it wants, and where that stands if known ({next} alone is
 * valid). */
struct journal_cursor {
    uint64_t next;
    uint64_t segment; /* name of the segment; 0: not known */
    uint64_t offset;
};

/* The place behind the last record. */
struct journal_cursor journal_end(const struct journal *j);

/* Reads whole records from cursor->next on, about want_bytes of them and at least one, and moves
 * the cursor behind them. Given to the caller. NULL: next is beyond the last or below the first (e
 * is not touched), or 500 with e filled: a segment does not hold what it should. */
struct shared *journal_read(struct journal *j, struct journal_cursor *cursor, size_t want_bytes,
                            struct err *e);

/* Deletes the folder of a journal with its segments. */
void journal_remove(const char *dir);

#endif
