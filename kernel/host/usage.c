/* Memory and processor use from /proc. */
#include "kernel/host/usage.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "protocol/ids.h"
#include "protocol/json.h"

#define PROCESSES_MOST 4096

struct usage {
    int64_t measured_us;
    double tree_s;      /* processor time of the tree at the last measurement */
    double busy, whole; /* of the machine, in ticks */
};

struct usage *usage_new(void)
{
    return xcalloc(1, sizeof(struct usage));
}

void usage_free(struct usage *usage)
{
    free(usage);
}

static size_t children(int parent, int *pids, size_t count)
{
    char path[80];
    snprintf(path, sizeof path, "/proc/%d/task", parent);
    DIR *tasks = opendir(path);
    for (struct dirent *entry; tasks && (entry = readdir(tasks));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%.20s/children", parent, entry->d_name);
        FILE *file = fopen(path, "re");
        for (int pid; file && count < PROCESSES_MOST && fscanf(file, "%d", &pid) == 1;)
            pids[count++] = pid;
        if (file)
            fclose(file);
    }
    if (tasks)
        closedir(tasks);
    return count;
}

/* A "name: n kB" line of a /proc file, in bytes; 0: not there. */
static unsigned long long kilobytes_of(const char *path, const char *name)
{
    FILE *file = fopen(path, "re");
    char line[256];
    size_t len = strlen(name);
    unsigned long long kilobytes = 0;
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, len) == 0 && line[len] == ':')
            kilobytes = strtoull(line + len + 1, NULL, 10);
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

static double processor_s(int pid)
{
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    unsigned long user = 0, kernel = 0;
    if (file && fgets(line, sizeof line, file)) {
        const char *rest = strrchr(line, ')');
        if (rest)
            sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
                   &kernel);
    }
    if (file)
        fclose(file);
    return (double)(user + kernel) / (double)sysconf(_SC_CLK_TCK);
}

static void add_tree(struct usage *usage, struct buffer *out, double elapsed_s)
{
    int *pids = xcalloc(PROCESSES_MOST, sizeof *pids);
    size_t count = 1;
    pids[0] = getpid();
    for (size_t at = 0; at < count; at++)
        count = children(pids[at], pids, count);
    unsigned long long memory = 0;
    double tree_s = 0;
    for (size_t at = 0; at < count; at++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pids[at]);
        memory += kilobytes_of(path, "Pss");
        tree_s += processor_s(pids[at]);
    }
    free(pids);
    double percent = elapsed_s > 0 ? 100 * (tree_s - usage->tree_s) / elapsed_s : 0;
    usage->tree_s = tree_s;
    buffer_printf(out, ",\"kernel_cpu\":%.1f,\"kernel_memory\":%llu", percent < 0 ? 0 : percent,
                  memory);
}

static void add_machine_percent(struct usage *usage, struct buffer *out)
{
    double ticks[8] = {0}, whole = 0;
    FILE *file = fopen("/proc/stat", "re");
    bool got =
        file && fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", ticks, ticks + 1, ticks + 2,
                       ticks + 3, ticks + 4, ticks + 5, ticks + 6, ticks + 7) == 8;
    if (file)
        fclose(file);
    if (!got)
        return;
    for (size_t i = 0; i < countof(ticks); i++)
        whole += ticks[i];
    double busy = whole - ticks[3] - ticks[4];
    if (usage->whole > 0 && whole > usage->whole)
        buffer_printf(out, ",\"host_cpu_percent\":%.1f",
                      100 * (busy - usage->busy) / (whole - usage->whole));
    usage->busy = busy;
    usage->whole = whole;
}

static void add_machine_memory(struct buffer *out)
{
    static const struct {
        const char *ours, *theirs;
    } rows[] = {{"free", "MemFree"},    {"active", "Active"}, {"inactive", "Inactive"},
                {"buffers", "Buffers"}, {"cached", "Cached"}, {"shared", "Shmem"},
                {"slab", "Slab"}};
    unsigned long long total = kilobytes_of("/proc/meminfo", "MemTotal");
    unsigned long long available = kilobytes_of("/proc/meminfo", "MemAvailable");
    unsigned long long used = total > available ? total - available : 0;
    buffer_printf(out,
                  ",\"host_virtual_memory\":{\"total\":%llu,\"available\":%llu,\"percent\":%.1f,"
                  "\"used\":%llu",
                  total, available, total ? 100.0 * (double)used / (double)total : 0, used);
    for (size_t i = 0; i < countof(rows); i++)
        buffer_printf(out, ",\"%s\":%llu", rows[i].ours,
                      kilobytes_of("/proc/meminfo", rows[i].theirs));
    buffer_add_text(out, "}");
}

void usage_content(struct usage *usage, int pid, struct buffer *out)
{
    char name[256] = "";
    gethostname(name, sizeof name - 1);
    int64_t now_us = monotonic_us();
    double elapsed_s = usage->measured_us ? (double)(now_us - usage->measured_us) / 1e6 : 0;
    usage->measured_us = now_us;
    buffer_add_text(out, "{\"status\":\"ok\",\"hostname\":");
    json_quote(out, bytes_of(name));
    buffer_printf(out, ",\"pid\":%d,\"cpu_count\":%d", pid ? pid : (int)getpid(), get_nprocs());
    add_tree(usage, out, elapsed_s);
    add_machine_percent(usage, out);
    add_machine_memory(out);
    buffer_add_text(out, "}");
}
