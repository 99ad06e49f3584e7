/* Counts a sandbox's processes through /proc, as the keeper's PID namespace shows them. Called in
 * every tick where there is no control group, so what is cheap is read each time and what is slow
 * only when it decides. Processes may end between any two reads: what cannot be read counts 0. */
#include "sandbox/meter.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/ids.h"

#define EXACT_EVERY_MS  5000
#define DECIDE_EVERY_MS 500
#define TEXT_BYTES      8192

/* Processes that were found, each once; those before `next` have been looked at. */
struct herd {
    pid_t *pids;
    size_t count, next;
    uint32_t *slots; /* open addressing: 1 + index into pids; 0: free */
};
#define HERD_SLOTS (METER_PROCESSES_MOST * 4)

static void herd_add(struct herd *h, pid_t pid)
{
    if (pid <= 0 || h->count == METER_PROCESSES_MOST)
        return;
    size_t at = ((uint32_t)pid * 2654435761u) % HERD_SLOTS;
    while (h->slots[at]) {
        if (h->pids[h->slots[at] - 1] == pid)
            return;
        at = (at + 1) % HERD_SLOTS;
    }
    h->pids[h->count++] = pid;
    h->slots[at] = (uint32_t)h->count;
}

static bool read_text(int dir, const char *name, char text[TEXT_BYTES])
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, TEXT_BYTES - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

int64_t meter_field(const char *text, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, len) == 0)
            return (int64_t)strtoll(line + len, NULL, 10) * 1024;
    }
    return -1;
}

int64_t meter_ticks(const char *stat)
{
    const char *at = strrchr(stat, ')');
    unsigned long long user, system;
    long long of_user, of_system;
    /* from the third field on: state, 10 numbers, utime, stime, cutime, cstime */
    if (!at || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %lld %lld",
                      &user, &system, &of_user, &of_system) != 4)
        return -1;
    return (int64_t)(user + system) + of_user + of_system;
}

static int64_t at_least_0(int64_t n)
{
    return n > 0 ? n : 0;
}

/* Its threads, whose children join the herd: /proc/PID/task/TID/children. */
static int64_t visit_threads(struct herd *h, int proc)
{
    int fd = openat(proc, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    int64_t threads = 0;
    while (dir && (entry = readdir(dir))) {
        char name[300], text[TEXT_BYTES];
        if (entry->d_name[0] == '.')
            continue;
        threads++;
        snprintf(name, sizeof name, "%s/children", entry->d_name);
        if (!read_text(dirfd(dir), name, text))
            continue;
        char *end, *at = text;
        for (long pid; (pid = strtol(at, &end, 10)) > 0 && end != at; at = end)
            herd_add(h, (pid_t)pid);
    }
    if (dir)
        closedir(dir);
    return threads;
}

static int open_process(pid_t pid)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%d", pid);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int64_t exact_bytes(const struct herd *h)
{
    static const char *const parts[] = {"Pss_Anon:", "Pss_Shmem:", "SwapPss:"};
    int64_t sum = 0;
    char text[TEXT_BYTES];
    for (size_t i = 0; i < h->count; i++) {
        int proc = open_process(h->pids[i]);
        if (proc < 0)
            continue;
        if (read_text(proc, "smaps_rollup", text))
            for (size_t p = 0; p < countof(parts); p++)
                sum += at_least_0(meter_field(text, parts[p]));
        close(proc);
    }
    return sum;
}

static int64_t settle(struct meter *m, const struct herd *h, int64_t quick, int64_t limit)
{
    int64_t now = monotonic_ms(), guess = at_least_0(quick - m->shared_bytes);
    int64_t age = now - m->exact_at_ms;
    bool decides = limit && quick > limit && (guess > limit || age >= DECIDE_EVERY_MS);
    if (m->exact_at_ms == 0 || age >= EXACT_EVERY_MS || decides) {
        guess = exact_bytes(h);
        m->shared_bytes = at_least_0(quick - guess);
        m->exact_at_ms = now;
    }
    return guess;
}

void meter_read(struct meter *m, const pid_t *roots, size_t count, int64_t limit_bytes,
                struct meter_reading *out)
{
    static const char *const parts[] = {"RssAnon:", "RssShmem:", "VmSwap:"};
    struct herd h = {.pids = xcalloc(METER_PROCESSES_MOST, sizeof *h.pids),
                     .slots = xcalloc(HERD_SLOTS, sizeof *h.slots)};
    int64_t quick = 0, ticks = 0;
    *out = (struct meter_reading){0};
    for (size_t i = 0; i < count; i++)
        herd_add(&h, roots[i]);
    for (; h.next < h.count; h.next++) {
        char text[TEXT_BYTES];
        int proc = open_process(h.pids[h.next]);
        if (proc < 0)
            continue;
        out->processes++;
        out->threads += visit_threads(&h, proc);
        if (read_text(proc, "status", text))
            for (size_t p = 0; p < countof(parts); p++)
                quick += at_least_0(meter_field(text, parts[p]));
        if (read_text(proc, "stat", text))
            ticks += at_least_0(meter_ticks(text));
        close(proc);
    }
    out->memory_bytes = settle(m, &h, quick, limit_bytes);
    int64_t cpu_us = ticks * (1000000 / sysconf(_SC_CLK_TCK));
    m->cpu_us = cpu_us > m->cpu_us ? cpu_us : m->cpu_us;
    m->peak_bytes = out->memory_bytes > m->peak_bytes ? out->memory_bytes : m->peak_bytes;
    meter_free(m);
    m->pids = h.pids;
    m->count = h.count;
    free(h.slots);
}

void meter_free(struct meter *m)
{
    free(m->pids);
    m->pids = NULL;
    m->count = 0;
}
