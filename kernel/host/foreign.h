/* The process of a kernel that speaks ZeroMQ itself: started in a session of its own, what it
 * writes to its descriptors 1 and 2 logged (at most so many lines), the last of it kept for the
 * reason of its death. */
#ifndef WARMCELL_KERNEL_HOST_FOREIGN_H
#define WARMCELL_KERNEL_HOST_FOREIGN_H

#include <sys/types.h>

#include "sandbox/loop.h"
#include "protocol/bytes.h"
#include "protocol/err.h"

struct foreign;

/* JPY_PARENT_PID of the process is ours. 503: it cannot be started. */
struct foreign *foreign_start(struct loop *loop, char *const *argv, struct err *e);
void foreign_free(
    struct foreign *f); /* kills its process group if it is still there; NULL is legal */

pid_t foreign_pid(const struct foreign *f);
void foreign_signal(struct foreign *f, int signo); /* to its process group; nothing once it ended */

/* It has ended: what it still had written is read. wait_status as of waitpid(2). */
void foreign_reaped(struct foreign *f, int wait_status);
bool foreign_ended(const struct foreign *f);
int foreign_status(const struct foreign *f); /* once it ended */

/* "the kernel was killed by signal 9 (SIGKILL)", "the kernel ended with status 1". Given to the
 * caller. */
char *foreign_end_text(int wait_status);

/* The last whole lines that it wrote to descriptor 2, at most 1 KiB of valid UTF-8. Given to the
 * caller; "": none. */
char *foreign_last_words(const struct foreign *f);

#endif
