/* How long a kernel may go without work, and how long it may live. */
#ifndef WARMCELL_KERNEL_HOST_LIFETIME_H
#define WARMCELL_KERNEL_HOST_LIFETIME_H

#include <stdint.h>

struct kernel;

struct lifetime {
    struct timer *timer;
    int64_t born_ms;
    int64_t worked_ms; /* when the last work ended */
};

/* Both times begin now: at the start of the kernel, and when somebody takes it over. */
void lifetime_begin(struct kernel *k);
void lifetime_worked(struct kernel *k); /* a request that was in its turn has been finished */
void lifetime_close(struct kernel *k);

#endif
