/* The numbered messages that the gateway has not acknowledged: in memory up to a bound, beyond it
 * in a file. */
#ifndef WARMCELL_KERNEL_HOST_UNACKED_H
#define WARMCELL_KERNEL_HOST_UNACKED_H

#include "protocol/bytes.h"

#define UNACKED_MEMORY_BYTES (32u * 1024 * 1024)
#define UNACKED_HIGH_WATER_BYTES                                                                   \
    (1024u * 1024 * 1024) /* memory and file: then the interpreter waits */
#define UNACKED_LOW_WATER_BYTES (768u * 1024 * 1024)

struct unacked;

/* directory: where the file is made, if one is needed. memory_bytes: the bound. */
struct unacked *unacked_new(const char *directory, size_t memory_bytes);
void unacked_free(struct unacked *u);

/* Adds a message with the next number (they start at 1); frame is taken (and left empty). */
void unacked_add(struct unacked *u, struct buffer *frame);
uint64_t unacked_last(const struct unacked *u);  /* the last number given; 0: none yet */
uint64_t unacked_first(const struct unacked *u); /* the lowest that is kept; last + 1: none */
size_t unacked_bytes(const struct unacked *u);

/* Drops all up to number. Numbers never given count as the last. */
void unacked_ack(struct unacked *u, uint64_t number);

/* The message with that number, which must be kept; borrowed until the next call of a function of
 * this module. An empty view: it could not be read back from the file (reported). */
struct bytes unacked_get(struct unacked *u, uint64_t number);

/* Messages in the file from that one on, as they stand behind each other there, read at once: as
 * many whole ones as fit in most_bytes, at least the first. *last is the number of the last one.
 * Borrowed likewise; empty likewise. */
struct bytes unacked_get_run(struct unacked *u, uint64_t number, size_t most_bytes, uint64_t *last);

size_t unacked_size(const struct unacked *u, uint64_t number);
bool unacked_in_memory(const struct unacked *u, uint64_t number);

#endif
