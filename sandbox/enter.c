/* How a process enters the control groups of a sandbox by itself. Apart from share.c, since the
 * fork server has this alone of it: called between fork and exec, or in a process that shares the
 * memory of another. */
#include <errno.h>
#include <unistd.h>

#include "sandbox/limits.h"

bool share_enter(const int *doors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ssize_t wrote;
        do
            wrote = write(doors[i], "0", 1);
        while (wrote < 0 && errno == EINTR);
        if (wrote < 0)
            return false;
    }
    return true;
}
