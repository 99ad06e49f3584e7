/* SIGINT: heard while user code runs, without effect between requests. One that comes when a
 * request is here already and its code does not run yet is kept for it.
 *
 * Python's own handler stays in its table (signal.getsignal() is default_int_handler), but the C
 * handler that the kernel calls is ours: it decides by one flag, and can be waited for through a
 * descriptor. */
#ifndef WARMCELL_KERNEL_PYTHON_INTERRUPT_H
#define WARMCELL_KERNEL_PYTHON_INTERRUPT_H

#include <stdbool.h>

/* Called once in the main thread; false when no descriptor can be had. */
bool interrupt_init(void);

/* Puts the handler (back) in place: signal.signal() has put Python's there. Before
 * interrupt_init() nothing. */
void interrupt_install(void);

/* Whether SIGINT is heard. Returns what it was. */
bool interrupt_hear(bool on);

/* Whether a SIGINT came since the last call that was not heard. */
bool interrupt_take_early(void);

/* Readable after a SIGINT that was heard, until interrupt_hear(true) or interrupt_drain().
 * Borrowed. */
int interrupt_fd(void);
void interrupt_drain(void);

/* Interrupts the main thread as SIGINT does; for other threads. */
void interrupt_main(void);

/* Sets an interrupt off anew that struck where nobody could take it. False: none is heard now. */
bool interrupt_again(void);

/* In the child of a fork: the thread that forked is the main thread now. */
void interrupt_after_fork(void);

#endif
