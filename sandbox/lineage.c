/* Marks by RLIMIT_RTTIME: the limit binds real-time threads alone, anybody may lower a hard limit
 * and nobody without privileges may raise one. Orphans come to the keeper, a child subreaper, so
 * every descendant is found below it. */
#include "sandbox/lineage.h"

#include <signal.h>
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

bool lineage_mark(pid_t pid, uint32_t mark)
{
    rlim_t base = top();
    if (base < MARKS)
        return false;
    struct rlimit limit = {base - 1 - mark, base - 1 - mark};
    return prlimit(pid, RLIMIT_RTTIME, &limit, NULL) == 0;
}

bool lineage_of(pid_t pid, uint32_t *mark)
{
    struct rlimit limit;
    rlim_t base = top();
    if (prlimit(pid, RLIMIT_RTTIME, NULL, &limit) != 0 || limit.rlim_max >= base ||
        limit.rlim_max < base - MARKS)
        return false;
    *mark = (uint32_t)(base - 1 - limit.rlim_max);
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
