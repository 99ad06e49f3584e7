/* Own accounting of processes, where no control group counts them: memory, number and CPU time of
 * a sandbox's processes, read from /proc.
 *
 * Memory is what only these processes hold: anonymous and shared memory and swap, and of pages that
 * are still shared with a fork server their part (Pss). Page cache does not count. Memory that no
 * process has mapped (a memfd that was only written to) is not seen. */
#ifndef WARMCELL_SANDBOX_METER_H
#define WARMCELL_SANDBOX_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/bytes.h"

#define METER_PROCESSES_MOST 4096 /* more are not looked at */

struct meter {
    int64_t exact_at_ms;  /* when Pss was last read */
    int64_t shared_bytes; /* how much less Pss was then than the quick sum */
    int64_t cpu_us;       /* what ended processes took with them is not lost */
    int64_t peak_bytes;
    pid_t *pids; /* those that the last reading found; owned */
    size_t count;
};

void meter_free(struct meter *m); /* what it owns, not m itself */

struct meter_reading {
    int64_t memory_bytes;
    int64_t threads; /* as the kernel counts processes against their limit */
    int64_t processes;
};

/* Reads the roots and all their descendants. The quick sum of resident pages counts what is shared
 * with a fork server as if it were their own. Pss is slow, so it is read at first, every five
 * seconds, and when the quick sum is above limit_bytes (0: never): then twice a second, or at once
 * when the sum grew past the limit by itself. Between, the difference is taken off the quick sum.
 */
void meter_read(struct meter *m, const pid_t *roots, size_t count, int64_t limit_bytes,
                struct meter_reading *out);

/* The number of kB behind a name ("RssAnon:") in /proc/PID/status or smaps_rollup, in bytes; -1. */
int64_t meter_field(const char *text, const char *name);

/* User and system time, its own and of its reaped children, of the text of /proc/PID/stat, in clock
 * ticks; -1 when the text is not such a line. The name in it may hold anything. */
int64_t meter_ticks(const char *stat);

#endif
