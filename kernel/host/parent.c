/* A pidfd tells the end of any process, be it our parent, its parent (a launcher behind a wrapper),
 * process 1, or one below a subreaper: so getppid() is not asked. A number that names no process,
 * or a process of another user, comes from another pid namespace and says nothing. */
#include "kernel/host/parent.h"

#include <stdio.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct parent {
    int fd;
    struct watch *watch;
    void (*on_gone)(void *data);
    void *data;
};

static void on_ready(void *data, uint32_t events)
{
    struct parent *parent = data;
    (void)events;
    watch_want(parent->watch, 0);
    parent->on_gone(parent->data);
}

static bool is_ours(int pid)
{
    char path[32];
    struct stat about;
    snprintf(path, sizeof path, "/proc/%d", pid);
    return pid == getppid() || (stat(path, &about) == 0 && about.st_uid == getuid());
}

struct parent *parent_watch(struct loop *loop, void (*on_gone)(void *data), void *data)
{
    const char *text = getenv("JPY_PARENT_PID");
    int pid = text ? atoi(text) : 0;
    if (pid <= 0 || pid == getpid() || !is_ours(pid))
        return NULL;
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return NULL;
    struct parent *parent = xcalloc(1, sizeof *parent);
    *parent = (struct parent){.fd = fd, .on_gone = on_gone, .data = data};
    parent->watch = loop_watch(loop, fd, EPOLLIN, on_ready, parent);
    return parent;
}

void parent_close(struct parent *parent)
{
    if (!parent)
        return;
    watch_close(parent->watch);
    close(parent->fd);
    free(parent);
}
