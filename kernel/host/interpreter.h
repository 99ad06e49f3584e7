/* One interpreter process: started, spoken to over the link, its output read in order, its end told
 * once. docs/link.md says what passes. */
#ifndef WARMCELL_KERNEL_HOST_INTERPRETER_H
#define WARMCELL_KERNEL_HOST_INTERPRETER_H

#include <sys/types.h>

#include "sandbox/loop.h"
#include "sandbox/process_use.h"
#include "protocol/err.h"
#include "protocol/link.h"

struct interpreter;

/* How it ended. */
struct interpreter_end {
    bool unknown;     /* who started it is gone, and the status with it: it is -1 */
    int wait_status;  /* as of waitpid(2) */
    bool keeper_lost; /* who held its sandbox is gone, and so is everything inside */
    bool oom;         /* memory ran out; then the next two are known, -1: not */
    int64_t limit_bytes, peak_bytes;
    struct process_use use; /* known where who waited for it has told */
    char
        breach[240]; /* the sentence about another limit for which its keeper killed it; "": none */
};

struct interpreter_events {
    /* One frame, in order; borrowed for the call. */
    void (*on_frame)(void *data, const struct link_frame *frame);
    /* Text from descriptor 1 or 2: name is the literal "stdout" or "stderr"; whole characters. */
    void (*on_text)(void *data, const char *name, struct bytes text);
    /* It has ended, and everything it wrote has been told; end is borrowed. The last call; it may
     * free the interpreter. */
    void (*on_end)(void *data, const struct interpreter_end *end);
    /* True: nothing more is read until interpreter_resume(). */
    bool (*congested)(void *data);
    void *data;
};

struct keeper_client;

/* argv is the command without the link; "--link-fd N" is appended. It is borrowed for the
 * interpreter's life. keeper: starts it there (borrowed for the interpreter's life); where that
 * fails, it is started here, unless it is to be confined: then its end is told, and
 * interpreter_refusal() says why. NULL: here. 503: it cannot be started. */
struct interpreter *interpreter_start(struct loop *loop, char *const *argv,
                                      struct keeper_client *keeper,
                                      const struct interpreter_events *events, struct err *e);
/* Why it never was; NULL: it was. Borrowed. */
const char *interpreter_refusal(const struct interpreter *i);
int interpreter_refusal_status(
    const struct interpreter *i); /* 503: it may be had later; 0: it was */
/* One that another host's interpreter forks for us: see cradle.h. keeper: what holds the sandbox
 * that it lives in; or NULL. */
struct interpreter *interpreter_await(struct loop *loop, const char *path,
                                      struct keeper_client *keeper,
                                      const struct interpreter_events *events, struct err *e);
void interpreter_free(struct interpreter *i); /* kills its process group if it is still there */

pid_t interpreter_pid(const struct interpreter *i); /* 0: there is none yet, or any more */
bool interpreter_has_ended(
    const struct interpreter *i); /* its process has; on_end may be to come */
void interpreter_send(struct interpreter *i, const struct link_frame *frame);
/* Likewise, at once or not at all (false), with descriptors that ride on its first byte. */
bool interpreter_send_fds(struct interpreter *i, const struct link_frame *frame, const int *fds,
                          size_t count);
void interpreter_resume(struct interpreter *i); /* congestion is over */
/* SIGINT to its process group. number: the request that it is for; 0: none runs. */
void interpreter_interrupt(struct interpreter *i, uint64_t number);
void interpreter_kill(struct interpreter *i);               /* SIGKILL to its process group */
void interpreter_signal(struct interpreter *i, int number); /* to it alone, not to its children */
/* SIGKILL to it and to everything that it has started, in sessions of their own too; none of it is
 * left when on_end comes. */
void interpreter_kill_tree(struct interpreter *i);
void interpreter_kill_after(struct interpreter *i, int64_t grace_ms);
/* It was waited for; what it had used is borrowed. */
void interpreter_reaped(struct interpreter *i, int wait_status, const struct process_use *use);

/* The end of what it wrote to descriptor 2, at most 2 KiB; borrowed. */
struct bytes interpreter_last_words(const struct interpreter *i);

#endif
