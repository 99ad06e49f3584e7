/* The interpreter's end of the link: frames out, frames in, and the text of sys.stdout and
 * sys.stderr on its way out. Knows nothing of Python and takes no interpreter lock.
 *
 * A thread of its own (watch.c) reads the link, writes what could not be written at once, sends
 * text that has waited for FLUSH_MS, and kills the process group when the host has gone. All other
 * functions may be called by any thread; none of them blocks for longer than one write to the
 * socket. */
#ifndef WARMCELL_KERNEL_PYTHON_LANE_H
#define WARMCELL_KERNEL_PYTHON_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/bytes.h"
#include "protocol/err.h"
#include "protocol/link.h"

/* Above HIGH_WATER bytes queued a producer should wait with lane_wait_writable() until LOW_WATER.
 * While any of it would be lost with the process (a big frame, text beyond the outbox), more than
 * HIGH_WATER are said to be queued. */
#define LANE_HIGH_WATER_BYTES (1024u * 1024)
#define LANE_LOW_WATER_BYTES  (256u * 1024)
#define LANE_FLUSH_MS         2
#define LANE_TEXT_BYTES       (64u * 1024)

/* MAY_WAIT: for at most LANE_FLUSH_MS, to leave in one write with what follows. */
enum urgency { AT_ONCE, MAY_WAIT };

enum lane_stream { LANE_STDOUT, LANE_STDERR };

/* A frame that has arrived. The parts lie in the same memory: one free() releases it. */
struct lane_frame {
    struct lane_frame *next;
    uint8_t kind;
    uint64_t number;
    size_t part_count;
    struct bytes parts[];
};

struct lane;

/* Takes over the connected socket fd (closed by lane_close) and starts the thread. pipes_fd is the
 * memory of protocol/pipe_page.h and protocol/outbox.h, or -1; it is closed here. on_shutdown is
 * called by that thread when LINK_SHUTDOWN arrives. NULL with e filled (503) when a descriptor or
 * thread cannot be had.
 */
struct lane *lane_open(int fd, int pipes_fd, void (*on_shutdown)(void), struct err *e);

/* Ends the thread and frees everything; what is still queued is lost (see lane_drain). NULL is
 * legal. */
void lane_close(struct lane *l);

/* Sends one frame after all text written so far; LINK_FLAG_PIPES_FIRST is added when bytes stand in
 * the process's own stdout and stderr pipes. given, when not NULL, is the buffer that holds one of
 * the parts: what cannot be written at once is then kept by taking its memory (it is empty
 * afterwards) instead of copying. Returns the bytes queued: see LANE_HIGH_WATER_BYTES. */
size_t lane_send(struct lane *l, struct link_frame frame, struct buffer *given,
                 enum urgency urgency);

/* Adds text (valid UTF-8) to a stream; sent by the flush policy of docs/link.md. Returns the bytes
 * queued. */
size_t lane_write(struct lane *l, enum lane_stream stream, uint64_t number, struct bytes text);

/* Sends the text written so far. Returns the bytes queued. */
size_t lane_flush(struct lane *l);

/* Sends what is queued and the text written so far, for a handler of a deadly signal: allocates
 * nothing, and gives up instead of waiting for a lock. The lane must not be used afterwards. */
void lane_flush_in_crash(struct lane *l);

/* Waits at most timeout_ms until the socket takes more or interrupt_fd (-1: none) is readable,
 * writes what can be written, and returns the bytes that are still queued. */
size_t lane_wait_writable(struct lane *l, int interrupt_fd, int timeout_ms);

/* Writes everything that is queued, for at most timeout_ms. */
void lane_drain(struct lane *l, int timeout_ms);

/* The oldest request (anything but INPUT), or NULL. Given to the caller, who frees it. */
struct lane_frame *lane_take(struct lane *l);
bool lane_pending(struct lane *l);
/* The oldest INPUT frame, or NULL; likewise. */
struct lane_frame *lane_take_input(struct lane *l);
void lane_forget_inputs(struct lane *l);

/* The descriptors that came with a frame last, in their order: given. Returns how many. */
#define LANE_DESCRIPTORS_MOST 8
size_t lane_take_descriptors(struct lane *l, int out[LANE_DESCRIPTORS_MOST]);

/* Descriptors that are readable while lane_take() or lane_take_input() has something. Borrowed. */
int lane_wake_fd(const struct lane *l);
int lane_input_fd(const struct lane *l);

/* After fork() in the child: the link is closed, every send is dropped and text goes to descriptor
 * 1 or 2 by whole lines. True in such a child. */
bool lane_forked(const struct lane *l);

/* The request that the host's latest SIGINT is for; 0: of none, or the host does not say. */
uint64_t lane_interrupted(const struct lane *l);

/* For such a child that gets a link of its own: forgets the lane, whose thread and descriptors are
 * the parent's; nothing of it may be used any more. */
void lane_abandon(struct lane *l);

#endif
