/* A library that is loaded before libc (LD_PRELOAD) and looks at files that are to get their names.
 *
 * One in a folder `keepsakes` waits for its name while there is a FIFO at HOLD_RENAME, until who
 * opened that for writing closes it. Opening it waits for the file: so a test knows that it is
 * there. With KILL_RENAME=N the process is killed in the place of the Nth rename. */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void hold(const char *to)
{
    const char *fifo = getenv("HOLD_RENAME");
    int fd = fifo && strstr(to, "/keepsakes/") ? open(fifo, O_RDONLY | O_CLOEXEC) : -1;
    char byte;
    while (fd >= 0 && read(fd, &byte, 1) > 0)
        continue;
    if (fd >= 0)
        close(fd);
}

int rename(const char *from, const char *to)
{
    static int count;
    int (*next)(const char *, const char *) = (__typeof__(&rename))dlsym(RTLD_NEXT, "rename");
    const char *last = getenv("KILL_RENAME");
    if (last && ++count == atoi(last))
        raise(SIGKILL);
    hold(to);
    return next(from, to);
}
