/* How a process ended that is not our child: from its pidfd, where the kernel remembers (Linux 6.15
 * and later do). */
#ifndef WARMCELL_KERNEL_HOST_LAST_STATUS_H
#define WARMCELL_KERNEL_HOST_LAST_STATUS_H

#include <stdbool.h>

/* Its parent must have reaped it: that takes a moment after the pidfd became readable. */
#define LAST_STATUS_WAIT_MS 100

/* True: *wait_status is as of waitpid(2). */
bool last_status_of(int pidfd, int *wait_status);

#endif
