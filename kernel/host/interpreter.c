/* The interpreter behind the host: its process, its link and its two pipes.
 *
 * Order: the link is read before the pipes, and a frame with PIPES_FIRST is told only after the
 * bytes that it says were written before it. Nothing is read while the clients are congested, so a
 * pipe or the link fills up and the interpreter waits; what it wrote before it died is still read
 * to the end, and then what it had left in the outbox. */
#include "kernel/host/interpreter.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/host/channels.h"
#include "kernel/host/cradle.h"
#include "kernel/host/keeper_client.h"
#include "kernel/host/report.h"
#include "kernel/host/spawn.h"
#include "protocol/outbox.h"
#include "protocol/pipe_page.h"
#include "protocol/utf8.h"
#include "sandbox/family.h"
#include "sandbox/wire.h"

#define PIPE_BYTES       (256 * 1024)
#define TURN_BYTES       (2 * 1024 * 1024) /* read in one turn of the loop at most */
#define LAST_WORDS_BYTES 2048
#define CLOSED_GRACE_MS  3000 /* from the end of the link to the end of the process */

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
    char *const *argv;            /* borrowed */
    struct keeper_client *keeper; /* borrowed; NULL: it is a child of ours */
    struct cradle *cradle;        /* where it is born; NULL: it is started */
    struct channels channels;     /* of ours only the memory; the others are below */
    pid_t pid;                    /* 0: none yet; -1: it had ended before we knew */
    int pidfd;                    /* borrowed from the keeper's client */
    bool begun;                   /* there is a process, or was */
    bool kill_wanted;
    char *refusal; /* owned; why there never was one */
    int refusal_status;
    int link_fd; /* -1: at its end */
    struct watch *link_watch;
    struct link_reader *reader;
    uint64_t received; /* bytes of the link so far */
    bool is_over;      /* the link gives no more; what is told now comes from... */
    struct buffer rest;
    size_t rest_told;
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
        watch_want(i->link_watch, read | (i->begun && i->out.len ? EPOLLOUT : 0));
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
    struct pipe_page *page = p->owner->channels.page;
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

/* The link gives no more: what the interpreter had not sent yet is in the outbox. */
static void collect_rest(struct interpreter *i)
{
    uint64_t gap, missing;
    i->is_over = true;
    outbox_collect(i->channels.outbox, i->received, &i->rest, &gap, &missing);
    if (gap) { /* the rest of a frame: what follows begins anew */
        link_reader_free(i->reader);
        i->reader = link_reader_new(LINK_LIMIT_BYTES);
    }
    if (gap + missing)
        report("%llu bytes of messages that the interpreter was still sending when it ended are "
               "lost",
               (unsigned long long)(gap + missing));
}

/* The next bytes of the link, or of what was left in the outbox, as recv(2) tells it. */
static ssize_t receive(struct interpreter *i, char *space, size_t room)
{
    if (!i->is_over) {
        ssize_t got = recv(i->link_fd, space, room, MSG_DONTWAIT);
        if (got > 0)
            i->received += (uint64_t)got;
        bool more = got > 0 || (got < 0 && (errno == EINTR || (errno == EAGAIN && !i->exited)));
        if (more)
            return got;
        collect_rest(i);
    }
    size_t left = i->rest.len - i->rest_told;
    size_t len = left < room ? left : room;
    if (len == 0)
        return 0;
    memcpy(space, i->rest.data + i->rest_told, len);
    i->rest_told += len;
    return (ssize_t)len;
}

/* Reads the link until nothing more is there (true), or until it must stop. A stream socket that
 * gave less than was asked for was empty then. */
static bool read_link(struct interpreter *i)
{
    size_t used = 0;
    bool empty = false;
    while (tell_frames(i)) {
        if (i->link_fd < 0 || empty)
            return true;
        if (used >= TURN_BYTES)
            return false;
        size_t room;
        char *space = link_reader_space(i->reader, &room);
        ssize_t got = receive(i, space, room);
        if (got > 0) {
            link_reader_filled(i->reader, (size_t)got);
            used += (size_t)got;
            empty = (size_t)got < room && !i->exited && !i->is_over; /* else: its end */
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

/* Neither holds a byte, nor has it ended. */
static bool pipes_are_quiet(const struct interpreter *i)
{
    struct pollfd look[countof(i->pipes)];
    for (size_t n = 0; n < countof(i->pipes); n++)
        look[n] = (struct pollfd){.fd = i->pipes[n].fd, .events = POLLIN};
    return poll(look, countof(look), 0) == 0;
}

/* Reads what stands in the pipes now. A frame that is on the link by then, and does not say that it
 * comes after them, was sent before those bytes were written: so the link is read in between. True:
 * both pipes hold nothing. */
static bool read_pipes(struct interpreter *i)
{
    uint64_t ends[countof(i->pipes)];
    bool dry = true;
    if (pipes_are_quiet(i))
        return true;
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
    while (i->begun && i->out.len && i->link_fd >= 0) {
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

static void close_channels(struct interpreter *i)
{
    watch_close(take(&i->link_watch));
    if (i->link_fd >= 0)
        close(i->link_fd);
    i->link_fd = -1;
    for (size_t n = 0; n < countof(i->pipes); n++) {
        watch_close(take(&i->pipes[n].watch));
        if (i->pipes[n].fd >= 0)
            close(i->pipes[n].fd);
        i->pipes[n].fd = -1;
        buffer_clear(&i->pipes[n].text);
    }
    channels_close(&i->channels);
}

static bool open_channels(struct interpreter *i, struct err *e)
{
    static const char *const names[] = {"stdout", "stderr"};
    struct channels *c = &i->channels;
    if (!channels_open(c, e))
        return false;
    i->link_fd = c->ours[END_LINK];
    c->ours[END_LINK] = -1;
    i->link_watch = loop_watch(i->loop, i->link_fd, EPOLLIN, on_link, i);
    for (size_t n = 0; n < countof(i->pipes); n++) {
        struct pipe *p = &i->pipes[n];
        int fd = c->ours[END_STDOUT + n];
        *p = (struct pipe){.owner = i, .name = names[n], .fd = fd, .text = p->text};
        p->watch = loop_watch(i->loop, fd, EPOLLIN, on_pipe, p);
        c->ours[END_STDOUT + n] = -1;
    }
    return true;
}

static void began(struct interpreter *i, pid_t pid)
{
    i->pid = pid;
    i->begun = true;
    channels_close_theirs(&i->channels);
    if (i->kill_wanted)
        interpreter_kill(i);
    write_out(i);
}

/* As a child of ours. */
static bool run_here(struct interpreter *i, struct err *e)
{
    size_t count = 0;
    while (i->argv[count])
        count++;
    char **whole = xcalloc(count + 5, sizeof *whole);
    memcpy(whole, i->argv, count * sizeof *whole);
    char link[12], pipes[12];
    snprintf(link, sizeof link, "%d", SPAWN_LINK_FD);
    snprintf(pipes, sizeof pipes, "%d", SPAWN_PIPES_FD);
    char *added[] = {"--link-fd", link, "--pipes-fd", pipes};
    memcpy(whole + count, added, sizeof added);
    const int *theirs = i->channels.theirs;
    struct spawn plan = {.argv = whole,
                         .stdout_fd = theirs[END_STDOUT],
                         .stderr_fd = theirs[END_STDERR],
                         .link_fd = theirs[END_LINK],
                         .pipes_fd = theirs[END_PAGE]};
    pid_t pid = spawn_run(&plan, e);
    free(whole);
    if (pid > 0)
        began(i, pid);
    return pid > 0;
}

static void on_started(void *data, pid_t pid, int pidfd)
{
    struct interpreter *i = data;
    i->pidfd = pidfd;
    began(i, pid);
}

static void end_at_once(struct interpreter *i, int status, const char *why)
{
    i->refusal_status = status;
    i->refusal = xstrdup(why);
    i->exited = true;
    i->end = (struct interpreter_end){.wait_status = -1, .limit_bytes = -1, .peak_bytes = -1};
    channels_close_theirs(&i->channels);
    pump(i);
}

/* Other channels than the keeper's: it may still have those, and a process on them. */
static void on_failed(void *data, const struct err *why)
{
    struct interpreter *i = data;
    struct err e = *why;
    bool confined = keeper_client_confines(i->keeper);
    i->keeper = NULL;
    if (!confined) {
        report("started without the keeper: %s", why->text);
        close_channels(i);
        if (open_channels(i, &e) && run_here(i, &e))
            return;
    }
    end_at_once(i, e.status, e.text);
}

/* There is no other way to come by it. */
static void on_unborn(void *data, const struct err *why)
{
    end_at_once(data, why->status, why->text);
}

static void on_ended(void *data, const struct interpreter_end *end)
{
    struct interpreter *i = data;
    i->exited = true;
    i->end = *end;
    pump(i);
}

/* Its parent is the first process of its sandbox; what ended it, the keeper knows. */
static void on_branch_ended(void *data, const struct interpreter_end *end)
{
    struct interpreter *i = data;
    const struct birth_events explained = {.on_ended = on_ended, .data = i};
    if (i->keeper)
        keeper_client_explain(i->keeper, end, &explained);
    else
        on_ended(i, end);
}

static bool run_there(struct interpreter *i, struct err *e)
{
    const struct birth_events events = {on_started, on_failed, on_ended, i};
    if (keeper_client_start(i->keeper, i->argv, i->channels.theirs, &events, e))
        return true;
    if (keeper_client_confines(i->keeper))
        return false;
    i->keeper = NULL;
    report("started without the keeper: %s", e->text);
    return run_here(i, e);
}

static struct interpreter *make(struct loop *loop, char *const *argv, struct keeper_client *keeper,
                                const struct interpreter_events *events)
{
    struct interpreter *i = xcalloc(1, sizeof *i);
    *i = (struct interpreter){.loop = loop, .events = *events, .argv = argv, .keeper = keeper};
    i->pidfd = -1;
    i->reader = link_reader_new(LINK_LIMIT_BYTES);
    i->kill_timer = loop_timer(loop, on_kill_due, i);
    return i;
}

struct interpreter *interpreter_start(struct loop *loop, char *const *argv,
                                      struct keeper_client *keeper,
                                      const struct interpreter_events *events, struct err *e)
{
    struct interpreter *i = make(loop, argv, keeper, events);
    if (open_channels(i, e) && (keeper ? run_there(i, e) : run_here(i, e)))
        return i;
    interpreter_free(i);
    return NULL;
}

struct interpreter *interpreter_await(struct loop *loop, const char *path,
                                      struct keeper_client *keeper,
                                      const struct interpreter_events *events, struct err *e)
{
    struct interpreter *i = make(loop, NULL, keeper, events);
    const struct birth_events birth = {on_started, on_unborn, on_branch_ended, i};
    if ((!keeper || keeper_client_hold(keeper, e)) && open_channels(i, e) &&
        (i->cradle = cradle_open(loop, path, i->channels.theirs, &birth, e)))
        return i;
    interpreter_free(i);
    return NULL;
}

void interpreter_free(struct interpreter *i)
{
    if (!i)
        return;
    if (!i->exited && (!i->cradle || i->begun))
        interpreter_kill(i);
    if (i->keeper && !i->exited)
        keeper_client_forget(i->keeper);
    cradle_free(i->cradle);
    close_channels(i);
    for (size_t n = 0; n < countof(i->pipes); n++)
        buffer_free(&i->pipes[n].text);
    timer_close(i->kill_timer);
    link_reader_free(i->reader);
    buffer_free(&i->rest);
    buffer_free(&i->out);
    buffer_free(&i->last_words);
    free(i->refusal);
    free(i);
}

static bool is_readable(int fd)
{
    struct pollfd look = {.fd = fd, .events = POLLIN};
    return poll(&look, 1, 0) == 1;
}

/* Its number is its own still: a keeper reaps what has ended. */
static bool has_process(const struct interpreter *i)
{
    return i->pid > 0 && !i->exited && !(i->pidfd >= 0 && is_readable(i->pidfd));
}

bool interpreter_has_ended(const struct interpreter *i)
{
    siginfo_t info = {0};
    if (i->exited || !i->begun)
        return i->exited;
    if (i->keeper)
        return is_readable(i->pidfd);
    return waitid(P_PID, (id_t)i->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid;
}

int interpreter_refusal_status(const struct interpreter *i)
{
    return i->refusal_status;
}

const char *interpreter_refusal(const struct interpreter *i)
{
    return i->refusal;
}

pid_t interpreter_pid(const struct interpreter *i)
{
    return i->pid > 0 ? i->pid : 0;
}

void interpreter_send(struct interpreter *i, const struct link_frame *frame)
{
    if (i->link_fd < 0)
        return;
    link_encode(&i->out, frame);
    write_out(i);
}

bool interpreter_send_fds(struct interpreter *i, const struct link_frame *frame, const int *fds,
                          size_t count)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(WIRE_FDS_MOST * sizeof(int))];
    } ancillary = {0};
    if (i->link_fd < 0 || !i->begun || i->out.len || count > WIRE_FDS_MOST)
        return false;
    link_encode(&i->out, frame);
    struct iovec part = {i->out.data, 1};
    struct msghdr head = {.msg_iov = &part,
                          .msg_iovlen = 1,
                          .msg_control = &ancillary,
                          .msg_controllen = CMSG_SPACE(count * sizeof *fds)};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&head);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(count * sizeof *fds);
    memcpy(CMSG_DATA(rights), fds, count * sizeof *fds);
    bool sent = sendmsg(i->link_fd, &head, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
    if (sent)
        buffer_drop(&i->out, 1);
    else
        buffer_clear(&i->out);
    write_out(i);
    return sent;
}

void interpreter_resume(struct interpreter *i)
{
    if (i->paused)
        pump(i);
}

/* To its process group, or to it alone. Its group may not exist yet right after the fork; the
 * process always does until it is reaped. */
static void send_signal(struct interpreter *i, bool group, int number)
{
    if (has_process(i) && (!group || kill(-i->pid, number) != 0))
        kill(i->pid, number);
}

void interpreter_interrupt(struct interpreter *i, uint64_t number)
{
    if (!has_process(i))
        return;
    atomic_store(&i->channels.page->interrupted, number);
    kill(-i->pid, SIGINT);
}

static bool awaits_birth(const struct interpreter *i)
{
    return i->cradle && !i->begun && !i->exited;
}

void interpreter_kill(struct interpreter *i)
{
    i->kill_wanted = true; /* also of one that is only coming to be */
    if (awaits_birth(i)) {
        cradle_free(take(&i->cradle));
        end_at_once(i, 409, "the kernel was ended before it had an interpreter");
        return;
    }
    send_signal(i, true, SIGKILL);
}

void interpreter_signal(struct interpreter *i, int number)
{
    send_signal(i, false, number);
}

void interpreter_kill_tree(struct interpreter *i)
{
    i->whole_tree = true;
    if (i->keeper)
        keeper_client_kill_tree(i->keeper);
    interpreter_kill(i);
}

void interpreter_kill_after(struct interpreter *i, int64_t grace_ms)
{
    timer_start(i->kill_timer, awaits_birth(i) ? 0 : grace_ms);
}

void interpreter_reaped(struct interpreter *i, int wait_status, const struct process_use *use)
{
    i->exited = true;
    i->end = (struct interpreter_end){
        .wait_status = wait_status, .limit_bytes = -1, .peak_bytes = -1, .use = *use};
    if (i->whole_tree)
        family_kill();
    pump(i);
}

struct bytes interpreter_last_words(const struct interpreter *i)
{
    return buffer_view(&i->last_words);
}
