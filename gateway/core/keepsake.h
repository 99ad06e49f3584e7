/* The keepsake of a sandbox: what it takes to make one again that has no snapshot, so that the
 * machine may end at any time. Its workspace is on the disk by itself.
 *
 * It is a record in the vault, named by the sandbox's id: {"version": 1, "id": null, "created",
 * "sandbox", "contexts": […]} as those of snapshots (snapshot.c) are, with the variables of no
 * context. It follows what the sandbox becomes, KEEPSAKE_DELAY_MS behind, for as long as there is
 * no snapshot. */
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
/* It has a snapshot now. */
void keepsake_outlived(struct sandbox *s);
/* Its processes ended while the machine went on, and no gateway was there: nothing of it is to
 * stay. */
void keepsake_drop(struct core *c, const char *sandbox_id);
/* At the start. Given; NULL: there is none, or it cannot be used. */
json_t *keepsake_load(struct core *c, const char *sandbox_id);

#endif
