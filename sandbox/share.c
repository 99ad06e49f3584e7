/* One sandbox's share of the machine: its control groups where there are any, its rlimits, and own
 * accounting for the rest. Called by the keeper's loop; nothing here waits, but for the end of an
 * earlier sandbox with the same id. */
#include "sandbox/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "protocol/ids.h"
#include "protocol/memory.h"
#include "sandbox/disk.h"
#include "sandbox/governor.h"
#include "sandbox/meter.h"

#define MIB             (1024.0 * 1024.0)
#define MEMLOCK_BYTES   (8 * 1024 * 1024)
#define DATA_SPARE      INT64_C(134217728) /* reserved by libraries and stacks, but never touched */
#define REMOVE_MS       1000
#define WALK_GRANT_US   20000 /* each tick, for all shares together */
#define WALK_STEP       256   /* names between two looks at the clock */
#define OPEN_FILES_LOOK 20000
#define HURRY_BYTES     (INT64_C(1024) * 1024)
#define HURRY_INODES    1000
#define OOM_EXPLAINS_MS 1000 /* until everyone who was killed with the first has ended */

struct share {
    struct governor *governor; /* borrowed */
    char id[GOVERNOR_NAME_MOST + 1];
    struct limits limits;
    int groups[CGROUP_PLACES_MOST]; /* as the governor's hierarchies; owned */
    int doors[CGROUP_PLACES_MOST];  /* -1: it has none */
    size_t group_count;
    struct disk *disk;      /* owned; NULL: no workspace */
    int64_t nameless_bytes; /* of removed files that are still open */
    struct meter meter;
    struct meter_reading reading;
    int64_t memory_peak; /* where the kernel keeps none */
    int64_t oom_seen;    /* kills for want of memory that were looked at, since it began */
    int64_t oom_untold;  /* of them, those that explained no end yet, */
    int64_t oom_seen_ms; /* and when the last of them were looked at */
    bool out_of_memory;  /* by our own account */
};

/* --- control groups */

static bool limit_groups(struct share *s, const struct limits *l, struct err *e)
{
    for (size_t i = 0; i < s->group_count; i++) {
        const struct hierarchy *h = &s->governor->hierarchies[i];
        if (!cgroup_limit(h->kind, s->groups[i], h->controllers, l, e))
            return false;
    }
    return true;
}

static void close_groups(struct share *s)
{
    while (s->group_count > 0) {
        close(s->groups[--s->group_count]);
        if (s->doors[s->group_count] >= 0)
            close(s->doors[s->group_count]);
    }
}

static bool make_groups(struct share *s, struct err *e)
{
    struct governor *g = s->governor;
    for (size_t i = 0; i < g->count; i++) {
        int base = g->hierarchies[i].base;
        bool made = mkdirat(base, s->id, 0755) == 0;
        /* an earlier sandbox of that id is still ending */
        if (!made && errno == EEXIST && governor_remove_now(g, s->id, REMOVE_MS)) {
            close_groups(s);
            return make_groups(s, e);
        }
        int group = made ? openat(base, s->id, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        if (group < 0) {
            fail_errno(e, 503, "cannot make the control group of sandbox %s", s->id);
            close_groups(s);
            return false;
        }
        const char *door = g->hierarchies[i].kind->door;
        s->doors[s->group_count] = door ? openat(group, door, O_WRONLY | O_CLOEXEC) : -1;
        s->groups[s->group_count++] = group;
    }
    return true;
}

size_t share_doors(const struct share *s, int doors[SHARE_DOORS_MOST])
{
    size_t count = 0;
    for (size_t i = 0; i < s->group_count && count < SHARE_DOORS_MOST; i++)
        if (s->doors[i] >= 0)
            doors[count++] = s->doors[i];
    return count;
}

static struct cgroup_usage group_usage(const struct share *s)
{
    struct cgroup_usage use = {-1, -1, -1, -1, -1};
    for (size_t i = 0; i < s->group_count; i++) {
        const struct hierarchy *h = &s->governor->hierarchies[i];
        h->kind->usage(s->groups[i], h->controllers, &use);
    }
    return use;
}

static bool governs(const struct share *s, unsigned controller)
{
    return (s->governor->controllers & controller) != 0;
}

struct share *share_open(struct governor *g, const char *id, const struct limits *l,
                         const char *workspace, struct err *e)
{
    if (!governor_name_valid(id)) {
        fail(e, 400, "sandbox: \"%.80s\" cannot be an id", id);
        return NULL;
    }
    governor_sweep(g);
    struct share *s = xcalloc(1, sizeof *s);
    s->governor = g;
    s->limits = *l;
    snprintf(s->id, sizeof s->id, "%s", id);
    if ((!workspace || share_watch(s, workspace, e)) && make_groups(s, e) && limit_groups(s, l, e))
        return s;
    share_close(s);
    return NULL;
}

bool share_watch(struct share *s, const char *workspace, struct err *e)
{
    s->disk = disk_open(workspace);
    return s->disk || fail_errno(e, 503, "cannot open the workspace of sandbox %s", s->id);
}

/* Version 2 renames no groups; then the share goes on under the name that it has. */
void share_rename(struct share *s, const char *id)
{
    const struct governor *g = s->governor;
    size_t done = 0;
    while (done < g->count &&
           renameat(g->hierarchies[done].base, s->id, g->hierarchies[done].base, id) == 0)
        done++;
    if (done == g->count) {
        snprintf(s->id, sizeof s->id, "%s", id);
        return;
    }
    while (done-- > 0)
        renameat(g->hierarchies[done].base, id, g->hierarchies[done].base, s->id);
}

static bool on_pid_find(pid_t pid, void *data)
{
    pid_t *wanted = data;
    if (pid == *wanted)
        *wanted = 0;
    return *wanted != 0;
}

static bool is_inside(int group, pid_t pid)
{
    return cgroup_each(group, on_pid_find, &pid) >= 0 && pid == 0;
}

bool share_attach(struct share *s, pid_t pid, struct err *e)
{
    for (size_t i = 0; i < s->group_count; i++)
        if (!(s->doors[i] >= 0 && is_inside(s->groups[i], pid)) &&
            !cgroup_write_number(s->groups[i], "cgroup.procs", pid))
            return fail_errno(e, 503, "cannot put process %d into its control group", (int)pid);
    return true;
}

bool share_change(struct share *s, const struct limits *l, struct err *e)
{
    if (!limit_groups(s, l, e)) {
        limit_groups(s, &s->limits, NULL);
        return false;
    }
    s->limits = *l;
    return true;
}

const struct limits *share_limits(const struct share *s)
{
    return &s->limits;
}

void share_close(struct share *s)
{
    if (!s)
        return;
    close_groups(s);
    governor_remove(s->governor, s->id);
    disk_free(s->disk);
    meter_free(&s->meter);
    free(s);
}

/* --- rlimits, and who enforces what */

/* Since 5.14 RLIMIT_NPROC counts each user namespace, and so a sandbox, by itself; before that it
 * would count everything of the user. */
static bool nproc_is_ours(void)
{
    struct utsname name;
    int major = 0, minor = 0;
    return uname(&name) == 0 && sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
           (major > 5 || (major == 5 && minor >= 14));
}

static void add_rlimit(struct confine *out, int resource, int64_t value)
{
    if (out->rlimit_count == CONFINE_RLIMITS_MOST)
        return;
    out->rlimits[out->rlimit_count].resource = resource;
    out->rlimits[out->rlimit_count].limit =
        (struct rlimit){.rlim_cur = (rlim_t)value, .rlim_max = (rlim_t)value};
    out->rlimit_count++;
}

void share_rlimits(const struct share *s, struct confine *out)
{
    const struct limits *l = &s->limits;
    add_rlimit(out, RLIMIT_NICE, 0);
    add_rlimit(out, RLIMIT_RTPRIO, 0);
    add_rlimit(out, RLIMIT_MEMLOCK, MEMLOCK_BYTES);
    if (l->open_files)
        add_rlimit(out, RLIMIT_NOFILE, l->open_files);
    /* one file never grows past what the whole workspace may hold: the rest is counted */
    if (l->workspace_bytes)
        add_rlimit(out, RLIMIT_FSIZE, l->workspace_bytes);
    if (l->processes && !governs(s, CGROUP_PIDS) && nproc_is_ours())
        add_rlimit(out, RLIMIT_NPROC, l->processes);
    /* one process alone cannot outrun our counting; an allocation fails before that */
    if (l->memory_bytes && !governs(s, CGROUP_MEMORY))
        add_rlimit(out, RLIMIT_DATA, l->memory_bytes + DATA_SPARE);
}

void share_press(const struct share *s, pid_t pid)
{
    struct confine plan = {0};
    share_rlimits(s, &plan);
    for (size_t i = 0; i < plan.rlimit_count; i++)
        prlimit(pid, (enum __rlimit_resource)plan.rlimits[i].resource, &plan.rlimits[i].limit,
                NULL);
}

/* "cgroup-v2", or what does it without. */
static const char *by_group(const struct share *s, unsigned controller, const char *otherwise)
{
    for (size_t i = 0; i < s->group_count; i++)
        if (s->governor->hierarchies[i].controllers & controller)
            return s->governor->hierarchies[i].kind->name;
    return otherwise;
}

json_t *share_enforced(const struct share *s)
{
    const struct limits *l = &s->limits;
    const char *disk = s->disk ? "accounting" : "none";
    const struct {
        const char *name;
        int64_t limit;
        const char *by;
    } rows[] = {
        {"memory_bytes", l->memory_bytes, by_group(s, CGROUP_MEMORY, "accounting")},
        {"cpus", l->cpu_millis, by_group(s, CGROUP_CPU, "none")},
        {"processes", l->processes,
         by_group(s, CGROUP_PIDS, nproc_is_ours() ? "rlimit" : "accounting")},
        {"open_files", l->open_files, "rlimit"},
        {"workspace_bytes", l->workspace_bytes, disk},
        {"workspace_inodes", l->workspace_inodes, disk},
        {"tmp_bytes", l->tmp_bytes, "tmpfs"},
        {"output_bytes", l->output_bytes, "host"},
        {"execution_s", l->execution_ms, "host"},
        {"idle_s", l->idle_ms, "host"},
        {"life_s", l->life_ms, "host"},
    };
    json_t *object = json_object();
    for (size_t i = 0; i < countof(rows); i++)
        json_object_set_new(object, rows[i].name,
                            rows[i].limit ? json_string(rows[i].by) : json_null());
    return object;
}

/* --- what was used */

static bool on_pid_keep(pid_t pid, void *data)
{
    struct meter *m = data;
    if (pid > 0)
        m->pids[m->count++] = pid;
    return m->count < METER_PROCESSES_MOST;
}

static bool counts_itself(const struct share *s)
{
    return !governs(s, CGROUP_MEMORY) || !governs(s, CGROUP_PIDS);
}

/* Files without a name, held open by those who are inside: the control group misses nobody; without
 * one they are those that the last tick found. */
static void look_at_open_files(struct share *s)
{
    struct meter *m = &s->meter;
    if (!counts_itself(s)) {
        if (!m->pids)
            m->pids = xcalloc(METER_PROCESSES_MOST, sizeof *m->pids);
        m->count = 0;
        cgroup_each(s->groups[0], on_pid_keep, m);
    }
    s->nameless_bytes = disk_open_bytes(s->disk, m->pids, m->count, OPEN_FILES_LOOK);
}

/* Makes the limits' own account of a workspace move on, within the time that all shares have. */
static void walk(struct share *s)
{
    struct governor *g = s->governor;
    struct disk_use use;
    if (!s->disk)
        return;
    int64_t now = monotonic_us();
    if (now - g->walk_granted_us >= (SHARE_TICK_MS - 10) * 1000) {
        g->walk_granted_us = now;
        g->walk_us = WALK_GRANT_US;
    }
    disk_now(s->disk, &use);
    int64_t room = s->limits.workspace_bytes - use.bytes;
    disk_begin(s->disk, room / 2 > HURRY_BYTES ? room / 2 : HURRY_BYTES, HURRY_INODES);
    bool walking = disk_walking(s->disk);
    while (disk_walking(s->disk) && g->walk_us > 0) {
        int64_t from = monotonic_us();
        disk_step(s->disk, WALK_STEP);
        g->walk_us -= monotonic_us() - from;
    }
    if (walking && !disk_walking(s->disk))
        look_at_open_files(s);
}

static json_t *number_or_null(int64_t n)
{
    return n < 0 ? json_null() : json_integer(n);
}

json_t *share_usage(struct share *s)
{
    struct cgroup_usage use = group_usage(s);
    struct disk_use disk = {0};
    walk(s);
    bool disk_known = s->disk && disk_now(s->disk, &disk);
    if (!governs(s, CGROUP_MEMORY)) {
        use.memory_bytes = s->reading.memory_bytes;
        use.memory_peak_bytes = s->meter.peak_bytes;
    }
    if (!governs(s, CGROUP_PIDS))
        use.processes = s->reading.threads;
    if (use.cpu_us < 0 && counts_itself(s))
        use.cpu_us = s->meter.cpu_us;
    if (use.memory_bytes > s->memory_peak)
        s->memory_peak = use.memory_bytes;
    if (use.memory_peak_bytes < 0)
        use.memory_peak_bytes = s->memory_peak;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "cpu_s",
                     use.cpu_us < 0 ? json_null() : json_real((double)use.cpu_us / 1e6),
                     "memory_bytes", number_or_null(use.memory_bytes), "memory_peak_bytes",
                     number_or_null(use.memory_peak_bytes), "processes",
                     number_or_null(use.processes), "disk_bytes",
                     number_or_null(disk_known ? disk.bytes + s->nameless_bytes : -1),
                     "disk_inodes", number_or_null(disk_known ? disk.inodes : -1));
}

/* Whether one of the kernel's kills explains an end. It may kill several at a time, of which each
 * end is one; it may have killed a child of a cell, which explains nobody's end for long. */
static bool takes_a_kill(struct share *s, int64_t kills)
{
    int64_t now = monotonic_ms();
    if (now - s->oom_seen_ms > OOM_EXPLAINS_MS)
        s->oom_untold = 0;
    if (kills > s->oom_seen) {
        s->oom_untold += kills - s->oom_seen;
        s->oom_seen = kills;
        s->oom_seen_ms = now;
    }
    if (s->oom_untold == 0)
        return false;
    s->oom_untold--;
    return true;
}

bool share_out_of_memory(struct share *s, int64_t *limit_bytes, int64_t *peak_bytes)
{
    struct cgroup_usage use = group_usage(s);
    bool killed = takes_a_kill(s, use.oom_kills);
    if (!killed && !s->out_of_memory)
        return false;
    *limit_bytes = s->limits.memory_bytes;
    *peak_bytes = governs(s, CGROUP_MEMORY) ? use.memory_peak_bytes : s->meter.peak_bytes;
    if (*peak_bytes < 0)
        *peak_bytes = s->memory_peak > *limit_bytes ? s->memory_peak : *limit_bytes;
    s->out_of_memory = false;
    return true;
}

/* --- the tick */

static char *memory_breach(struct share *s)
{
    int64_t used = s->reading.memory_bytes, limit = s->limits.memory_bytes;
    if (governs(s, CGROUP_MEMORY) || !limit || used <= limit)
        return NULL;
    s->out_of_memory = true;
    return xasprintf("The sandbox ran out of memory: %.1f MiB were in use, its limit is %.1f MiB.",
                     (double)used / MIB, (double)limit / MIB);
}

static char *process_breach(const struct share *s)
{
    int64_t limit = s->limits.processes;
    if (governs(s, CGROUP_PIDS) || !limit || s->reading.threads <= limit)
        return NULL;
    return xasprintf("The sandbox had too many processes: %lld with their threads, its limit is "
                     "%lld.",
                     (long long)s->reading.threads, (long long)limit);
}

static char *disk_breach(const struct share *s)
{
    struct disk_use use;
    const struct limits *l = &s->limits;
    if (!s->disk)
        return NULL;
    disk_now(s->disk, &use);
    if (l->workspace_bytes && use.bytes + s->nameless_bytes > l->workspace_bytes)
        return xasprintf("The sandbox ran out of disk space: its workspace holds %.1f MiB, its "
                         "limit is %.1f MiB.",
                         (double)(use.bytes + s->nameless_bytes) / MIB,
                         (double)l->workspace_bytes / MIB);
    if (l->workspace_inodes && use.inodes > l->workspace_inodes)
        return xasprintf("The sandbox has too many files: its workspace holds %lld files and "
                         "folders, its limit is %lld.",
                         (long long)use.inodes, (long long)l->workspace_inodes);
    if (use.too_deep && (l->workspace_bytes || l->workspace_inodes))
        return xasprintf("The sandbox's workspace cannot be counted: its folders are more than %d "
                         "deep.",
                         DISK_DEPTH_MOST);
    return NULL;
}

/* Who was over it is ended for that: who comes next is judged by what is there then. */
static void forget_disk(struct share *s)
{
    disk_forget(s->disk);
    s->nameless_bytes = 0;
}

char *share_tick(struct share *s, const pid_t *roots, size_t count)
{
    governor_sweep(s->governor);
    if (counts_itself(s))
        meter_read(&s->meter, roots, count, s->limits.memory_bytes, &s->reading);
    walk(s);
    char *why = memory_breach(s);
    if (!why)
        why = process_breach(s);
    if (why)
        return why;
    why = disk_breach(s);
    if (why)
        forget_disk(s);
    return why;
}
