/* The text of sys.stdout and sys.stderr between write() and the link: gathered into STREAM frames
 * of at most LANE_TEXT_BYTES and sent at once on the first newlines after quiet, otherwise
 * LANE_FLUSH_MS later by the watching thread. Called by lane.c with its lock held. Text may so wait
 * while C code writes to descriptor 1: what was written to the descriptor first comes first all the
 * same, but what follows within LANE_FLUSH_MS comes after the whole text (audit events flush before
 * a child process is started; other C code is the caller's to flush for). Invariant: the slot holds
 * whole frames and at most one open one behind them, as its fill says; order is that of writing. */
#include <errno.h>
#include <poll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "kernel/python/lane_state.h"

#define FLUSH_NS         (LANE_FLUSH_MS * 1000000LL)
#define FLUSHES_AT_ONCE  4
#define CHILD_LINE_BYTES 8192

/* A frame is opened where at least a character fits into it. */
#define FRAME_LEAST_BYTES (outbox_head_bytes(true) + LINK_PIPE_COUNTS_BYTES + 4)

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* What can still be put behind the whole frames. */
static size_t room_left(const struct text *t)
{
    return OUTBOX_DATA_BYTES - t->whole;
}

/* Makes the slot able to take len bytes more, which is less than a slot. */
static void make_room(struct lane *l, size_t len)
{
    struct text *t = &l->text;
    if (t->slot && room_left(t) < len)
        text_flush(l);
    if (!t->slot)
        t->slot = lane_take_slot(l);
    if (!text_waits(l))
        t->slot->at = l->given_bytes;
}

static void tell_fill(struct text *t)
{
    atomic_store(&t->slot->fill, outbox_fill(t->whole, t->open_bytes));
}

/* Room for the head of a frame is left now and written when the frame is closed. */
static void open_frame(struct lane *l, enum lane_stream stream, uint64_t number)
{
    struct text *t = &l->text;
    struct pipe_fill ahead;
    bool after_pipes = lane_pipes_filled(l, &ahead);
    make_room(l, FRAME_LEAST_BYTES);
    t->slot->stream = (uint8_t)stream;
    t->slot->number = number;
    t->slot->after_pipes = after_pipes;
    for (size_t i = 0; after_pipes && i < countof(ahead.bytes); i++)
        t->slot->pipe_counts[i] = ahead.bytes[i];
    t->open = true;
    t->open_bytes = 0;
}

static void close_frame(struct text *t)
{
    if (!t->open)
        return;
    t->whole = outbox_close_frame(t->slot, t->whole, t->open_bytes);
    t->open_bytes = 0;
    t->open = false;
    tell_fill(t);
}

void text_flush(struct lane *l)
{
    struct text *t = &l->text;
    if (!text_waits(l))
        return;
    close_frame(t);
    bool kept = lane_write_slot(l, t->slot, t->whole);
    t->whole = 0;
    if (kept)
        t->slot = NULL;
}

/* While the socket takes no more, text is gathered where it is safe, not cut into many slots. */
void text_flush_due(struct lane *l)
{
    if (!l->chunks)
        text_flush(l);
}

struct bytes text_finish(struct lane *l)
{
    close_frame(&l->text);
    return (struct bytes){l->text.slot->data, l->text.whole};
}

static void arm_timer(struct lane *l)
{
    if (l->text.timer_armed)
        return;
    struct itimerspec due = {.it_value = {0, FLUSH_NS}};
    l->text.timer_armed = timerfd_settime(l->timer_fd, 0, &due, NULL) == 0;
}

void text_rest(struct lane *l)
{
    const struct itimerspec never = {0};
    if (l->text.timer_armed && !text_waits(l))
        l->text.timer_armed = timerfd_settime(l->timer_fd, 0, &never, NULL) != 0;
}

bool text_waits(const struct lane *l)
{
    return l->text.whole > 0 || l->text.open;
}

void text_add_frame(struct lane *l, const struct bytes *pieces, size_t count)
{
    struct text *t = &l->text;
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += pieces[i].len;
    close_frame(t);
    make_room(l, total);
    size_t end = t->whole;
    for (size_t i = 0; i < count; i++) {
        memcpy(t->slot->data + end, pieces[i].data, pieces[i].len);
        end += pieces[i].len;
    }
    t->whole = end;
    tell_fill(t);
    arm_timer(l);
}

/* How much of text fits into room bytes without cutting a character. */
static size_t fitting(struct bytes text, size_t room)
{
    if (text.len <= room)
        return text.len;
    while (room > 0 && ((unsigned char)text.data[room] & 0xC0) == 0x80)
        room--;
    return room;
}

/* A few lines in LANE_FLUSH_MS leave one by one, so that they keep their order with what C code
 * writes to the descriptors next; a flood is gathered. */
static bool may_flush_at_once(struct text *t)
{
    int64_t now = now_ns();
    if (now - t->window_ns >= FLUSH_NS) {
        t->window_ns = now;
        t->flushed_at_once = 0;
    }
    return t->flushed_at_once++ < FLUSHES_AT_ONCE;
}

/* Puts the beginning of text into the open frame; returns how much of it. */
static size_t grow_frame(struct text *t, struct bytes text)
{
    struct outbox_slot *slot = t->slot;
    size_t used = outbox_head_bytes(slot->after_pipes) + t->open_bytes;
    size_t room = room_left(t) - used - LINK_PIPE_COUNTS_BYTES;
    if (room > LANE_TEXT_BYTES - t->open_bytes)
        room = LANE_TEXT_BYTES - t->open_bytes;
    size_t n = fitting(text, room);
    memcpy(slot->data + t->whole + used, text.data, n);
    t->open_bytes += n;
    tell_fill(t);
    return n;
}

void text_add(struct lane *l, enum lane_stream stream, uint64_t number, struct bytes text)
{
    struct text *t = &l->text;
    bool newline = memchr(text.data, '\n', text.len) != NULL;
    if (t->open && (t->slot->stream != stream || t->slot->number != number))
        close_frame(t);
    while (text.len > 0) {
        if (!t->open)
            open_frame(l, stream, number);
        size_t n = grow_frame(t, text);
        text.data += n;
        text.len -= n;
        if (text.len > 0 || t->whole + t->open_bytes >= LANE_TEXT_BYTES)
            text_flush(l);
    }
    if (!text_waits(l))
        return;
    if (newline && may_flush_at_once(t))
        text_flush_due(l);
    else
        arm_timer(l);
}

void text_forget(struct lane *l)
{
    lane_free_slot(l, l->text.slot);
    l->text.slot = NULL;
    l->text.whole = l->text.open_bytes = 0;
    l->text.open = false;
}

void text_free(struct lane *l)
{
    lane_free_slot(l, l->text.slot);
    buffer_free(&l->text.lines[0]);
    buffer_free(&l->text.lines[1]);
}

static void write_all(int fd, struct bytes text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.data, text.len);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {fd, POLLOUT, 0};
            poll(&p, 1, -1);
        } else if (n < 0 && errno != EINTR) {
            return; /* the descriptor is closed: as Python's own stdout at exit, drop it */
        } else if (n > 0) {
            text.data += n;
            text.len -= (size_t)n;
        }
    }
}

void text_flush_in_child(struct lane *l)
{
    for (int stream = LANE_STDOUT; stream <= LANE_STDERR; stream++) {
        write_all(stream + 1, buffer_view(&l->text.lines[stream]));
        buffer_clear(&l->text.lines[stream]);
    }
}

void text_write_in_child(struct lane *l, enum lane_stream stream, struct bytes text)
{
    struct buffer *line = &l->text.lines[stream];
    buffer_add_bytes(line, text);
    const char *end = line->len ? memrchr(line->data, '\n', line->len) : NULL;
    size_t n = line->len >= CHILD_LINE_BYTES ? line->len : end ? (size_t)(end - line->data) + 1 : 0;
    if (n == 0)
        return;
    write_all((int)stream + 1, (struct bytes){line->data, n});
    buffer_drop(line, n);
}
