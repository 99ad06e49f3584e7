/* What is there of contexts whose hosts ended while no gateway was there; of the start alone.
 *
 * A sandbox ends when somebody deletes it, and not with its processes: one of which no host lives
 * is paused (paused.c), and of one that lives each other context is dead, with its log. Nothing
 * that is noted here is cleared away before it is known to be on the disk elsewhere.
 *
 * It is an object: {the sandbox's id: {"sandbox": what sandbox_save gave, "contexts": [each as of
 * snapshot_context_record, with "reason" and "cause" if it was dead before]}}. */
#ifndef WARMCELL_GATEWAY_CORE_REMAINS_H
#define WARMCELL_GATEWAY_CORE_REMAINS_H

#include <jansson.h>

#include "gateway/core/core.h"

struct sandbox;

/* saved: a kernel.json whose host is not there. Nothing is noted of a kernel outside of sandboxes,
 * nor of one that nobody was told of. */
void remains_note(json_t *remains, json_t *saved);

/* The contexts that a sandbox had last, by their numbers: those that its keepsake names (newest;
 * NULL: it does not say), else those of its snapshot, and those noted (noted: what remains has of
 * it; NULL: nothing). Each is as the snapshot (its contexts; NULL: there is none) has it, or begins
 * anew. One that was deleted just before is left out. Given. */
json_t *remains_contexts(const struct core *c, json_t *snapshot, json_t *newest, json_t *noted);

/* The contexts of the sandboxes that live which no host has any more are dead. What is noted of
 * them is taken out. */
void remains_find_dead(struct core *c, json_t *remains);

/* What ended all of them, if one of them tells; borrowed; NULL: none does. */
const char *remains_reason(json_t *noted);

#endif
