/* The keepsake of a sandbox: what it is, so that all its processes, or the machine, may end at any
 * time. Its workspace is on the disk by itself, its variables are in its snapshots.
 *
 * It is a record in the vault, named by the sandbox's id: {"version": 3, "id": null, "created",
 * "sandbox", "contexts": […], "snapshot": the id of its last one or null, "reason": what ended its
 * processes or null}, the first ones as those of snapshots (snapshot.c) are. It follows what the
 * sandbox becomes, KEEPSAKE_DELAY_MS behind, or before somebody is answered (keepsake_settle), and
 * is newer than what its snapshots say of it. Its contexts are those that there are, without their
 * variables. One of version 2 names them only where there is no snapshot; one of version 1 is good
 * only there. */
#ifndef WARMCELL_GATEWAY_CORE_KEEPSAKE_H
#define WARMCELL_GATEWAY_CORE_KEEPSAKE_H

#include "gateway/core/core.h"

#define KEEPSAKES         "keepsakes" /* their folder, among those of sandboxes */
#define KEEPSAKE_DELAY_MS 40          /* what is left of 100 ms is for the disk */
#define KEEPSAKE_PROBLEM  "there is no snapshot of it: it begins anew" /* of its contexts */

struct sandbox;

/* Something of it may have changed. */
void keepsake_due(struct sandbox *s);
/* The same for all, while the gateway starts. */
void keepsakes_due(struct core *c);
/* done is called once, later or at once: what s is now is on the disk. 409: it was deleted
 * meanwhile; 503: it cannot be written, or the gateway is ending. */
void keepsake_settle(struct sandbox *s, void (*done)(void *user, const struct err *e), void *user);
/* The same where nothing that is acknowledged may be lost (--durability=full), with all else that
 * was changed on the disk before (store_settle); otherwise done is called at once. */
void keepsake_settle_fully(struct sandbox *s, void (*done)(void *user, const struct err *e),
                           void *user);
/* At the start. Given; NULL: there is none, or it cannot be used; if it is there, c->unread is set
 * then. */
json_t *keepsake_load(struct core *c, const char *sandbox_id);
/* Of one that has no snapshot: what its removal left is dropped, which is none. */
json_t *keepsake_load_anew(struct core *c, const char *sandbox_id);
/* Borrowed; NULL: it does not say what contexts there were. record: of keepsake_load, or NULL. */
json_t *keepsake_contexts(json_t *record);
/* What it is, as of sandbox_save; borrowed; NULL: as its last snapshot says. */
json_t *keepsake_words(json_t *record);
/* That record was just read. */
void keepsake_is_known(struct sandbox *s, json_t *record);
/* What s is now is on the disk when this returns; false: it cannot be written. At the start and the
 * end alone: it waits for the disk. */
bool keepsake_write_now(struct sandbox *s);
/* The gateway ends: what is due is not put off. */
void keepsakes_write_due(struct core *c);

#endif
