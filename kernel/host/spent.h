/* What an execution has used whose interpreter ended before it could say: the rest of what that
 * process used. */
#ifndef WARMCELL_KERNEL_HOST_SPENT_H
#define WARMCELL_KERNEL_HOST_SPENT_H

#include "kernel/host/interpreter.h"
#include "protocol/bytes.h"

/* Of one interpreter; empty for a new one. */
struct spent {
    bool apart;     /* its code runs in another process, of which nothing is known */
    int64_t cpu_us; /* its own when the execution began; -1: not known */
    /* of its children that have ended, as it last said; -1: it does not say that */
    int64_t children_us, children_peak_bytes;
};

void spent_begin(struct spent *s, const struct interpreter *i);

/* The member "usage" of the reply of an execution; empty: there was none. */
void spent_hear(struct spent *s, struct bytes usage);

/* Appends {"usage": {"cpu_s": n, "memory_peak_bytes": n}}, the metadata of a reply that the
 * interpreter does not make any more; what is not known is left out. */
void spent_tell(const struct spent *s, const struct interpreter_end *end, struct buffer *out);

#endif
