/* Sandboxes that are made but for their way to the outside. warmcell-pasta opens it in tens of
 * milliseconds, or in a second where many want one; who asked waits for that, the keeper does not.
 */
#ifndef WARMCELL_SANDBOX_OPENING_H
#define WARMCELL_SANDBOX_OPENING_H

#include "sandbox/sandbox.h"

struct opening;

/* Asks for the way; s->opening is then set until the answer is there. 503. */
bool opening_begin(struct sandbox *s, struct err *e);

/* The asker's OPEN of that number is answered when the way is open, or not to be had. */
void opening_wait(struct sandbox *s, struct asker *a, uint32_t number, bool created);

/* The sandbox is gone: who waits is told why. Nothing when it was open. */
void opening_drop(struct sandbox *s);

/* Takes the answers that are there. A way that cannot be had ends its sandbox; who waits is told
 * when nothing of it is left. False: warmcell-pasta has ended. */
bool openings_hear(struct keeper *k);

/* Ends those that have waited for PASTA_MOST_MS. */
void openings_check(struct keeper *k);

#endif
