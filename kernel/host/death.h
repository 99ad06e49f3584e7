/* Why an interpreter or a kernel ended: the word for machines, the name of the error that its
 * clients get, and the sentence, each made here alone. */
#ifndef WARMCELL_KERNEL_HOST_DEATH_H
#define WARMCELL_KERNEL_HOST_DEATH_H

#include "kernel/host/interpreter.h"

enum cause {
    CAUSE_ASKED,        /* a client, the gateway, a signal or the user's code wanted it */
    CAUSE_EXIT_STATUS,  /* it ended by itself */
    CAUSE_SIGNAL,       /* a signal killed it */
    CAUSE_OOM,          /* memory ran out */
    CAUSE_DEADLINE,     /* an execution did not end in time */
    CAUSE_OUTPUT_LIMIT, /* an execution wrote too much and did not end when it was told to */
    CAUSE_LIMIT,        /* its sandbox used more of something than it may, disk for one */
    CAUSE_IDLE,         /* nothing was asked of it for too long */
    CAUSE_LIFE,         /* its time was over */
    CAUSE_LEASE,        /* no gateway came for it */
    CAUSE_PARENT,       /* the process that started it is gone */
    CAUSE_START,        /* it never became ready */
    CAUSE_CRASH_LOOP,   /* it ended again and again */
    CAUSE_KEEPER,       /* the keeper of its sandbox ended */
    CAUSE_RESTART,      /* somebody wanted a new interpreter */
};

/* "asked", "exit_status", "signal", "oom", ...: the names above in lower case. A literal. */
const char *cause_word(enum cause cause);

/* The ename of the error that the execution under way gets: "OutOfMemory". A literal. */
const char *cause_error_name(enum cause cause);

/* CAUSE_OOM, CAUSE_LIMIT, CAUSE_KEEPER, CAUSE_SIGNAL or CAUSE_EXIT_STATUS. */
enum cause death_cause(const struct interpreter_end *end);

/* "the interpreter was killed by signal 11 (SIGSEGV)", "the interpreter ended with status 1", "the
 * kernel used more than its 256 MiB of memory (peak 256 MiB)". Given to the caller. */
char *death_text(const struct interpreter_end *end);

/* "2.5 s", "90 s". */
#define SECONDS_TEXT 32
void seconds_text(int64_t ms, char out[SECONDS_TEXT]);

#endif
