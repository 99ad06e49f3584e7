/* What a forked interpreter does to itself before it runs any Python. */
#ifndef WARMCELL_KERNEL_PYTHON_SETTLE_H
#define WARMCELL_KERNEL_PYTHON_SETTLE_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "protocol/err.h"
#include "sandbox/confine.h"

#define SETTLE_LINK_FD   3
#define SETTLE_PIPES_FD  4
#define SETTLE_HELD_MOST 256

struct settle {
    int link_fd, stdout_fd, stderr_fd, pipes_fd; /* borrowed */
    const char *cwd;                             /* NULL: as it is */
    mode_t umask;
    const int *held; /* numbers that objects of the parent still name as theirs; borrowed */
    size_t held_count;
    bool confined;
    struct confine confine;
};

/* Reads {"uid": n, "gid": n, "landlock": bool, "seccomp": bool, "rlimits": [[resource, soft, hard],
 * ...]}, where a limit of -1 is none. 400 names the member. */
bool settle_read_confine(json_t *object, struct confine *out, struct err *e);

/* Becomes a process of its own: descriptors 0 (/dev/null), 1, 2, SETTLE_LINK_FD, SETTLE_PIPES_FD
 * and no other (the numbers held are /dev/null: an object that closes its own hits nobody else's),
 * a session of its own, confined as the plan says, in its folder. Allocates nothing.
 * NULL: done; otherwise the step that failed, with errno, and the process must end. */
const char *settle_self(const struct settle *plan);

#endif
