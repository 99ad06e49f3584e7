/* Watches the process that started this one, which JPY_PARENT_PID names. */
#ifndef WARMCELL_KERNEL_HOST_PARENT_H
#define WARMCELL_KERNEL_HOST_PARENT_H

#include "sandbox/loop.h"

struct parent;

/* on_gone is called once when that process has ended. NULL: there is nothing to watch: no such
 * variable, or its process is not one of this machine's view (a kernel in a container of its own).
 */
struct parent *parent_watch(struct loop *loop, void (*on_gone)(void *data), void *data);
void parent_close(struct parent *parent);

#endif
