/* The seed: a notebook whose code cells run in every new kernel before anything else does. */
#ifndef WARMCELL_GATEWAY_CORE_SEED_H
#define WARMCELL_GATEWAY_CORE_SEED_H

#include "gateway/core/kernel.h"

#define SEED_LIMIT_BYTES (16 * 1024 * 1024)

struct seed;

/* Reads the notebook that a path or a file: URL names. "" gives a seed that does nothing. 400: it
 * cannot be read or is no notebook. */
struct seed *seed_open(const char *uri, struct err *e);
void seed_free(struct seed *s);

/* There is something to run in kernels of this name: in all, unless the notebook names its
 * kernelspec. */
bool seed_is_for(const struct seed *s, const char *kernel_name);

/* Queues the cells for a kernel that was just launched. Their replies come back to seed_take_reply.
 */
void seed_run(const struct seed *s, struct kernel *k);

/* Looks at the reply of a cell: a kernel whose seed failed is ended, and its reason says why. */
void seed_take_reply(struct kernel *k, struct bytes frame);

#endif
