/* The bash behind the driver: its process, and what is said to it. kernel/bash/control.h has the
 * words; kernel/bash/serve.c is the other end. */
#ifndef WARMCELL_KERNEL_BASH_SHELL_PROCESS_H
#define WARMCELL_KERNEL_BASH_SHELL_PROCESS_H

#include <sys/types.h>

#include "kernel/bash/control.h"
#include "kernel/driver/driver.h"

struct shell {
    struct driver *driver; /* borrowed; set before the first code */
    pid_t pid;             /* 0: it has been reaped */
    int pid_fd, control_fd, aside_fd;
    int wait_status; /* when pid is 0 */
};

/* Starts the bash at that path; pipes_fd stays the caller's. 503: why it could not. Must be called
 * while this process has one thread. */
bool shell_start(struct shell *s, const char *bash, int pipes_fd, struct err *e);

/* How an order has ended. */
struct shell_end {
    enum control_kind kind; /* DONE, SYNTAX, INTERRUPTED or EXIT; 0: bash has ended otherwise, or
                               another program has taken its place and has ended */
    int status;
    double cpu_s;
    int64_t memory_peak_bytes;
};

/* Runs the code of a cell, and serves what it says. may_ask: the client answers. */
void shell_run(struct shell *s, const char *code, uint64_t number, bool may_ask,
               struct shell_end *out);

/* Between orders: serves what processes of the user's say. The descriptors to watch for it, and
 * false when bash has ended. */
#define SHELL_WATCHED 2
void shell_watch(const struct shell *s, struct pollfd fds[SHELL_WATCHED]);
bool shell_attend(struct shell *s);

/* Runs code of the driver's own, uninterrupted, and collects what it writes. Gives its status; -1:
 * there is no bash any more. */
int shell_aside(struct shell *s, const char *code, struct buffer *out);

/* The folder that bash is in, open; -1: it cannot be. */
int shell_folder(const struct shell *s);

/* Has bash end as a script's end would: with its EXIT trap. */
void shell_end(struct shell *s);

/* Appends text as one word, whatever is in it. */
void shell_quote(struct buffer *out, struct bytes text);

#endif
