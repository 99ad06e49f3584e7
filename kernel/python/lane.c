/* The queue of the interpreter's end of the link. Called by the Python module (with the interpreter
 * lock held) and by the watching thread. Invariant: frames leave in the order in which they were
 * given, whole, whatever interrupts a caller; text written before a frame leaves before it. */
#include "kernel/python/lane.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "kernel/python/lane_state.h"

#define PIECES_AT_ONCE 64
#define LOOKS_MOST     1000
#define TOGETHER_BYTES (16 * 1024)

/* The lane that fork handlers look after; a process has one. */
static struct lane *living;

static void before_fork(void)
{
    if (living)
        pthread_mutex_lock(&living->lock);
}

static void after_fork_in_parent(void)
{
    if (living)
        pthread_mutex_unlock(&living->lock);
}

static void free_frames(struct frame_queue *queue)
{
    for (struct lane_frame *next, *f = queue->first; f; f = next) {
        next = f->next;
        free(f);
    }
    *queue = (struct frame_queue){NULL, NULL};
    queue->end = &queue->first;
}

static void free_chunks(struct lane *l)
{
    for (struct chunk *next, *c = l->chunks; c; c = next) {
        next = c->next;
        free(c->data);
        free(c);
    }
    l->chunks = NULL;
    l->chunks_end = &l->chunks;
    l->queued_bytes = 0;
}

static void close_descriptors(struct lane *l)
{
    int *fds[] = {&l->fd,       &l->kick_fd,     &l->timer_fd,   &l->wake_fd,
                  &l->input_fd, &l->pipe_fds[0], &l->pipe_fds[1]};
    for (size_t i = 0; i < countof(fds); i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

/* The child has no thread and no right to the link: the parent sends what both knew of. */
static void after_fork_in_child(void)
{
    struct lane *l = living;
    if (!l)
        return;
    pthread_mutex_init(&l->lock, NULL);
    l->forked = true;
    free_chunks(l);
    free_frames(&l->requests);
    free_frames(&l->inputs);
    buffer_clear(&l->text.frames);
    l->text.open = false;
    close_descriptors(l);
}

void lane_drop_descriptors(struct lane *l)
{
    while (l->descriptor_count > 0)
        close(l->descriptors[--l->descriptor_count]);
}

size_t lane_take_descriptors(struct lane *l, int out[LANE_DESCRIPTORS_MOST])
{
    pthread_mutex_lock(&l->lock);
    size_t count = l->descriptor_count;
    memcpy(out, l->descriptors, count * sizeof *out);
    l->descriptor_count = 0;
    pthread_mutex_unlock(&l->lock);
    return count;
}

static bool open_descriptors(struct lane *l, struct err *e)
{
    l->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    l->input_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->kick_fd < 0 || l->timer_fd < 0 || l->wake_fd < 0 || l->input_fd < 0)
        return fail_errno(e, 503, "cannot open the descriptors of the link");
    l->pipe_fds[0] =
        fcntl(1, F_DUPFD_CLOEXEC, 10); /* -1 when it is closed: then nothing is in it */
    l->pipe_fds[1] = fcntl(2, F_DUPFD_CLOEXEC, 10);
    if (fcntl(l->fd, F_SETFL, fcntl(l->fd, F_GETFL) | O_NONBLOCK) < 0 ||
        fcntl(l->fd, F_SETFD, FD_CLOEXEC) < 0)
        return fail_errno(e, 400, "descriptor %d is not a socket", l->fd);
    return true;
}

/* Signals are for the main thread: the watching thread blocks them all. */
static int start_thread(struct lane *l)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int code = pthread_create(&l->thread, NULL, watch_run, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return code;
}

/* A host that shares no page keeps no order between the pipes and the link, and that is all. */
static const struct pipe_page *map_page(int fd)
{
    void *page =
        fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(struct pipe_page), PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    return page == MAP_FAILED ? NULL : page;
}

struct lane *lane_open(int fd, int pipes_fd, void (*on_shutdown)(void), struct err *e)
{
    static bool handlers_set;
    struct lane *l = xcalloc(1, sizeof *l);
    *l = (struct lane){.fd = fd,
                       .kick_fd = -1,
                       .timer_fd = -1,
                       .wake_fd = -1,
                       .input_fd = -1,
                       .pipe_fds = {-1, -1},
                       .on_shutdown = on_shutdown};
    l->chunks_end = &l->chunks;
    l->requests.end = &l->requests.first;
    l->inputs.end = &l->inputs.first;
    pthread_mutex_init(&l->lock, NULL);
    if (!open_descriptors(l, e))
        goto no_thread;
    l->page = map_page(pipes_fd);
    int code = start_thread(l);
    if (code) {
        fail(e, 503, "cannot start the thread of the link: %s", strerror(code));
        goto no_thread;
    }
    living = l;
    if (!handlers_set)
        pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    handlers_set = true;
    return l;
no_thread:
    close_descriptors(l);
    pthread_mutex_destroy(&l->lock);
    free(l);
    return NULL;
}

static void kick(const struct lane *l)
{
    eventfd_write(l->kick_fd, 1);
}

void lane_close(struct lane *l)
{
    if (!l)
        return;
    if (!l->forked) {
        l->stop = true;
        kick(l);
        pthread_join(l->thread, NULL);
    }
    living = NULL;
    close_descriptors(l);
    lane_drop_descriptors(l);
    free_chunks(l);
    free_frames(&l->requests);
    free_frames(&l->inputs);
    text_free(&l->text);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

void lane_abandon(struct lane *l)
{
    living = NULL;
    lane_drop_descriptors(l);
    text_free(&l->text);
    if (l->page)
        munmap((void *)l->page, sizeof *l->page);
    free(l);
}

static void add_chunk(struct lane *l, char *data, size_t len, size_t sent)
{
    struct chunk *c = xmalloc(sizeof *c);
    *c = (struct chunk){.data = data, .len = len, .sent = sent};
    *l->chunks_end = c;
    l->chunks_end = &c->next;
    l->queued_bytes += len - sent;
}

/* Sends from pieces as much as the socket takes; their views then begin behind what was sent.
 * Returns the index of the first piece that is not done. */
static size_t send_pieces(struct lane *l, struct bytes *pieces, size_t count)
{
    size_t at = 0;
    while (at < count && !l->broken) {
        struct iovec iov[PIECES_AT_ONCE];
        size_t n = 0;
        for (; n < PIECES_AT_ONCE && at + n < count; n++)
            iov[n] = (struct iovec){(void *)pieces[at + n].data, pieces[at + n].len};
        struct msghdr m = {.msg_iov = iov, .msg_iovlen = n};
        ssize_t sent = sendmsg(l->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK)
                l->broken = true;
            break;
        }
        size_t left = (size_t)sent;
        while (at < count && left >= pieces[at].len)
            left -= pieces[at++].len;
        if (at < count) {
            pieces[at].data += left;
            pieces[at].len -= left;
        }
    }
    return at;
}

void lane_write_bytes(struct lane *l, struct bytes *pieces, size_t count, struct buffer *given)
{
    size_t at = l->chunks ? 0 : send_pieces(l, pieces, count);
    if (at == count || l->broken)
        return;
    for (; at < count; at++) {
        struct bytes p = pieces[at];
        if (p.len == 0)
            continue;
        if (given && given->data && p.data >= given->data &&
            p.data + p.len == given->data + given->len) {
            size_t sent = (size_t)(p.data - given->data), len;
            char *data = buffer_take(given, &len);
            add_chunk(l, data, len, sent);
        } else {
            add_chunk(l, xmemdup(p.data, p.len), p.len, 0);
        }
    }
    kick(l);
}

void lane_push_chunks(struct lane *l)
{
    while (l->chunks && !l->broken) {
        struct bytes pieces[PIECES_AT_ONCE];
        size_t n = 0, before = 0, after = 0;
        for (struct chunk *c = l->chunks; c && n < PIECES_AT_ONCE; c = c->next, n++) {
            pieces[n] = (struct bytes){c->data + c->sent, c->len - c->sent};
            before += pieces[n].len;
        }
        size_t done = send_pieces(l, pieces, n);
        for (size_t i = 0; i < done; i++) {
            struct chunk *c = l->chunks;
            l->chunks = c->next;
            free(c->data);
            free(c);
        }
        for (size_t i = done; i < n; i++)
            after += pieces[i].len;
        l->queued_bytes -= before - after;
        if (!l->chunks)
            l->chunks_end = &l->chunks;
        if (done < n) {
            l->chunks->sent = l->chunks->len - pieces[done].len;
            break;
        }
    }
    if (l->broken)
        free_chunks(l);
}

static bool look_at_pipes(const struct lane *l, struct pipe_fill *fill)
{
    bool some = false;
    for (size_t i = 0; i < countof(fill->bytes); i++) {
        int waiting = 0;
        if (l->pipe_fds[i] < 0 || ioctl(l->pipe_fds[i], FIONREAD, &waiting) != 0)
            waiting = 0;
        fill->bytes[i] = atomic_load(&l->page->total[i]) + (uint64_t)waiting;
        some = some || waiting > 0;
    }
    return some;
}

/* Looks again when the host was reading meanwhile: what it had taken and not yet counted would be
 * missing. It reads for microseconds; a host that is stopped there is not waited for. */
bool lane_pipes_filled(const struct lane *l, struct pipe_fill *fill)
{
    if (!l->page)
        return false;
    bool some = false;
    for (int look = 0; look < LOOKS_MOST; look++) {
        uint64_t turn = atomic_load(&l->page->turn);
        if (turn % 2 == 0) {
            some = look_at_pipes(l, fill);
            if (atomic_load(&l->page->turn) == turn)
                break;
        } else {
            sched_yield();
        }
    }
    return some;
}

/* Sends pieces after all that waits: in one write with it when both are small, so that the host
 * wakes up once. */
static void send_after_text(struct lane *l, struct bytes *pieces, size_t count,
                            struct buffer *given, enum urgency urgency)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += pieces[i].len;
    if (total <= TOGETHER_BYTES && (urgency == MAY_WAIT || text_waits(l))) {
        text_add_frame(l, pieces, count);
        if (urgency == AT_ONCE)
            text_flush(l);
        return;
    }
    text_flush(l);
    lane_write_bytes(l, pieces, count, given);
}

size_t lane_send(struct lane *l, struct link_frame frame, struct buffer *given,
                 enum urgency urgency)
{
    if (l->forked)
        return 0;
    struct buffer head = {0};
    struct bytes *pieces = xcalloc(frame.part_count + 2, sizeof *pieces);
    struct bytes *parts = pieces + 1;
    char counts[LINK_PIPE_COUNTS_BYTES];
    for (size_t i = 0; i < frame.part_count; i++)
        parts[i] = frame.parts[i];
    frame.parts = parts;
    pthread_mutex_lock(&l->lock);
    struct pipe_fill fill;
    if (lane_pipes_filled(l, &fill)) {
        frame.flags |= LINK_FLAG_PIPES_FIRST;
        link_pipe_counts(fill.bytes, counts);
        parts[frame.part_count++] = (struct bytes){counts, sizeof counts};
    }
    link_encode_head(&head, &frame);
    pieces[0] = buffer_view(&head);
    send_after_text(l, pieces, frame.part_count + 1, given, urgency);
    size_t queued = l->queued_bytes;
    pthread_mutex_unlock(&l->lock);
    free(pieces);
    buffer_free(&head);
    return queued;
}

size_t lane_write(struct lane *l, enum lane_stream stream, uint64_t number, struct bytes text)
{
    pthread_mutex_lock(&l->lock);
    if (l->forked)
        text_write_in_child(l, stream, text);
    else if (!l->broken)
        text_add(l, stream, number, text);
    size_t queued = l->queued_bytes;
    pthread_mutex_unlock(&l->lock);
    return queued;
}

size_t lane_flush(struct lane *l)
{
    pthread_mutex_lock(&l->lock);
    if (l->forked)
        text_flush_in_child(l);
    else
        text_flush(l);
    size_t queued = l->queued_bytes;
    pthread_mutex_unlock(&l->lock);
    return queued;
}

static bool send_in_crash(struct lane *l, struct bytes piece)
{
    for (int tries = 0; send_pieces(l, &piece, 1) == 0; tries++) {
        if (l->broken || tries == 50)
            return false;
        struct pollfd p = {l->fd, POLLOUT, 0};
        poll(&p, 1, 20);
    }
    return true;
}

void lane_flush_in_crash(struct lane *l)
{
    if (l->forked || pthread_mutex_trylock(&l->lock) != 0)
        return;
    for (struct chunk *c = l->chunks; c; c = c->next)
        if (!send_in_crash(l, (struct bytes){c->data + c->sent, c->len - c->sent}))
            return; /* the lock is kept: half a frame must not be sent twice */
    if (l->text.frames.len > 0)
        send_in_crash(l, text_finish(l));
}

size_t lane_wait_writable(struct lane *l, int interrupt_fd, int timeout_ms)
{
    if (l->forked)
        return 0;
    struct pollfd fds[] = {{l->fd, POLLOUT, 0}, {interrupt_fd, POLLIN, 0}};
    poll(fds, countof(fds), timeout_ms);
    pthread_mutex_lock(&l->lock);
    lane_push_chunks(l);
    size_t queued = l->queued_bytes;
    pthread_mutex_unlock(&l->lock);
    return queued;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void lane_drain(struct lane *l, int timeout_ms)
{
    int64_t end = now_ms() + timeout_ms;
    size_t queued = lane_flush(l);
    while (queued > 0 && now_ms() < end)
        queued = lane_wait_writable(l, -1, (int)(end - now_ms()));
}

static struct lane_frame *take_frame(struct lane *l, struct frame_queue *queue, int fd)
{
    pthread_mutex_lock(&l->lock);
    struct lane_frame *f = queue->first;
    if (f) {
        queue->first = f->next;
        if (!queue->first) {
            eventfd_t count;
            queue->end = &queue->first;
            eventfd_read(fd, &count);
        }
        f->next = NULL;
    }
    pthread_mutex_unlock(&l->lock);
    return f;
}

struct lane_frame *lane_take(struct lane *l)
{
    return take_frame(l, &l->requests, l->wake_fd);
}

struct lane_frame *lane_take_input(struct lane *l)
{
    return take_frame(l, &l->inputs, l->input_fd);
}

void lane_forget_inputs(struct lane *l)
{
    struct lane_frame *f;
    while ((f = lane_take_input(l)))
        free(f);
}

bool lane_pending(struct lane *l)
{
    pthread_mutex_lock(&l->lock);
    bool some = l->requests.first != NULL;
    pthread_mutex_unlock(&l->lock);
    return some;
}

int lane_wake_fd(const struct lane *l)
{
    return l->wake_fd;
}

int lane_input_fd(const struct lane *l)
{
    return l->input_fd;
}

bool lane_forked(const struct lane *l)
{
    return l->forked;
}
