/* Reading and writing the small files of a control group. Used by both versions, by the governor
 * and by shares; only descriptors are used, for the host's paths are gone in the keeper. */
#include "sandbox/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool cgroup_write(int group, const char *file, const char *text)
{
    int fd = openat(group, file, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n;
    do {
        n = write(fd, text, strlen(text));
    } while (n < 0 && errno == EINTR);
    int kept = errno;
    close(fd);
    errno = kept;
    return n >= 0;
}

bool cgroup_write_number(int group, const char *file, int64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)number);
    return cgroup_write(group, file, text);
}

void cgroup_read(int group, const char *file, char *text, size_t size)
{
    size_t len = 0;
    int fd = openat(group, file, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && len < size - 1) {
        ssize_t n = read(fd, text + len, size - 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    if (fd >= 0)
        close(fd);
    text[len] = '\0';
}

static int64_t number_of(const char *text)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    return end == text || errno != 0 || number < 0 ? -1 : number;
}

int64_t cgroup_number(int group, const char *file)
{
    char text[64];
    cgroup_read(group, file, text, sizeof text);
    return number_of(text);
}

int64_t cgroup_keyed(int group, const char *file, const char *key)
{
    char text[8192];
    size_t len = strlen(key);
    cgroup_read(group, file, text, sizeof text);
    for (char *line = text; line; line = strchr(line, '\n')) {
        if (*line == '\n')
            line++;
        if (strncmp(line, key, len) == 0 && line[len] == ' ')
            return number_of(line + len + 1);
    }
    return -1;
}

bool cgroup_exists(int group, const char *file)
{
    return faccessat(group, file, F_OK, 0) == 0;
}

int cgroup_each(int group, bool (*on_pid)(pid_t pid, void *data), void *data)
{
    int fd = openat(group, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "re");
    if (!file)
        return -1;
    int count = 0;
    long pid;
    while (fscanf(file, "%ld", &pid) == 1) {
        count++;
        if (on_pid && !on_pid((pid_t)pid, data))
            break;
    }
    fclose(file);
    return count;
}

bool cgroup_limit(const struct cgroup_kind *kind, int group, unsigned controllers,
                  const struct limits *l, struct err *e)
{
    if ((controllers & CGROUP_MEMORY) && !kind->limit_memory(group, l->memory_bytes, e))
        return false;
    if ((controllers & CGROUP_CPU) && !kind->limit_cpu(group, l->cpu_millis, e))
        return false;
    if (!(controllers & CGROUP_PIDS))
        return true;
    bool done = l->processes ? cgroup_write_number(group, "pids.max", l->processes)
                             : cgroup_write(group, "pids.max", "max");
    return done || fail_errno(e, 503, "cannot limit the processes of a control group");
}

static bool on_pid_kill(pid_t pid, void *data)
{
    (void)data;
    /* one that this namespace does not see is listed as 0, which would be our own group */
    if (pid > 0)
        kill(pid, SIGKILL);
    return true;
}

/* Without room for new processes a round finds them all; where processes cannot be limited, further
 * rounds follow a fork that was under way. */
void cgroup_kill_each(int group)
{
    bool closed = cgroup_write_number(group, "pids.max", 0);
    for (int round = 0; round < (closed ? 2 : 8); round++)
        if (cgroup_each(group, on_pid_kill, NULL) <= 0)
            break;
}
