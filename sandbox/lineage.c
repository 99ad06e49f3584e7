/* Marks by RLIMIT_RTTIME: the limit binds real-time threads alone, anybody may lower a hard limit
 * and nobody without privileges may raise one. Orphans come to the keeper, a child subreaper, so
 * every descendant is found below it. */
#include "sandbox/lineage.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "protocol/memory.h"
#include "sandbox/family.h"

#define MARKS ((rlim_t)1 << 32)
#define HIGH  ((rlim_t)1 << 62) /* microseconds */

/* Marks are counted down from here: below the limit that this process has itself. */
static rlim_t top(void)
{
    struct rlimit own;
    bool lower = getrlimit(RLIMIT_RTTIME, &own) == 0 && own.rlim_max < HIGH;
    return lower ? own.rlim_max : HIGH;
}

bool lineage_limit(uint32_t mark, struct rlimit *out)
{
    rlim_t base = top();
    *out = (struct rlimit){base - 1 - mark, base - 1 - mark};
    return base >= MARKS;
}

bool lineage_mark(pid_t pid, uint32_t mark)
{
    struct rlimit limit;
    return lineage_limit(mark, &limit) && prlimit(pid, RLIMIT_RTTIME, &limit, NULL) == 0;
}

/* prlimit(2) tells that of other users only to the privileged, /proc tells everybody. */
static bool hard_limit_of(pid_t pid, rlim_t *out)
{
    char path[40], line[160];
    unsigned long long soft, hard;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/limits", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && !found && fgets(line, sizeof line, file))
        found = sscanf(line, "Max realtime timeout %llu %llu", &soft, &hard) == 2;
    if (file)
        fclose(file);
    *out = found ? hard : RLIM_INFINITY;
    return found;
}

bool lineage_of(pid_t pid, uint32_t *mark)
{
    rlim_t limit, base = top();
    if (!hard_limit_of(pid, &limit) || limit >= base || limit < base - MARKS)
        return false;
    *mark = (uint32_t)(base - 1 - limit);
    return true;
}

size_t lineage_kill(uint32_t mark)
{
    pid_t *pids = xcalloc(FAMILY_MOST, sizeof *pids);
    size_t count = family_list(getpid(), pids, 0), killed = 0;
    for (size_t n = 0; n < count; n++) {
        uint32_t found;
        if (lineage_of(pids[n], &found) && found == mark) {
            kill(pids[n], SIGKILL);
            killed++;
        }
    }
    free(pids);
    return killed;
}
