/* The environment and folder of this process, for good or for one execution. */
#ifndef WARMCELL_KERNEL_R_PLACE_H
#define WARMCELL_KERNEL_R_PLACE_H

#include "kernel/driver/driver.h"

/* What was there; owned. {0}: nothing. */
struct place_before {
    json_t *env; /* {name: text or null} */
    char *cwd;
};

/* Takes a place on. before: keeps what was there, unless NULL. 400: it cannot be, and nothing has
 * changed. */
bool place_take(const struct driver_place *place, struct place_before *before, struct err *e);

/* Puts it back, and releases it. */
void place_give_back(struct place_before *before);

#endif
