/* The ladder that ends an execution which has run or written too much: an interrupt; after a grace
 * time the stacks of its threads, into its output; after another the end of the interpreter and of
 * everything that it started. An execution that ends by itself is off the ladder wherever it
 * stands. */
#ifndef WARMCELL_KERNEL_HOST_DEADLINE_H
#define WARMCELL_KERNEL_HOST_DEADLINE_H

#include <jansson.h>

#include "kernel/host/death.h"
#include "kernel/host/request.h"
#include "sandbox/loop.h"

struct kernel;

/* 0: no limit. The graces are never 0. */
struct run_limits {
    int64_t execution_ms; /* a request may ask for less, not for more */
    int64_t interrupt_grace_ms;
    int64_t dump_grace_ms;
    int64_t output_bytes; /* of one execution */
    int64_t idle_ms;      /* of the kernel, as is the next */
    int64_t life_ms;
};

#define INTERRUPT_GRACE_MS 2000
#define DUMP_GRACE_MS      3000
#define DEADLINE_MOST_MS   (INT64_C(30) * 24 * 3600 * 1000)

enum step { STEP_NONE, STEP_INTERRUPT, STEP_DUMP, STEP_KILL };

/* Of the execution that runs. */
struct ladder {
    struct timer *timer;
    int64_t deadline_ms;  /* from its start; 0: none */
    enum step step;       /* the last one taken */
    enum cause cause;     /* from STEP_INTERRUPT on: CAUSE_DEADLINE or CAUSE_OUTPUT_LIMIT */
    bool stack_dumped;    /* something came after the stacks were asked for... */
    size_t stack_bytes;   /* ...so much */
    const char *ended_by; /* "interrupt", "kill"; NULL: it ended by itself */
};

/* Begins the time of an execution that was just sent to the interpreter. */
void ladder_begin(struct kernel *k, const struct request *request);
/* Takes the first step now, if none was taken yet. */
void ladder_climb(struct kernel *k, enum cause cause);
void ladder_end(struct kernel *k); /* the execution is over; what was done stays readable */
void ladder_close(struct kernel *k);

/* Text of descriptor 2 came: perhaps the stacks. True: it is told even where no more output is, as
 * the first LADDER_STACK_BYTES of it are. */
#define LADDER_STACK_BYTES (256u * 1024)
bool ladder_takes_stacks(struct kernel *k, size_t bytes);

/* Whether the interpreter ended so because of the ladder. */
bool ladder_ended_it(const struct kernel *k, const struct interpreter_end *end);

/* The members execution_s, output_bytes, idle_s and life_s of the limits of a sandbox; those of its
 * keeper are checked, and are none of ours. Absent ones stay. object: borrowed; NULL: nothing. 400
 * names the member. */
bool run_limits_read(json_t *object, struct run_limits *out, struct err *e);

/* A number of seconds, 0.001 to 30 days, with or without a fraction, in milliseconds. */
bool seconds_read(struct bytes text, int64_t *out_ms);

/* The deadline in the metadata of a request, {"warmcell": {"deadline_s": 2.5}}: raw is the value of
 * "warmcell", or empty. *out_ms: 0: none. 400 names the member. */
bool deadline_read(struct bytes raw, int64_t *out_ms, struct err *e);

#endif
