/* The most that a process, or a child of it, has had in memory, since something in particular. */
#ifndef WARMCELL_KERNEL_PYTHON_MEMORY_PEAK_H
#define WARMCELL_KERNEL_PYTHON_MEMORY_PEAK_H

#include <stdint.h>

/* From now on ru_maxrss of getrusage(RUSAGE_SELF) is counted anew, from what is there now. Where
 * the kernel cannot do that (CONFIG_PROC_PAGE_MONITOR, /proc), it stays that of the whole life.
 * Keeps errno; 3 us. */
void memory_peak_forget(void);

/* The most that one of the children had which have ended and were waited for; 0: none has. */
int64_t memory_peak_of_children(void);

/* The most of this process since memory_peak_forget(), or of a child that ended since
 * memory_peak_of_children() gave children_before. The system tells of the greatest child alone: one
 * that had no more than another before it is not seen. */
int64_t memory_peak_bytes(int64_t children_before);

#endif
