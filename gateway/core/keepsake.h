/* The keepsake of a sandbox: what it is, so that the machine may end at any time. Its workspace is
 * on the disk by itself, its variables are in its snapshots.
 *
 * It is a record in the vault, named by the sandbox's id: {"version": 2, "id": null, "created",
 * "sandbox", "contexts": […]} as those of snapshots (snapshot.c) are. It follows what the sandbox
 * becomes, KEEPSAKE_DELAY_MS behind, or before somebody is answered (keepsake_settle), and is newer
 * than what its snapshots say of it. Once there is one, the contexts are the snapshot's and none
 * are here; before, they are here, with the variables of none. One of version 1 is an earlier
 * gateway's, and good only where there is no snapshot. */
#ifndef WARMCELL_GATEWAY_CORE_KEEPSAKE_H
#define WARMCELL_GATEWAY_CORE_KEEPSAKE_H

#include "gateway/core/core.h"

#define KEEPSAKES         "keepsakes" /* their folder, among those of sandboxes */
#define KEEPSAKE_DELAY_MS 40          /* what is left of 100 ms is for the disk */

struct sandbox;

/* Something of it may have changed. */
void keepsake_due(struct sandbox *s);
/* The same for all, while the gateway starts. */
void keepsakes_due(struct core *c);
/* done is called once, later or at once: what s is now is on the disk. 409: it was deleted
 * meanwhile; 503: it cannot be written, or the gateway is ending. */
void keepsake_settle(struct sandbox *s, void (*done)(void *user, const struct err *e), void *user);
/* What s is now was just read from there. */
void keepsake_is_known(struct sandbox *s);
/* Its processes ended while the machine went on, and no gateway was there: nothing of it is to
 * stay, unless it has a snapshot. */
void keepsake_drop(struct core *c, const char *sandbox_id);
/* At the start, of one that has no snapshot. Given; NULL: there is none, or it cannot be used. */
json_t *keepsake_load(struct core *c, const char *sandbox_id);
/* Likewise of one that has: what it is, as of sandbox_save; NULL: as its last snapshot says. */
json_t *keepsake_load_words(struct core *c, const char *sandbox_id);

#endif
