/* What a host has its interpreters confined with: the file of --sandbox-plan. */
#ifndef WARMCELL_KERNEL_HOST_SANDBOX_PLAN_H
#define WARMCELL_KERNEL_HOST_SANDBOX_PLAN_H

#include "protocol/json.h"

/* Owned. */
struct sandbox_plan {
    json_t *body; /* of the keeper's OPEN */
    char **env;   /* NAME=VALUE, all that the interpreter gets */
    char *cwd;
};

/* The file is an object, all members optional: {"uid": n, "network": "none", "limits": {...},
 * "env": {name: value}, "cwd": "/workspace"}; what is not known here is passed on to the keeper.
 * It is removed once it is read. path NULL: {}. 400: what is wrong; 503: it cannot be read. *out
 * must be empty. */
bool sandbox_plan_read(const char *id, const char *path, struct sandbox_plan *out, struct err *e);
void sandbox_plan_free(struct sandbox_plan *p);

#endif
