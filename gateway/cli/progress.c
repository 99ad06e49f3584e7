/* One line that is written over, a few times a second. */
#include "gateway/cli/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "protocol/ids.h"

#define QUIET_MS 2000
#define EACH_MS  200
#define MIB      (1024.0 * 1024.0)

void progress_show(struct progress *p, int64_t bytes)
{
    int64_t now_ms = monotonic_ms();
    if (!p->began_ms)
        p->began_ms = now_ms;
    int64_t took_ms = now_ms - p->began_ms;
    if (took_ms < QUIET_MS || now_ms - p->shown_ms < EACH_MS || !isatty(STDERR_FILENO))
        return;
    p->shown_ms = now_ms;
    fprintf(stderr, "\r%.1f MiB, %.1f MiB/s\033[K", (double)bytes / MIB,
            (double)bytes / MIB * 1000 / (double)took_ms);
    fflush(stderr);
}

void progress_end(struct progress *p)
{
    if (p->shown_ms)
        fputs("\r\033[K", stderr);
}
