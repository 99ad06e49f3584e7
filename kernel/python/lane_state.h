/* What lane.c, text.c and watch.c share. */
#ifndef WARMCELL_KERNEL_PYTHON_LANE_STATE_H
#define WARMCELL_KERNEL_PYTHON_LANE_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "kernel/python/lane.h"
#include "protocol/pipe_page.h"

/* Bytes that wait for the socket. Owned. */
struct chunk {
    struct chunk *next;
    char *data;
    size_t len;
    size_t sent;
};

/* How many bytes were ever written to descriptors 1 and 2. */
struct pipe_fill {
    uint64_t bytes[2];
};

/* Whole frames, most of them STREAM, that wait for a flush; the last one is open while it can still
 * grow. */
struct text {
    struct buffer frames;
    bool open;
    size_t frame_at; /* where the open frame begins in frames */
    size_t frame_bytes;
    bool after_pipes;       /* the open frame comes after... */
    struct pipe_fill ahead; /* ...these bytes */
    enum lane_stream stream;
    uint64_t number;
    int64_t window_ns;   /* when the present LANE_FLUSH_MS began, monotonic */
    int flushed_at_once; /* flushes on a newline since then */
    bool timer_armed;
    struct buffer lines[2]; /* in a forked child: the unfinished line of each stream */
};

struct frame_queue {
    struct lane_frame *first;
    struct lane_frame **end;
};

struct lane {
    pthread_mutex_t lock; /* guards all below but the descriptors and the thread */
    int fd;
    int kick_fd;  /* to the thread: something was queued, or stop */
    int timer_fd; /* to the thread: text is due */
    int wake_fd;
    int input_fd;
    const struct pipe_page *page; /* NULL: the host has none; mapped */
    int pipe_fds[2];              /* copies of descriptors 1 and 2 as they were at the start */
    pthread_t thread;
    void (*on_shutdown)(void);
    atomic_bool stop;
    atomic_bool forked;
    bool broken; /* the host has gone: nothing is queued any more */
    struct chunk *chunks;
    struct chunk **chunks_end;
    size_t queued_bytes;
    struct frame_queue requests;
    struct frame_queue inputs;
    int descriptors[LANE_DESCRIPTORS_MOST]; /* that came last and were not taken */
    size_t descriptor_count;
    struct text text;
};

/* lane.c; the lock is held */
void lane_write_bytes(struct lane *l, struct bytes *pieces, size_t count, struct buffer *given);
void lane_push_chunks(struct lane *l); /* writes what the socket takes */
void lane_drop_descriptors(struct lane *l);
bool lane_pipes_filled(const struct lane *l, struct pipe_fill *fill); /* true: some stand there */

/* text.c; the lock is held */
void text_add(struct lane *l, enum lane_stream stream, uint64_t number, struct bytes text);
void text_flush(struct lane *l);
bool text_waits(const struct lane *l);
/* Adds a whole encoded frame behind the text; it leaves with it. */
void text_add_frame(struct lane *l, const struct bytes *pieces, size_t count);
struct bytes text_finish(struct lane *l); /* the whole frames, borrowed; allocates nothing */
void text_free(struct text *t);
void text_write_in_child(struct lane *l, enum lane_stream stream, struct bytes text);
void text_flush_in_child(struct lane *l);

/* watch.c: the thread; argument is the lane */
void *watch_run(void *argument);

#endif
