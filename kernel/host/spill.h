/* A file that holds what does not fit in memory. It has no name: nothing of it remains whatever
 * happens to the host. */
#ifndef WARMCELL_KERNEL_HOST_SPILL_H
#define WARMCELL_KERNEL_HOST_SPILL_H

#include "protocol/bytes.h"
#include "protocol/err.h"

struct spill;
struct spill *spill_new(const char *directory); /* the file is made when it is first needed */
void spill_free(struct spill *spill);

/* Appends; *offset says where to. 503: the disk is full or cannot be written. */
bool spill_write(struct spill *spill, struct bytes data, int64_t *offset, struct err *e);

/* Fills out[0..len). 500: it cannot be read back. */
bool spill_read(const struct spill *spill, int64_t offset, char *out, size_t len, struct err *e);

/* What stands before offset is not needed any more: its disk space is given back. */
void spill_forget(struct spill *spill, int64_t offset);
int64_t spill_end(const struct spill *spill); /* where the next write goes */

#endif
