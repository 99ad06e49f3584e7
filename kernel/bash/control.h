/* What the driver of Bash and the module in its bash say to each other: datagrams over a
 * SOCK_SEQPACKET, each a struct control and behind it its text; descriptors ride along.
 *
 * Every process that bash forks may speak (display in a pipeline does); the answer then comes over
 * a pipe of its own, whose writing end is the last descriptor. */
#ifndef WARMCELL_KERNEL_BASH_CONTROL_H
#define WARMCELL_KERNEL_BASH_CONTROL_H

#include <stdint.h>

/* The module's descriptors in bash: out of the way of those that scripts use by number. */
#define CONTROL_FD       200
#define CONTROL_PAGE_FD  201 /* the memory of --pipes-fd */
#define CONTROL_ASIDE_FD 202 /* a memfd: what an aside writes */
#define CONTROL_STDIN_FD 203 /* what a cell has as its stdin: a pipe that is at its end */

#define CONTROL_TEXT_BYTES  (16 * 1024)
#define CONTROL_DESCRIPTORS 2

enum control_kind {
    /* driver to bash: code in a memfd */
    CONTROL_RUN = 1,
    CONTROL_ASIDE, /* stdout and stderr are CONTROL_ASIDE_FD; `$?` stays, no interrupt ends it */
    /* bash to driver */
    CONTROL_READY,
    CONTROL_DONE,   /* of both; status */
    CONTROL_SYNTAX, /* of RUN, as the next two: the code, or the rest of it, is no Bash */
    CONTROL_INTERRUPTED,
    CONTROL_EXIT, /* the shell ends, after its EXIT trap */
    /* with an answer: nothing when it is done, or a sentence that says why not */
    CONTROL_SHOW,  /* text: type, id and name, each with its NUL; a memfd of the data */
    CONTROL_CLEAR, /* flags: wait */
    /* with an answer: the line with its newline, or nothing when the client does not answer */
    CONTROL_ASK, /* text: the prompt; flags: it is a password */
};

enum control_flag {
    CONTROL_FLAG_SET = 1, /* SHOW: it is an update; CLEAR: wait; ASK: a password */
};

struct control {
    uint32_t kind;
    uint32_t flags;
    uint64_t number; /* RUN: of the request */
    int32_t status;
    uint32_t text_bytes;
    int64_t cpu_us, memory_peak_bytes; /* DONE, INTERRUPTED and EXIT */
};

#endif
