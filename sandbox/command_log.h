/* The log of one command: an append-only file of numbered records, all that is known of what it
 * wrote and how it ended. Its supervisor writes it, holding a lock on it for as long as it lives;
 * a gateway reads it.
 *
 * A record, little-endian: u32 length | u8 kind | u24 sum | u64 number | i64 microseconds since
 * 1970 | the bytes. Numbers count up from 1 without gaps. The sum is the low 24 bits of the CRC-32C
 * of all the rest, or 1 where these are 0; a record of an older version has 0 there, which is none.
 */
#ifndef WARMCELL_SANDBOX_COMMAND_LOG_H
#define WARMCELL_SANDBOX_COMMAND_LOG_H

#include <stdint.h>

#include "protocol/bytes.h"
#include "protocol/err.h"

#define RECORD_HEAD_BYTES  24
#define RECORD_LIMIT_BYTES (64 * 1024)

enum record_kind {
    RECORD_STARTED = 1, /* nothing: it runs */
    RECORD_STDOUT = 2,  /* bytes, 1 to RECORD_LIMIT_BYTES */
    RECORD_STDERR = 3,
    RECORD_ENDED = 4, /* the last: JSON, see command.h */
};

struct record {
    enum record_kind kind;
    uint32_t len;
    uint64_t number;
    int64_t time_us;
};

/* The head of a record that begins at head. False: it is none. */
bool record_parse(const char head[RECORD_HEAD_BYTES], struct record *out);
/* The record is as it was written, or has no sum. */
bool record_sound(const char head[RECORD_HEAD_BYTES], struct bytes data);

/* A log that is written to. fd is owned. */
struct command_log {
    int fd;
    uint64_t last;     /* number */
    uint64_t bytes[2]; /* of stdout, of stderr */
};

/* Opens a file that is there, and locks it. 409: another process has it locked; 503. */
bool command_log_open(const char *path, struct command_log *out, struct err *e);
void command_log_close(struct command_log *log);
/* Appends a record in one write. 503: it could not be written whole; the log is then cut back. */
bool command_log_add(struct command_log *log, enum record_kind kind, struct bytes data,
                     struct err *e);

#endif
