/* What this process and its descendants use, as usage_reply says it. Source: ipykernel
 * kernelbase.py, usage_request. */
#ifndef WARMCELL_KERNEL_HOST_USAGE_H
#define WARMCELL_KERNEL_HOST_USAGE_H

#include "protocol/bytes.h"

struct usage; /* remembers the last measurement: percentages are of the time since */
struct usage *usage_new(void);
void usage_free(struct usage *usage);

/* Appends
 * {"hostname","pid","kernel_cpu","kernel_memory","cpu_count","host_cpu_percent","host_virtual_memory":{}}.
 * Bytes and percent; pid: the interpreter's, or the host's where it is 0. */
void usage_content(struct usage *usage, int pid, struct buffer *out);

#endif
