/* Read from /proc/PID/task/TID/children. Called by keepers and hosts to find or end what is left of
 * programs; nothing here holds on to a pid: a caller that kills does so at once. */
#include "sandbox/family.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/memory.h"

#define KILL_ROUNDS   2000
#define KILL_PAUSE_US 1000

size_t family_children(pid_t parent, pid_t *pids, size_t count)
{
    char path[80];
    snprintf(path, sizeof path, "/proc/%d/task", (int)parent);
    DIR *tasks = opendir(path);
    if (!tasks)
        return count;
    for (struct dirent *entry; (entry = readdir(tasks));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%.20s/children", (int)parent, entry->d_name);
        FILE *file = fopen(path, "re");
        for (int pid; file && count < FAMILY_MOST && fscanf(file, "%d", &pid) == 1;)
            pids[count++] = pid;
        if (file)
            fclose(file);
    }
    closedir(tasks);
    return count;
}

size_t family_list(pid_t ancestor, pid_t *pids, size_t count)
{
    size_t at = count;
    count = family_children(ancestor, pids, count);
    for (; at < count; at++)
        count = family_children(pids[at], pids, count);
    return count;
}

void family_kill(void)
{
    pid_t *pids = xcalloc(FAMILY_MOST, sizeof *pids);
    for (int round = 0; round < KILL_ROUNDS; round++) {
        /* orphans of the killed come to us; one that was just forked is seen next time */
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        size_t count = family_list(getpid(), pids, 0);
        if (count == 0)
            break;
        for (size_t at = 0; at < count; at++)
            kill(pids[at], SIGKILL);
        /* the killed need a moment to be gone; the loop has ended, so nobody waits behind this,
         * and no descriptor tells of grandchildren that are not ours yet */
        usleep(KILL_PAUSE_US);
    }
    free(pids);
}
