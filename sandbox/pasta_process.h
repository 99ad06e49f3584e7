/* One process of pasta: its command line, and its beginning and end. */
#ifndef WARMCELL_SANDBOX_PASTA_PROCESS_H
#define WARMCELL_SANDBOX_PASTA_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "protocol/err.h"
#include "sandbox/outside.h"

struct pasta_process {
    pid_t pid;  /* a child of the caller; -1: none */
    int err_fd; /* what it complains about; owned; -1 */
};

/* Starts it for the namespaces of the process guide, and waits until its tap is there; it ends with
 * its caller. 503 with its own words. */
bool pasta_process_start(struct pasta_process *p, const char *program, pid_t guide,
                         const struct outside *o, struct err *e);

/* Kills and reaps it; nothing when there is none. */
void pasta_process_kill(struct pasta_process *p);

/* After it has been reaped by the caller: its last words into text ("": none). */
void pasta_process_bury(struct pasta_process *p, char *text, size_t room);

#endif
