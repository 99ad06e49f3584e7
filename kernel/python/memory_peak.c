/* A 5 in clear_refs sets the high-water mark of resident memory to what is resident (proc(5)). It
 * is opened each time: code of the user may close any descriptor, and make it another file's. */
#include "kernel/python/memory_peak.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

void memory_peak_forget(void)
{
    int error = errno;
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t written = write(fd, "5", 1);
        (void)written; /* there is nothing else to try */
        close(fd);
    }
    errno = error;
}

static int64_t peak_of(int whose)
{
    struct rusage used;
    getrusage(whose, &used);
    return used.ru_maxrss * INT64_C(1024);
}

int64_t memory_peak_of_children(void)
{
    return peak_of(RUSAGE_CHILDREN);
}

int64_t memory_peak_bytes(int64_t children_before)
{
    int64_t own = peak_of(RUSAGE_SELF), children = memory_peak_of_children();
    return children > children_before && children > own ? children : own;
}
