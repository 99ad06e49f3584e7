/* What a process has used of processors and memory, as who waits for it is told. */
#ifndef WARMCELL_SANDBOX_PROCESS_USE_H
#define WARMCELL_SANDBOX_PROCESS_USE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process_use {
    bool known;
    int64_t cpu_us;            /* its own, of all its threads */
    int64_t children_cpu_us;   /* of child processes that ended before it, and theirs */
    int64_t memory_peak_bytes; /* since it began, or since memory_peak_forget(); of one of those
                                  children where that had more */
};

/* The processor time of the threads of a process, also of one that has ended and was not waited
 * for; -1: there is none of that number. One system call. */
int64_t process_cpu_us(pid_t pid);

/* Waits for a child that has ended. False: it was not there; use->known is false then. */
bool process_reap(pid_t pid, int *wait_status, struct process_use *use);

#endif
