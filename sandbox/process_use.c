/* wait4(2) adds a child's own time and that of its children: its clock tells the two apart, and has
 * to be read before the wait. */
#include "sandbox/process_use.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

/* The clock of the CPU time of a whole process, as the kernel makes its number: clock_getcpuclockid
 * would ask the kernel each time whether it may. Source: Linux, include/linux/posix-timers_types.h.
 */
static clockid_t clock_of(pid_t pid)
{
    return (clockid_t)((~(unsigned)pid << 3) | 2);
}

int64_t process_cpu_us(pid_t pid)
{
    struct timespec t;
    if (pid <= 0 || clock_gettime(clock_of(pid), &t) != 0)
        return -1;
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int64_t us_of(const struct timeval *t)
{
    return (int64_t)t->tv_sec * 1000000 + t->tv_usec;
}

bool process_reap(pid_t pid, int *wait_status, struct process_use *use)
{
    struct rusage used;
    *use = (struct process_use){.cpu_us = process_cpu_us(pid)};
    if (wait4(pid, wait_status, 0, &used) != pid)
        return false;
    int64_t whole_us = us_of(&used.ru_utime) + us_of(&used.ru_stime);
    if (use->cpu_us < 0 || use->cpu_us > whole_us)
        use->cpu_us = whole_us;
    use->children_cpu_us = whole_us - use->cpu_us;
    use->memory_peak_bytes = (int64_t)used.ru_maxrss * 1024;
    use->known = true;
    return true;
}
