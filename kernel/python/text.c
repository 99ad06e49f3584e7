/* The text of sys.stdout and sys.stderr between write() and the link: gathered into STREAM frames
 * of at most LANE_TEXT_BYTES and sent at once on the first newlines after quiet, otherwise
 * LANE_FLUSH_MS later by the watching thread. Called by lane.c with its lock held. Text may so wait
 * while C code writes to descriptor 1: what was written to the descriptor first comes first all the
 * same, but what follows within LANE_FLUSH_MS comes after the whole text (audit events flush before
 * a child process is started; other C code is the caller's to flush for). Invariant: frames holds
 * whole frames, of which only the last may grow; order is the order of writing. */
#include <errno.h>
#include <poll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "kernel/python/lane_state.h"

#define FLUSH_NS         (LANE_FLUSH_MS * 1000000LL)
#define FLUSHES_AT_ONCE  4
#define CHILD_LINE_BYTES 8192

static const char *const stream_names[] = {[LANE_STDOUT] = "stdout", [LANE_STDERR] = "stderr"};

/* Both names are as long: what stands before the text of a frame has one of two sizes. */
#define NAME_BYTES 6

static size_t text_at(const struct text *t)
{
    return LINK_HEAD_BYTES + 4 * (t->after_pipes ? 3 : 2) + NAME_BYTES;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Room for the head of a frame is left now and written when the frame is closed. */
static void open_frame(struct lane *l, enum lane_stream stream, uint64_t number)
{
    struct text *t = &l->text;
    t->after_pipes = lane_pipes_filled(l, &t->ahead);
    t->frame_at = t->frames.len;
    buffer_reserve(&t->frames, text_at(t));
    memset(t->frames.data + t->frame_at, 0, text_at(t));
    t->frames.len += text_at(t);
    t->frame_bytes = 0;
    t->stream = stream;
    t->number = number;
    t->open = true;
}

static void close_frame(struct text *t)
{
    if (!t->open)
        return;
    char counts[LINK_PIPE_COUNTS_BYTES];
    link_pipe_counts(t->ahead.bytes, counts);
    struct bytes parts[] = {
        {stream_names[t->stream], NAME_BYTES}, {NULL, t->frame_bytes}, {counts, sizeof counts}};
    struct link_frame frame = {
        .kind = LINK_STREAM,
        .flags = t->after_pipes ? LINK_FLAG_PIPES_FIRST : 0,
        .number = t->number,
        .parts = parts,
        .part_count = t->after_pipes ? 3 : 2,
    };
    char place[LINK_HEAD_BYTES + 3 * 4]; /* no allocation: this also runs in a crash */
    struct buffer head = {place, 0, sizeof place};
    link_encode_head(&head, &frame);
    char *at = t->frames.data + t->frame_at;
    memcpy(at, place, head.len);
    memcpy(at + head.len, stream_names[t->stream], NAME_BYTES);
    if (t->after_pipes)
        buffer_add(&t->frames, counts, sizeof counts); /* within what open_frame reserved */
    t->open = false;
}

void text_flush(struct lane *l)
{
    struct text *t = &l->text;
    if (t->frames.len == 0)
        return;
    close_frame(t);
    struct bytes piece = buffer_view(&t->frames);
    /* a little text in a big buffer is copied rather than kept with it */
    lane_write_bytes(l, &piece, 1, t->frames.len > LANE_TEXT_BYTES / 2 ? &t->frames : NULL);
    buffer_clear(&t->frames);
}

struct bytes text_finish(struct lane *l)
{
    close_frame(&l->text);
    return buffer_view(&l->text.frames);
}

static void arm_timer(struct lane *l)
{
    if (l->text.timer_armed)
        return;
    struct itimerspec due = {.it_value = {0, FLUSH_NS}};
    l->text.timer_armed = timerfd_settime(l->timer_fd, 0, &due, NULL) == 0;
}

bool text_waits(const struct lane *l)
{
    return l->text.frames.len > 0;
}

void text_add_frame(struct lane *l, const struct bytes *pieces, size_t count)
{
    close_frame(&l->text);
    for (size_t i = 0; i < count; i++)
        buffer_add_bytes(&l->text.frames, pieces[i]);
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

void text_add(struct lane *l, enum lane_stream stream, uint64_t number, struct bytes text)
{
    struct text *t = &l->text;
    bool newline = memchr(text.data, '\n', text.len) != NULL;
    if (t->open && (t->stream != stream || t->number != number))
        close_frame(t);
    while (text.len > 0) {
        if (!t->open)
            open_frame(l, stream, number);
        size_t n = fitting(text, LANE_TEXT_BYTES - t->frame_bytes);
        buffer_reserve(&t->frames, n + LINK_PIPE_COUNTS_BYTES); /* closing allocates nothing */
        buffer_reserve(&t->frames, n + LINK_PIPE_COUNTS_BYTES); /* close_frame allocates nothing */
        buffer_add(&t->frames, text.data, n);
        t->frame_bytes += n;
        text.data += n;
        text.len -= n;
        if (text.len > 0 || t->frames.len >= LANE_TEXT_BYTES)
            text_flush(l);
    }
    if (t->frames.len == 0)
        return;
    if (newline && may_flush_at_once(t))
        text_flush(l);
    else
        arm_timer(l);
}

void text_free(struct text *t)
{
    buffer_free(&t->frames);
    buffer_free(&t->lines[0]);
    buffer_free(&t->lines[1]);
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
