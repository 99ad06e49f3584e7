/* Starts a program as a child of this process, unconfined or inside namespaces, with exactly the
 * descriptors it is given. The child waits to be let go, so that its limits are in place first. */
#ifndef WARMCELL_SANDBOX_EXEC_H
#define WARMCELL_SANDBOX_EXEC_H

#include <sys/resource.h>
#include <sys/types.h>

#include "protocol/err.h"

#define EXEC_FDS_MOST 8
#define EXEC_STEP     48

/* All borrowed for the call. */
struct exec_plan {
    char *const *argv; /* argv[0] is looked up in the PATH of env */
    char *const *env;  /* all of it */
    const char *cwd;   /* NULL: ours */
    mode_t umask;
    const int *fds;              /* become 0, 1, 2 ... */
    size_t fd_count;             /* at most EXEC_FDS_MOST */
    const int *namespaces;       /* WIRE_NAMESPACES of them to join; NULL: ours */
    const struct rlimit *nofile; /* NULL: ours */
    /* Called in the child last before exec: NULL, or the step that failed, with errno. NULL is
     * legal.
     */
    const char *(*confine)(void *data);
    void *data;
};

/* What a child that could not exec says on its control socket; nothing when it could. */
struct exec_failure {
    int cause; /* errno */
    char step[EXEC_STEP];
};

/* The child's pid; it is a session of its own, with default signals, and waits for exec_go.
 * *control is given: it becomes readable with a struct exec_failure, or with its end when exec
 * succeeded (or the child was killed). -1: 503. */
pid_t exec_begin(const struct exec_plan *plan, int *control, struct err *e);
void exec_go(int control);

/* Call when control is readable. True: the program runs; false: e says what could not be done
 * (503), *out (NULL is legal) has it in parts, and the child ends. */
bool exec_result(int control, const char *program, struct exec_failure *out, struct err *e);

#endif
