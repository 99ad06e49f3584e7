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
#include <sys/stat.h>
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

static bool is_in_outbox(const struct lane *l, const struct outbox_slot *slot)
{
    const char *at = (const char *)slot, *first = l->outbox;
    return first && at >= first && at < first + OUTBOX_BYTES;
}

struct outbox_slot *lane_take_slot(struct lane *l)
{
    for (size_t n = 0; l->outbox && n < OUTBOX_SLOTS; n++)
        if (atomic_load(&outbox_slot(l->outbox, n)->fill) == 0)
            return outbox_slot(l->outbox, n);
    struct outbox_slot *slot = xmalloc(OUTBOX_SLOT_BYTES);
    atomic_init(&slot->fill, 0);
    return slot;
}

/* What lies in the outbox is the parent's in a forked child. */
void lane_free_slot(struct lane *l, struct outbox_slot *slot)
{
    if (!slot || !is_in_outbox(l, slot))
        free(slot);
    else if (!l->forked)
        atomic_store(&slot->fill, 0);
}

static void free_first_chunk(struct lane *l)
{
    struct chunk *c = l->chunks;
    l->chunks = c->next;
    if (!l->chunks)
        l->chunks_end = &l->chunks;
    if (c->slot)
        lane_free_slot(l, c->slot);
    else
        free(c->data);
    free(c);
}

static void free_chunks(struct lane *l)
{
    while (l->chunks)
        free_first_chunk(l);
    l->queued_bytes = l->private_bytes = 0;
}

static bool is_private(const struct lane *l, const struct chunk *c)
{
    return !c->slot || !is_in_outbox(l, c->slot);
}

static void count_sent(struct lane *l, struct chunk *c, size_t len)
{
    c->sent += len;
    l->queued_bytes -= len;
    if (is_private(l, c))
        l->private_bytes -= len;
}

static bool holds_private_text(const struct lane *l)
{
    return text_waits(l) && !is_in_outbox(l, l->text.slot);
}

/* What the callers of lane_send() and its like are told. */
static size_t queued(const struct lane *l)
{
    bool at_risk = l->outbox && (l->private_bytes > 0 || holds_private_text(l));
    bool must_wait = at_risk && l->queued_bytes <= LANE_HIGH_WATER_BYTES;
    return must_wait ? LANE_HIGH_WATER_BYTES + 1 : l->queued_bytes;
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
    text_forget(l);
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

/* A host that shares no memory keeps no order between the pipes and the link; one that shares but
 * the page loses what is not sent when the interpreter is killed. That is all. */
static void map_shared(struct lane *l, int fd)
{
    struct stat found;
    if (fd < 0)
        return;
    void *page = mmap(NULL, sizeof(struct pipe_page), PROT_READ, MAP_SHARED, fd, 0);
    l->page = page == MAP_FAILED ? NULL : page;
    if (l->page && fstat(fd, &found) == 0 && found.st_size >= OUTBOX_OFFSET + OUTBOX_BYTES) {
        void *outbox =
            mmap(NULL, OUTBOX_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, OUTBOX_OFFSET);
        l->outbox = outbox == MAP_FAILED ? NULL : outbox;
    }
    close(fd);
}

static void unmap_shared(struct lane *l)
{
    if (l->page)
        munmap((void *)l->page, sizeof *l->page);
    if (l->outbox)
        munmap(l->outbox, OUTBOX_BYTES);
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
    map_shared(l, pipes_fd);
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
    unmap_shared(l);
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
    text_free(l);
    unmap_shared(l);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

void lane_abandon(struct lane *l)
{
    living = NULL;
    lane_drop_descriptors(l);
    text_free(l);
    unmap_shared(l);
    free(l);
}

static void add_chunk(struct lane *l, struct chunk chunk)
{
    struct chunk *c = xmalloc(sizeof *c);
    *c = chunk;
    *l->chunks_end = c;
    l->chunks_end = &c->next;
    l->queued_bytes += c->len - c->sent;
    if (is_private(l, c))
        l->private_bytes += c->len - c->sent;
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
    for (size_t i = 0; i < count; i++)
        l->given_bytes += pieces[i].len;
    size_t at = l->chunks ? 0 : send_pieces(l, pieces, count);
    if (at == count || l->broken)
        return;
    for (; at < count; at++) {
        struct bytes p = pieces[at];
        if (p.len == 0)
            continue;
        struct chunk c = {0};
        if (given && given->data && p.data >= given->data &&
            p.data + p.len == given->data + given->len) {
            c.sent = (size_t)(p.data - given->data);
            c.data = buffer_take(given, &c.len);
        } else {
            c.data = xmemdup(p.data, p.len);
            c.len = p.len;
        }
        add_chunk(l, c);
    }
    kick(l);
}

bool lane_write_slot(struct lane *l, struct outbox_slot *slot, size_t len)
{
    struct bytes piece = {slot->data, len};
    l->given_bytes += len;
    if ((!l->chunks && send_pieces(l, &piece, 1) == 1) || l->broken) {
        atomic_store(&slot->fill, 0);
        return false;
    }
    struct chunk c = {.slot = slot, .data = slot->data, .len = len, .sent = len - piece.len};
    add_chunk(l, c);
    kick(l);
    return true;
}

void lane_push_chunks(struct lane *l)
{
    bool some = l->chunks != NULL;
    while (l->chunks && !l->broken) {
        struct bytes pieces[PIECES_AT_ONCE];
        size_t n = 0;
        for (struct chunk *c = l->chunks; c && n < PIECES_AT_ONCE; c = c->next, n++)
            pieces[n] = (struct bytes){c->data + c->sent, c->len - c->sent};
        size_t done = send_pieces(l, pieces, n);
        for (size_t i = 0; i < done; i++) {
            count_sent(l, l->chunks, l->chunks->len - l->chunks->sent);
            free_first_chunk(l);
        }
        if (done < n) {
            count_sent(l, l->chunks, l->chunks->len - l->chunks->sent - pieces[done].len);
            break;
        }
    }
    if (l->broken)
        free_chunks(l);
    else if (some)
        text_flush_due(l);
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
 * missing. It reads for microseconds; a host that has to wait for a processor there is not waited
 * for: all that it then finds comes first, also what was written later. */
bool lane_pipes_filled(const struct lane *l, struct pipe_fill *fill)
{
    if (!l->page)
        return false;
    for (int look = 0; look < LOOKS_MOST; look++) {
        uint64_t turn = atomic_load(&l->page->turn);
        if (turn % 2 == 0) {
            bool some = look_at_pipes(l, fill);
            if (atomic_load(&l->page->turn) == turn)
                return some;
        } else {
            sched_yield();
        }
    }
    for (size_t i = 0; i < countof(fill->bytes); i++)
        fill->bytes[i] = UINT64_MAX;
    return true;
}

/* Sends pieces after all that waits: in one write with it when both are small, so that the host
 * wakes up once. */
static void send_after_text(struct lane *l, struct bytes *pieces, size_t count,
                            struct buffer *given, enum urgency urgency)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += pieces[i].len;
    if (total <= TOGETHER_BYTES && (urgency == MAY_WAIT || text_waits(l) || l->chunks)) {
        text_add_frame(l, pieces, count);
        if (urgency == AT_ONCE)
            text_flush_due(l);
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
    if (frame.kind == LINK_REPLY)
        text_rest(l);
    size_t waiting = queued(l);
    pthread_mutex_unlock(&l->lock);
    free(pieces);
    buffer_free(&head);
    return waiting;
}

size_t lane_write(struct lane *l, enum lane_stream stream, uint64_t number, struct bytes text)
{
    pthread_mutex_lock(&l->lock);
    if (l->forked)
        text_write_in_child(l, stream, text);
    else if (!l->broken)
        text_add(l, stream, number, text);
    size_t waiting = queued(l);
    pthread_mutex_unlock(&l->lock);
    return waiting;
}

size_t lane_flush(struct lane *l)
{
    pthread_mutex_lock(&l->lock);
    if (l->forked)
        text_flush_in_child(l);
    else
        text_flush(l);
    size_t waiting = queued(l);
    pthread_mutex_unlock(&l->lock);
    return waiting;
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
    if (text_waits(l))
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
    if (l->outbox && holds_private_text(l))
        text_flush(l);
    size_t waiting = queued(l);
    pthread_mutex_unlock(&l->lock);
    return waiting;
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
    size_t waiting = lane_flush(l);
    while (waiting > 0 && now_ms() < end)
        waiting = lane_wait_writable(l, -1, (int)(end - now_ms()));
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

uint64_t lane_interrupted(const struct lane *l)
{
    return l->page ? atomic_load(&l->page->interrupted) : 0;
}

bool lane_forked(const struct lane *l)
{
    return l->forked;
}
