/* The one loop of a keeper or a host: descriptors, timers, and hooks that run before each sleep.
 * One thread. */
#ifndef WARMCELL_SANDBOX_LOOP_H
#define WARMCELL_SANDBOX_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/memory.h"

struct loop;
struct loop *loop_new(void);
void loop_free(struct loop *loop); /* every watch and timer must have been closed */
SCOPED(loop, struct loop *, loop_free)

/* Runs until loop_stop(); returns its status. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop, int status);

/* A descriptor in the loop. on_ready gets EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR. The descriptor is
 * borrowed: close the watch before it. */
struct watch;
struct watch *loop_watch(struct loop *loop, int fd, uint32_t events,
                         void (*on_ready)(void *data, uint32_t events), void *data);
void watch_want(struct watch *watch, uint32_t events); /* 0: paused, hang-ups are not told either */
void watch_close(struct watch *watch); /* NULL is legal; no callback comes after it */

struct timer;
struct timer *loop_timer(struct loop *loop, void (*on_due)(void *data), void *data);
void timer_start(struct timer *timer, int64_t after_ms); /* once; starting again moves it */
void timer_stop(struct timer *timer);
bool timer_running(const struct timer *timer);
void timer_close(struct timer *timer);

/* From now on SIGINT, SIGTERM, SIGHUP and SIGCHLD are blocked and told to on_signal, one by one;
 * SIGPIPE is ignored. Once for a process. */
void loop_signals(struct loop *loop, void (*on_signal)(void *data, int number), void *data);

/* Called before each sleep in the order they were added, for edge-triggered descriptors; true:
 * there is more to do, so do not sleep. */
void loop_before_sleep(struct loop *loop, bool (*hook)(void *data), void *data);

#endif
