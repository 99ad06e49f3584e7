/* The most that a process has had in memory, since something in particular. */
#ifndef WARMCELL_KERNEL_PYTHON_MEMORY_PEAK_H
#define WARMCELL_KERNEL_PYTHON_MEMORY_PEAK_H

/* From now on ru_maxrss of getrusage(RUSAGE_SELF) is counted anew, from what is there now. Where
 * the kernel cannot do that (CONFIG_PROC_PAGE_MONITOR, /proc), it stays that of the whole life.
 * Keeps errno; 3 us. */
void memory_peak_forget(void);

#endif
