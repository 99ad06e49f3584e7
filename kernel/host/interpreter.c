/* The interpreter behind the host: its process, its link and its two pipes.
 *
 * Order: the link is read before the pipes, and a frame with PIPES_FIRST is told only after the
 * bytes that it says were written before it. Nothing is read while the clients are congested, so a
 * pipe or the link fills up and the interpreter waits; what it wrote before it died is still read
 * to the end. */
#include "kernel/host/interpreter.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/host/report.h"
#include "kernel/host/spawn.h"
#include "protocol/pipe_page.h"
#include "protocol/utf8.h"
#include "sandbox/family.h"

#define LINK_BUFFER_BYTES (1024 * 1024)
#define PIPE_BYTES        (256 * 1024)
#define TURN_BYTES        (2 * 1024 * 1024) /* read in one turn of the loop at most */
#define LAST_WORDS_BYTES  2048
#define CLOSED_GRACE_MS   3000 /* from the end of the link to the end of the process */

/* The descriptors that a start makes. */
enum {
    FD_LINK_OURS,
    FD_LINK_THEIRS,
    FD_OUT_OURS,
    FD_OUT_THEIRS,
    FD_ERR_OURS,
    FD_ERR_THEIRS,
    FD_PAGE,
    FDS
};

struct pipe {
    struct interpreter *owner;
    const char *name;
    int fd; /* -1: at its end */
    struct watch *watch;
    uint64_t total;     /* bytes read so far */
    struct buffer text; /* begins with the bytes of a character that is not complete yet */
};

struct interpreter {
    struct loop *loop;
    struct interpreter_events events;
    pid_t pid;
    int link_fd;            /* -1: at its end */
    struct pipe_page *page; /* mapped */
    struct watch *link_watch;
    struct link_reader *reader;
    struct buffer out;
    struct pipe pipes[2];
    struct buffer last_words;
    struct timer *kill_timer;
    bool paused, exited, ended, pumping;
    bool whole_tree; /* what it started ends with it */
    struct interpreter_end end;
};

static void pump(struct interpreter *i);

static void want(struct interpreter *i)
{
    uint32_t read = i->paused ? 0 : EPOLLIN;
    if (i->link_watch)
        watch_want(i->link_watch, read | (i->out.len ? EPOLLOUT : 0));
    for (size_t n = 0; n < countof(i->pipes); n++)
        if (i->pipes[n].watch)
            watch_want(i->pipes[n].watch, read);
}

static void remember_words(struct interpreter *i, struct bytes text)
{
    struct buffer *words = &i->last_words;
    if (text.len > LAST_WORDS_BYTES)
        text = (struct bytes){text.data + text.len - LAST_WORDS_BYTES, LAST_WORDS_BYTES};
    buffer_add_bytes(words, text);
    if (words->len > LAST_WORDS_BYTES)
        buffer_drop(words, words->len - LAST_WORDS_BYTES);
}

/* Tells the whole characters of the pipe's text; at the end also what is cut off. */
static void tell_text(struct pipe *p, bool at_end)
{
    struct bytes text = buffer_view(&p->text);
    if (!at_end)
        text.len -= utf8_tail(text);
    if (text.len == 0)
        return;
    if (p == &p->owner->pipes[1])
        remember_words(p->owner, text);
    p->owner->events.on_text(p->owner->events.data, p->name, text);
    buffer_drop(&p->text, text.len);
}

static void pipe_ended(struct pipe *p)
{
    tell_text(p, true);
    watch_close(take(&p->watch));
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

/* read(2), with the page odd while bytes have left the pipe and are not counted yet. */
static ssize_t read_counted(struct pipe *p, char *space, size_t most)
{
    struct pipe_page *page = p->owner->page;
    atomic_fetch_add(&page->turn, 1);
    ssize_t got = read(p->fd, space, most);
    int cause = errno;
    if (got > 0)
        p->total += (uint64_t)got;
    atomic_store(&page->total[p - p->owner->pipes], p->total);
    atomic_fetch_add(&page->turn, 1);
    errno = cause;
    return got;
}

/* Reads at most `most` bytes; true: it got some, and there may be more. */
static bool read_pipe(struct pipe *p, size_t most)
{
    if (p->fd < 0 || most == 0)
        return false;
    if (most > PIPE_BYTES)
        most = PIPE_BYTES;
    char *space = buffer_reserve(&p->text, most);
    ssize_t got = read_counted(p, space, most);
    if (got < 0)
        return errno == EINTR;
    if (got == 0) {
        pipe_ended(p);
        return false;
    }
    p->text.len += (size_t)got;
    tell_text(p, false);
    return true;
}

static size_t standing(const struct pipe *p)
{
    int bytes = 0;
    return p->fd >= 0 && ioctl(p->fd, FIONREAD, &bytes) == 0 ? (size_t)bytes : 0;
}

/* Reads until `end` bytes of the pipe have been read in all; they stand there. */
static void read_until(struct pipe *p, uint64_t end)
{
    while (p->fd >= 0 && p->total < end)
        if (!read_pipe(p, (size_t)(end - p->total)))
            break;
}

/* What was written to the pipes before the frame, and nothing that came after it. */
static bool read_what_came_before(struct interpreter *i, struct link_frame *frame, struct err *e)
{
    uint64_t counts[countof(i->pipes)];
    if (!link_take_pipe_counts(frame, counts, e))
        return false;
    for (size_t n = 0; n < countof(i->pipes); n++) {
        uint64_t there = i->pipes[n].total + standing(&i->pipes[n]);
        read_until(&i->pipes[n], counts[n] < there ? counts[n] : there);
    }
    return true;
}

static void link_ended(struct interpreter *i)
{
    watch_close(take(&i->link_watch));
    if (i->link_fd >= 0)
        close(i->link_fd);
    i->link_fd = -1;
    buffer_free(&i->out);
    if (!i->exited && !timer_running(i->kill_timer))
        timer_start(i->kill_timer, CLOSED_GRACE_MS);
}

/* Tells the frames that are whole; false: reading must stop (congestion, or a broken link). */
static bool tell_frames(struct interpreter *i)
{
    for (;;) {
        if (i->events.congested(i->events.data)) {
            i->paused = true;
            return false;
        }
        struct link_frame frame;
        struct err e;
        int result = link_reader_next(i->reader, &frame, &e);
        if (result == 0)
            return true;
        if (result > 0 && (frame.flags & LINK_FLAG_PIPES_FIRST) &&
            !read_what_came_before(i, &frame, &e))
            result = -1;
        if (result < 0) {
            report("the interpreter broke the link and is killed: %s", e.text);
            interpreter_kill(i);
            link_ended(i);
            return false;
        }
        i->events.on_frame(i->events.data, &frame);
    }
}

/* Reads the link until nothing more is there (true), or until it must stop. */
static bool read_link(struct interpreter *i)
{
    size_t used = 0;
    while (tell_frames(i)) {
        if (i->link_fd < 0)
            return true;
        if (used >= TURN_BYTES)
            return false;
        size_t room;
        char *space = link_reader_space(i->reader, &room);
        ssize_t got = recv(i->link_fd, space, room, MSG_DONTWAIT);
        if (got > 0) {
            link_reader_filled(i->reader, (size_t)got);
            used += (size_t)got;
        } else if (got < 0 && errno == EINTR) {
            continue;
        } else if (got < 0 && errno == EAGAIN) {
            return true;
        } else {
            link_ended(i);
            return true;
        }
    }
    return i->link_fd < 0 && !i->paused;
}

static bool hung_up(const struct pipe *p)
{
    struct pollfd look = {.fd = p->fd, .events = POLLIN};
    return poll(&look, 1, 0) == 1 && !(look.revents & POLLIN);
}

/* Reads what stands in the pipes now. A frame that is on the link by then, and does not say that it
 * comes after them, was sent before those bytes were written: so the link is read in between. True:
 * both pipes hold nothing. */
static bool read_pipes(struct interpreter *i)
{
    uint64_t ends[countof(i->pipes)];
    bool dry = true;
    for (size_t n = 0; n < countof(i->pipes); n++) {
        struct pipe *p = &i->pipes[n];
        size_t bytes = standing(p);
        if (bytes == 0 && p->fd >= 0 && hung_up(p))
            pipe_ended(p);
        ends[n] = p->total + (bytes < TURN_BYTES ? bytes : TURN_BYTES);
        dry = dry && bytes == 0;
    }
    if (dry || !read_link(i))
        return dry;
    for (size_t n = 0; n < countof(i->pipes); n++)
        read_until(&i->pipes[n], ends[n]);
    return false;
}

static void finish(struct interpreter *i)
{
    i->ended = true;
    link_ended(i);
    for (size_t n = 0; n < countof(i->pipes); n++)
        pipe_ended(&i->pipes[n]);
    timer_stop(i->kill_timer);
    i->events.on_end(i->events.data, &i->end); /* may free i */
}

static void pump(struct interpreter *i)
{
    if (i->ended || i->pumping)
        return;
    i->pumping = true;
    i->paused = false;
    bool dry;
    do
        dry = read_link(i) && read_pipes(i);
    while (!dry && i->exited && !i->paused);
    i->pumping = false;
    want(i);
    if (dry && i->exited)
        finish(i);
}

static void write_out(struct interpreter *i)
{
    while (i->out.len && i->link_fd >= 0) {
        ssize_t sent = send(i->link_fd, i->out.data, i->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno != EAGAIN)
            buffer_clear(&i->out); /* it is ending: its last frames are still read */
        if (sent < 0)
            break;
        buffer_drop(&i->out, (size_t)sent);
    }
    want(i);
}

static void on_link(void *data, uint32_t events)
{
    struct interpreter *i = data;
    if (events & EPOLLOUT)
        write_out(i);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        pump(i);
}

static void on_pipe(void *data, uint32_t events)
{
    struct pipe *p = data;
    (void)events;
    pump(p->owner);
}

static void on_kill_due(void *data)
{
    interpreter_kill(data);
}

static void open_pipe(struct interpreter *i, struct pipe *p, const char *name, int fd)
{
    fcntl(fd, F_SETPIPE_SZ,
          PIPE_BYTES); /* a user has a budget of pipe memory; the default will do as well */
    fcntl(fd, F_SETFL, O_NONBLOCK);
    *p = (struct pipe){.owner = i, .name = name, .fd = fd};
    p->watch = loop_watch(i->loop, fd, EPOLLIN, on_pipe, p);
}

/* The memory that tells the interpreter how far its pipes were read; it cannot write there. Returns
 * its descriptor, -1 with errno. */
static int share_page(struct pipe_page **page)
{
    int fd = memfd_create("warmcell pipes", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -1;
    void *place = ftruncate(fd, sizeof **page) == 0
                      ? mmap(NULL, sizeof **page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                      : MAP_FAILED;
    int seals = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE;
    if (place == MAP_FAILED || fcntl(fd, F_ADD_SEALS, seals) != 0) {
        int cause = errno;
        if (place != MAP_FAILED)
            munmap(place, sizeof **page);
        close(fd);
        errno = cause;
        return -1;
    }
    *page = place;
    return fd;
}

static pid_t run(char *const *argv, const int fds[FDS], struct err *e)
{
    size_t count = 0;
    while (argv[count])
        count++;
    char **whole = xcalloc(count + 5, sizeof *whole);
    memcpy(whole, argv, count * sizeof *whole);
    char link[12], pipes[12];
    snprintf(link, sizeof link, "%d", SPAWN_LINK_FD);
    snprintf(pipes, sizeof pipes, "%d", SPAWN_PIPES_FD);
    char *added[] = {"--link-fd", link, "--pipes-fd", pipes};
    memcpy(whole + count, added, sizeof added);
    struct spawn plan = {.argv = whole,
                         .stdout_fd = fds[FD_OUT_THEIRS],
                         .stderr_fd = fds[FD_ERR_THEIRS],
                         .link_fd = fds[FD_LINK_THEIRS],
                         .pipes_fd = fds[FD_PAGE]};
    pid_t pid = spawn_run(&plan, e);
    free(whole);
    return pid;
}

static void close_all(const int *fds, size_t count)
{
    for (size_t n = 0; n < count; n++)
        if (fds[n] >= 0)
            close(fds[n]);
}

/* fds: link ours, link theirs, stdout read and write end, stderr read and write end. */
static bool open_channels(int fds[FDS], struct pipe_page **page, struct err *e)
{
    for (int n = 0; n < FDS; n++)
        fds[n] = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0 &&
        pipe2(fds + FD_OUT_OURS, O_CLOEXEC) == 0 && pipe2(fds + FD_ERR_OURS, O_CLOEXEC) == 0 &&
        (fds[FD_PAGE] = share_page(page)) >= 0)
        return true;
    fail_errno(e, 503, "cannot start the interpreter");
    close_all(fds, FDS);
    return false;
}

struct interpreter *interpreter_start(struct loop *loop, char *const *argv,
                                      const struct interpreter_events *events, struct err *e)
{
    int fds[FDS];
    struct pipe_page *page = NULL;
    if (!open_channels(fds, &page, e))
        return NULL;
    for (int n = 0; n < 2; n++)
        setsockopt(fds[n], SOL_SOCKET, SO_SNDBUF, &(int){LINK_BUFFER_BYTES}, sizeof(int));
    pid_t pid = run(argv, fds, e);
    close_all((int[]){fds[FD_LINK_THEIRS], fds[FD_OUT_THEIRS], fds[FD_ERR_THEIRS], fds[FD_PAGE]},
              4);
    if (pid < 0) {
        close_all((int[]){fds[FD_LINK_OURS], fds[FD_OUT_OURS], fds[FD_ERR_OURS]}, 3);
        munmap(page, sizeof *page);
        return NULL;
    }
    struct interpreter *i = xcalloc(1, sizeof *i);
    i->loop = loop;
    i->events = *events;
    i->pid = pid;
    i->link_fd = fds[FD_LINK_OURS];
    i->page = page;
    i->reader = link_reader_new(LINK_LIMIT_BYTES);
    i->kill_timer = loop_timer(loop, on_kill_due, i);
    i->link_watch = loop_watch(loop, i->link_fd, EPOLLIN, on_link, i);
    open_pipe(i, &i->pipes[0], "stdout", fds[FD_OUT_OURS]);
    open_pipe(i, &i->pipes[1], "stderr", fds[FD_ERR_OURS]);
    return i;
}

void interpreter_free(struct interpreter *i)
{
    if (!i)
        return;
    if (!i->exited)
        interpreter_kill(i);
    watch_close(i->link_watch);
    if (i->link_fd >= 0)
        close(i->link_fd);
    for (size_t n = 0; n < countof(i->pipes); n++) {
        watch_close(i->pipes[n].watch);
        if (i->pipes[n].fd >= 0)
            close(i->pipes[n].fd);
        buffer_free(&i->pipes[n].text);
    }
    timer_close(i->kill_timer);
    munmap(i->page, sizeof *i->page);
    link_reader_free(i->reader);
    buffer_free(&i->out);
    buffer_free(&i->last_words);
    free(i);
}

bool interpreter_has_ended(const struct interpreter *i)
{
    siginfo_t info = {0};
    return i->exited ||
           (waitid(P_PID, (id_t)i->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid);
}

pid_t interpreter_pid(const struct interpreter *i)
{
    return i->pid;
}

void interpreter_send(struct interpreter *i, const struct link_frame *frame)
{
    if (i->link_fd < 0)
        return;
    link_encode(&i->out, frame);
    write_out(i);
}

void interpreter_resume(struct interpreter *i)
{
    if (i->paused)
        pump(i);
}

void interpreter_interrupt(struct interpreter *i)
{
    if (!i->exited)
        kill(-i->pid, SIGINT);
}

void interpreter_kill(struct interpreter *i)
{
    /* Its group may not exist yet right after the fork; the process always does until it is reaped.
     */
    if (!i->exited && kill(-i->pid, SIGKILL) != 0)
        kill(i->pid, SIGKILL);
}

void interpreter_signal(struct interpreter *i, int number)
{
    if (!i->exited)
        kill(i->pid, number);
}

void interpreter_kill_tree(struct interpreter *i)
{
    i->whole_tree = true;
    interpreter_kill(i);
}

void interpreter_kill_after(struct interpreter *i, int64_t grace_ms)
{
    timer_start(i->kill_timer, grace_ms);
}

void interpreter_reaped(struct interpreter *i, int wait_status)
{
    i->exited = true;
    i->end =
        (struct interpreter_end){.wait_status = wait_status, .limit_bytes = -1, .peak_bytes = -1};
    if (i->whole_tree)
        family_kill();
    pump(i);
}

struct bytes interpreter_last_words(const struct interpreter *i)
{
    return buffer_view(&i->last_words);
}
