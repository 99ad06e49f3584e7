/* A library that is loaded before libc (LD_PRELOAD) and makes what a test names wait, or end.
 *
 * A file in a folder `keepsakes` waits for its name while there is a FIFO at HOLD_RENAME, and what
 * is written to the database while there is one at HOLD_STORE, until who opened that for writing
 * closes it. Opening it waits for who is to be held: so a test knows that it is there. With
 * KILL_RENAME=N the process is killed in the place of the Nth rename. While there is a file at
 * NO_SPACE the disk is full for what is written into a folder `workspace`. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

static void hold(const char *variable)
{
    const char *fifo = getenv(variable);
    int fd = fifo ? open(fifo, O_RDONLY | O_CLOEXEC) : -1;
    char byte;
    while (fd >= 0 && read(fd, &byte, 1) > 0)
        continue;
    if (fd >= 0)
        close(fd);
}

static bool lies_in(int fd, const char *part)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof(path) - 1);
    path[len > 0 ? len : 0] = '\0';
    return strstr(path, part);
}

static void hold_store(int fd)
{
    if (getenv("HOLD_STORE") && lies_in(fd, "/warmcell.db-wal"))
        hold("HOLD_STORE");
}

int rename(const char *from, const char *to)
{
    static int count;
    const char *last = getenv("KILL_RENAME");
    if (last && ++count == atoi(last))
        raise(SIGKILL);
    if (strstr(to, "/keepsakes/"))
        hold("HOLD_RENAME");
    return REAL(rename)(from, to);
}

ssize_t write(int fd, const void *data, size_t len)
{
    const char *full = getenv("NO_SPACE");
    if (full && access(full, F_OK) == 0 && lies_in(fd, "/workspace/")) {
        errno = ENOSPC;
        return -1;
    }
    return REAL(write)(fd, data, len);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    hold_store(fd);
    return REAL(pwrite)(fd, data, len, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset)
{
    hold_store(fd);
    return REAL(pwrite64)(fd, data, len, offset);
}
