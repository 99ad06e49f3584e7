/* One run of kernel/python/warmcell_kernel/installer.py: in the sandbox whose packages it is about,
 * or in one of its own, which is made for it and ends with it. */
#ifndef WARMCELL_GATEWAY_CORE_PACKAGE_PROGRAM_H
#define WARMCELL_GATEWAY_CORE_PACKAGE_PROGRAM_H

#include "gateway/core/state.h"

struct package_program;

/* All borrowed for the call. */
struct package_program_plan {
    const char *words[5]; /* the verb and what follows; NULL ends them */
    json_t *input;        /* what it reads; NULL: nothing */
    json_t *network;      /* of a sandbox of its own; NULL: it runs in s */
    int64_t deadline_ms;
};

struct package_program_events {
    void (*on_event)(void *user, json_t *event); /* a line of its; borrowed */
    /* It has ended, and all that it started has; e NULL: with status 0. 409, 422 (its own reason),
     * 501, 502, 503, 504, 507. What it wrote is there until the program is closed. */
    void (*on_end)(void *user, const struct err *e);
};

/* NULL: 501 there is no Python, 503 it cannot be started; no event comes then. */
struct package_program *package_program_start(struct sandbox *s,
                                              const struct package_program_plan *plan,
                                              const struct package_program_events *events,
                                              void *user, struct err *e);
/* The id of the sandbox of its own. */
const char *package_program_id(const struct package_program *p);
/* It is killed if it still runs, and with it goes the sandbox of its own with its folder. No event
 * comes any more. NULL is legal. */
void package_program_close(struct package_program *p);

/* What an earlier gateway that was killed has left of them. */
void package_programs_clear(struct core *c);

#endif
