/* What one command's supervisor is told: a file of JSON, which it removes when it has read it.
 *
 * {"keeper": path, "sandbox": id, "open": {…}, "argv": […], "env": ["A=b", …], "cwd": "/workspace",
 *  "output_bytes": n, "deadline_ms": n, "lease_s": n, "stdin_open": bool, "alone": bool}
 *
 * open: the keeper's OPEN; alone: it makes a sandbox for this command, which ends with it, else it
 * joins the one that is there. output_bytes, deadline_ms: 0: no limit. */
#ifndef WARMCELL_SANDBOX_COMMAND_PLAN_H
#define WARMCELL_SANDBOX_COMMAND_PLAN_H

#include <jansson.h>

#include "protocol/err.h"

#define COMMAND_PLAN_LIMIT_BYTES (32 * 1024 * 1024)

/* Owned: strings belong to body. */
struct command_plan {
    json_t *body;
    const char *keeper, *sandbox, *cwd;
    json_t *open;
    char **argv, **env; /* the arrays are owned, the strings are body's */
    int64_t output_bytes, deadline_ms, lease_s;
    bool stdin_open; /* more may come behind what it begins with */
    bool alone;
};

bool command_plan_read(const char *path, struct command_plan *out, struct err *e); /* 400, 503 */
void command_plan_free(struct command_plan *p);

#endif
