/* Walks a workspace in steps, depth first, holding the descriptor of each folder on the way: what
 * is renamed in the middle of a walk is still found, and no path is ever resolved that the sandbox
 * could have changed. */
#include "sandbox/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "protocol/ids.h"
#include "protocol/memory.h"

#define PAUSE_US   INT64_C(1000000)
#define PAUSE_WALK 20      /* times as long as the walk took */
#define HURRY_WALK 3       /* the same when the disk fills quickly */
#define LINKS_MOST 1000000 /* files with several names; those beyond count each time */
#define BLOCK      INT64_C(512)

/* Inodes with several names that this walk has met. */
struct links {
    uint64_t *slots; /* 0: free */
    size_t size, used;
};

struct disk {
    int root;
    DIR *stack[DISK_DEPTH_MOST];
    size_t depth; /* 0: no walk is under way */
    struct links links;
    struct disk_use walk, whole;
    bool have_whole;
    int64_t walk_us;     /* time spent in this walk */
    int64_t last_us;     /* in the last whole one */
    int64_t ended_at_us; /* monotonic; when it ended */
    struct statvfs begun;
};

static bool links_add(struct links *l, uint64_t inode)
{
    if (l->used * 2 >= l->size) {
        if (l->used >= LINKS_MOST)
            return true;
        struct links bigger = {.size = l->size ? l->size * 2 : 1024};
        bigger.slots = xcalloc(bigger.size, sizeof *bigger.slots);
        for (size_t i = 0; i < l->size; i++)
            if (l->slots[i])
                links_add(&bigger, l->slots[i]);
        free(l->slots);
        *l = bigger;
    }
    size_t at = (size_t)(inode * UINT64_C(0x9e3779b97f4a7c15)) & (l->size - 1);
    for (; l->slots[at]; at = (at + 1) & (l->size - 1))
        if (l->slots[at] == inode)
            return false;
    l->slots[at] = inode;
    l->used++;
    return true;
}

static void links_clear(struct links *l)
{
    free(l->slots);
    *l = (struct links){0};
}

struct disk *disk_open(const char *folder)
{
    int root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (root < 0)
        return NULL;
    struct disk *d = xcalloc(1, sizeof *d);
    d->root = root;
    return d;
}

void disk_free(struct disk *d)
{
    if (!d)
        return;
    while (d->depth > 0)
        closedir(d->stack[--d->depth]);
    links_clear(&d->links);
    close(d->root);
    free(d);
}

static bool enter(struct disk *d, int parent, const char *name)
{
    if (d->depth == DISK_DEPTH_MOST) {
        d->walk.too_deep = true;
        return false;
    }
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir)
        d->stack[d->depth++] = dir;
    else if (fd >= 0)
        close(fd);
    return dir != NULL;
}

bool disk_walking(const struct disk *d)
{
    return d->depth > 0;
}

void disk_begin(struct disk *d, int64_t hurry_bytes, int64_t hurry_inodes)
{
    struct statvfs now;
    if (d->depth > 0 || fstatvfs(d->root, &now) != 0)
        return;
    if (d->have_whole) {
        int64_t bytes = ((int64_t)d->begun.f_bfree - (int64_t)now.f_bfree) * (int64_t)now.f_frsize;
        int64_t inodes = (int64_t)d->begun.f_ffree - (int64_t)now.f_ffree;
        int64_t since = monotonic_us() - d->ended_at_us;
        bool hurry =
            (bytes > hurry_bytes || inodes > hurry_inodes) && since >= d->last_us * HURRY_WALK;
        bool due =
            (bytes != 0 || inodes != 0) && since >= PAUSE_US && since >= d->last_us * PAUSE_WALK;
        if (!hurry && !due)
            return;
    }
    d->begun = now;
    d->walk = (struct disk_use){0};
    d->walk_us = 0;
    enter(d, d->root, ".");
}

void disk_forget(struct disk *d)
{
    while (d->depth > 0)
        closedir(d->stack[--d->depth]);
    links_clear(&d->links);
    d->walk = d->whole = (struct disk_use){0};
    d->have_whole = false;
}

static void count(struct disk *d, int parent, const char *name)
{
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    bool folder = S_ISDIR(st.st_mode);
    if (!folder && st.st_nlink > 1 && !links_add(&d->links, st.st_ino))
        return;
    d->walk.bytes += (int64_t)st.st_blocks * BLOCK;
    d->walk.inodes++;
    if (folder)
        enter(d, parent, name);
}

static void end_walk(struct disk *d, int64_t now_us)
{
    d->whole = d->walk;
    d->walk = (struct disk_use){0};
    d->have_whole = true;
    d->last_us = d->walk_us;
    d->ended_at_us = now_us;
    links_clear(&d->links);
}

void disk_step(struct disk *d, size_t entries)
{
    if (d->depth == 0)
        return;
    int64_t from = monotonic_us();
    while (d->depth > 0 && entries > 0) {
        DIR *dir = d->stack[d->depth - 1];
        struct dirent *entry = readdir(dir);
        if (!entry) {
            closedir(dir);
            d->depth--;
        } else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            count(d, dirfd(dir), entry->d_name);
            entries--;
        }
    }
    int64_t now = monotonic_us();
    d->walk_us += now - from;
    if (d->depth == 0)
        end_walk(d, now);
}

bool disk_now(const struct disk *d, struct disk_use *out)
{
    out->bytes = d->walk.bytes > d->whole.bytes ? d->walk.bytes : d->whole.bytes;
    out->inodes = d->walk.inodes > d->whole.inodes ? d->walk.inodes : d->whole.inodes;
    out->too_deep = d->walk.too_deep || d->whole.too_deep;
    return d->have_whole;
}

/* The nameless files that one process holds open: /proc/PID/fd/N. */
static int64_t open_of(pid_t pid, dev_t device, struct links *seen, size_t *entries)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *dir = opendir(path);
    struct dirent *entry;
    struct stat st;
    int64_t bytes = 0;
    while (dir && *entries > 0 && (entry = readdir(dir))) {
        --*entries;
        if (entry->d_name[0] != '.' && fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 &&
            S_ISREG(st.st_mode) && st.st_dev == device && st.st_nlink == 0 &&
            links_add(seen, st.st_ino))
            bytes += (int64_t)st.st_blocks * BLOCK;
    }
    if (dir)
        closedir(dir);
    return bytes;
}

int64_t disk_open_bytes(const struct disk *d, const pid_t *pids, size_t count, size_t entries)
{
    struct stat st;
    struct links seen = {0};
    int64_t bytes = 0;
    if (fstat(d->root, &st) != 0)
        return 0;
    for (size_t i = 0; i < count && entries > 0; i++)
        bytes += open_of(pids[i], st.st_dev, &seen, &entries);
    links_clear(&seen);
    return bytes;
}
