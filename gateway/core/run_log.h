/* The log of a command (sandbox/command_log.h) as the gateway reads it, while its supervisor still
 * writes: which records are there, where each stands, and how the command ended.
 *
 * Blocking, on the loop's thread: it is the page cache that is read, in pieces of bounded size. */
#ifndef WARMCELL_GATEWAY_CORE_RUN_LOG_H
#define WARMCELL_GATEWAY_CORE_RUN_LOG_H

#include <jansson.h>

#include "protocol/bytes.h"
#include "protocol/err.h"
#include "sandbox/command_log.h"

struct run_log;

/* A reader's place: {next} alone is valid, and says which record is wanted, from 1. */
struct run_cursor {
    uint64_t next;
    bool found; /* the rest is known */
    uint64_t offset;
    uint64_t bytes[2]; /* of stdout and of stderr before it */
};

struct run_log *run_log_open(const char *path, struct err *e); /* NULL: 503 */
void run_log_free(struct run_log *l);

/* Looks for records that were added, in RUN_LOG_TURN_BYTES of the file at the most: others have
 * their turn, however long a log is that an earlier gateway left. True: there are some. */
#define RUN_LOG_TURN_BYTES (1024 * 1024)
bool run_log_refresh(struct run_log *l);
bool run_log_behind(const struct run_log *l); /* there was more: look again */

/* Where nothing may be told that a power cut takes back: the end of the command is not looked at
 * before it is let in. */
void run_log_hold_end(struct run_log *l);
bool run_log_end_waits(const struct run_log *l); /* it is there */
void run_log_let_end(struct run_log *l);

uint64_t run_log_last(const struct run_log *l); /* number; 0: none yet */
uint64_t run_log_size(const struct run_log *l); /* bytes of the file */
uint64_t run_log_bytes(const struct run_log *l, enum record_kind stream);
int64_t run_log_started_us(const struct run_log *l); /* 0: it did not */
int64_t run_log_ended_us(const struct run_log *l);   /* 0: not yet */
json_t *run_log_end(const struct run_log *l);        /* of RECORD_ENDED; borrowed; NULL: not yet */

/* Fills the cursor's place. False: that record is not there yet. */
bool run_log_find(struct run_log *l, struct run_cursor *cursor);

/* Appends whole records from cursor->next on, as they stand in the file, about want bytes of them
 * and at least one, and moves the cursor behind them. False: there is none yet. */
bool run_log_read(struct run_log *l, struct run_cursor *cursor, struct buffer *out, size_t want);

/* Takes the next record off a run of whole ones; text borrows it. False: none is left. */
bool run_log_next(struct bytes *rest, struct record *out, struct bytes *text);

/* Ends a log that no supervisor writes any more. False: one still does (or, with a warning in the
 * log of the gateway, it cannot be written). A record that was broken off is cut off. */
bool run_log_give_up(struct run_log *l, const char *reason);

/* After a power cut, with nobody using the log: cuts it off at the first record that is not what
 * was written. Gives how many bytes went. */
uint64_t run_log_verify(const char *path);

#endif
