/* How far each returning reader of a kernel has come, kept so that it survives a kill -9 of the
 * gateway.
 *
 * A file of fixed slots, mapped: marking a place is one store into memory that belongs to the page
 * cache, so it is as cheap as it must be to be done for every message, and nothing of it is lost
 * with the process. Slot 0 is the scan for artifacts; the others are client sessions. */
#ifndef WARMCELL_GATEWAY_CORE_PLACES_H
#define WARMCELL_GATEWAY_CORE_PLACES_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/err.h"

#define PLACES_LIMIT                                                                               \
    512 /* sessions of one kernel that can return; the longest absent goes first                   \
         */
#define PLACES_NAME_LIMIT 100 /* bytes of a session id */
#define PLACES_SCAN       0

struct places;

/* Opens or makes the file. A file of another shape is made anew. 503: it cannot be used. */
struct places *places_open(const char *path, struct err *e);
void places_close(struct places *p);

/* The slot of a session, -1: none. */
int places_find(const struct places *p, const char *session);

/* A slot for a new session, whose place is `sequence`. The session that was marked longest ago and
 * is not held makes room; -1: all are held. */
int places_add(struct places *p, const char *session, uint64_t sequence);

/* While a slot is held it cannot make room for another. */
void places_hold(struct places *p, int slot, bool held);

uint64_t places_get(const struct places *p, int slot);
void places_mark(struct places *p, int slot,
                 uint64_t sequence); /* delivered up to here; never goes back */

/* The next system call delivers up to here, whole; 0: it did not. A process that is killed before
 * it comes to places_mark has told so here. */
void places_sending(struct places *p, int slot, uint64_t sequence);

/* The lowest place of all, the scan's included; UINT64_MAX is never returned: the scan always has
 * one. */
uint64_t places_lowest(const struct places *p);

#endif
