/* What lane.c, text.c and watch.c share. */
#ifndef WARMCELL_KERNEL_PYTHON_LANE_STATE_H
#define WARMCELL_KERNEL_PYTHON_LANE_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "kernel/python/lane.h"
#include "protocol/outbox.h"
#include "protocol/pipe_page.h"

/* Bytes that wait for the socket: those of a slot, or its own. Owned. */
struct chunk {
    struct chunk *next;
    struct outbox_slot *slot; /* NULL: data is its own */
    char *data;
    size_t len;
    size_t sent;
};

/* How many bytes were ever written to descriptors 1 and 2. */
struct pipe_fill {
    uint64_t bytes[2];
};

/* Whole frames, most of them STREAM, that wait for a flush, and perhaps one that can still grow. */
struct text {
    struct outbox_slot *slot; /* where they stand; NULL: none was needed since the last left */
    size_t whole;             /* bytes of whole frames */
    bool open;
    size_t open_bytes;   /* text in the open frame; the slot says the rest about it */
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
    void *outbox;                 /* NULL: likewise; protocol/outbox.h, mapped */
    int pipe_fds[2];              /* copies of descriptors 1 and 2 as they were at the start */
    pthread_t thread;
    void (*on_shutdown)(void);
    atomic_bool stop;
    atomic_bool forked;
    bool broken; /* the host has gone: nothing is queued any more */
    struct chunk *chunks;
    struct chunk **chunks_end;
    size_t queued_bytes;
    size_t private_bytes; /* of those what would end with the process */
    uint64_t given_bytes; /* of the stream so far, sent or queued */
    struct frame_queue requests;
    struct frame_queue inputs;
    int descriptors[LANE_DESCRIPTORS_MOST]; /* that came last and were not taken */
    size_t descriptor_count;
    struct text text;
};

/* lane.c; the lock is held */
void lane_write_bytes(struct lane *l, struct bytes *pieces, size_t count, struct buffer *given);
/* A free slot, of the outbox while it has one. lane_write_slot() takes it away (true), or has sent
 * it, and the caller may go on with it. */
struct outbox_slot *lane_take_slot(struct lane *l);
bool lane_write_slot(struct lane *l, struct outbox_slot *slot, size_t len);
void lane_free_slot(struct lane *l, struct outbox_slot *slot); /* NULL is legal */
void lane_push_chunks(struct lane *l);                         /* writes what the socket takes */
void lane_drop_descriptors(struct lane *l);
bool lane_pipes_filled(const struct lane *l, struct pipe_fill *fill); /* true: some stand there */

/* text.c; the lock is held */
void text_add(struct lane *l, enum lane_stream stream, uint64_t number, struct bytes text);
void text_flush(struct lane *l);
void text_flush_due(struct lane *l); /* now, or when the queue is empty */
/* Behind a reply: the thread need not wake for text that has left. */
void text_rest(struct lane *l);
bool text_waits(const struct lane *l);
/* Adds a whole encoded frame behind the text; it leaves with it. */
void text_add_frame(struct lane *l, const struct bytes *pieces, size_t count);
struct bytes text_finish(struct lane *l); /* the whole frames, borrowed; allocates nothing */
void text_forget(struct lane *l);         /* in a forked child: it is the parent's to send */
void text_free(struct lane *l);
void text_write_in_child(struct lane *l, enum lane_stream stream, struct bytes text);
void text_flush_in_child(struct lane *l);

/* watch.c: the thread; argument is the lane */
void *watch_run(void *argument);

#endif
