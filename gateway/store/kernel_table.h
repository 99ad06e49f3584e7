/* The record of which kernels ran, and how each ended. */
#ifndef WARMCELL_GATEWAY_STORE_KERNEL_TABLE_H
#define WARMCELL_GATEWAY_STORE_KERNEL_TABLE_H

#include <time.h>

#include "gateway/store/store.h"

/* Both are written soon; nobody waits for it. */
void kernel_table_started(struct store *s, const char *id, const char *name,
                          struct timespec started);
void kernel_table_ended(struct store *s, const char *id, const char *reason);

#endif
