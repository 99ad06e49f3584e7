/* Descriptors of a start, all with FD_CLOEXEC: the process gets its own by number. */
#include "kernel/host/channels.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/memory.h"

#define LINK_BUFFER_BYTES (1024 * 1024)
#define PIPE_BYTES        (256 * 1024)

static void *map(int fd, size_t len, int protection, off_t offset)
{
    void *place = mmap(NULL, len, protection, MAP_SHARED, fd, offset);
    return place == MAP_FAILED ? NULL : place;
}

/* Nobody can change the size of it. What the interpreter scribbles there misleads nobody but
 * itself: of the page we only write, and the outbox could as well come over the link. */
static bool share_memory(struct channels *c)
{
    int fd = memfd_create("warmcell link", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    c->theirs[END_PAGE] = fd;
    if (fd < 0 || ftruncate(fd, OUTBOX_OFFSET + OUTBOX_BYTES) != 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
        return false;
    c->page = map(fd, sizeof *c->page, PROT_READ | PROT_WRITE, 0);
    c->outbox = map(fd, OUTBOX_BYTES, PROT_READ, OUTBOX_OFFSET);
    return c->page && c->outbox;
}

static bool open_pipe(struct channels *c, enum channel_end end)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return false;
    fcntl(fds[0], F_SETPIPE_SZ,
          PIPE_BYTES); /* a user has a budget of pipe memory; the default will do as well */
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    c->ours[end] = fds[0];
    c->theirs[end] = fds[1];
    return true;
}

static bool open_link(struct channels *c)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return false;
    for (int n = 0; n < 2; n++)
        setsockopt(fds[n], SOL_SOCKET, SO_SNDBUF, &(int){LINK_BUFFER_BYTES}, sizeof(int));
    c->ours[END_LINK] = fds[0];
    c->theirs[END_LINK] = fds[1];
    return true;
}

static void close_fds(int *fds, size_t count)
{
    for (size_t n = 0; n < count; n++) {
        if (fds[n] >= 0)
            close(fds[n]);
        fds[n] = -1;
    }
}

bool channels_open(struct channels *out, struct err *e)
{
    *out = (struct channels){.ours = {-1, -1, -1}, .theirs = {-1, -1, -1, -1}};
    if (open_link(out) && open_pipe(out, END_STDOUT) && open_pipe(out, END_STDERR) &&
        share_memory(out))
        return true;
    fail_errno(e, 503, "cannot start the interpreter");
    channels_close(out);
    return false;
}

void channels_close_theirs(struct channels *c)
{
    close_fds(c->theirs, countof(c->theirs));
}

void channels_close(struct channels *c)
{
    channels_close_theirs(c);
    close_fds(c->ours, countof(c->ours));
    if (c->page)
        munmap(c->page, sizeof *c->page);
    if (c->outbox)
        munmap(c->outbox, OUTBOX_BYTES);
    c->page = c->outbox = NULL;
}
