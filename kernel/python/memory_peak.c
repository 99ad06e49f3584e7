/* A 5 in clear_refs sets the high-water mark of resident memory to what is resident (proc(5)). It
 * is opened each time: code of the user may close any descriptor, and make it another file's. */
#include "kernel/python/memory_peak.h"

#include <errno.h>
#include <fcntl.h>
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
