/* The list of what was changed in the state folder, and its thread; and two more of each, for the
 * files of users and for whole file systems: how long the disk takes for those is theirs to say.
 *
 * Invariant: what is in the list is synced by a pass that begins after it was said; one pass at a
 * time, so whoever made one knows that all before is on the disk. */
#include "gateway/store/sync.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "gateway/log.h"
#include "protocol/memory.h"

struct change {
    struct change *next;
    char *path; /* NULL: fd */
    int fd;     /* -1: path */
};

/* What its own thread syncs; by descriptor. */
struct lane {
    struct sync *sync;
    pthread_t thread;
    bool (*act)(int fd);
    struct change *changes;
    size_t open; /* of them, and of those that are being synced */
};

struct sync {
    char *wal;
    char *dir;
    bool full;
    pthread_t thread;
    pthread_mutex_t lock;    /* of what follows */
    pthread_mutex_t passing; /* held through a pass */
    pthread_cond_t changed;
    struct change *changes; /* by path */
    struct lane files, filesystems;
    _Atomic uint64_t round;
    bool database, ending;
};

static bool is_folder(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

/* bytes_alone: of a file that grows, whose mode is not news. */
static bool sync_one(int fd, bool bytes_alone)
{
    int status = bytes_alone && !is_folder(fd) ? fdatasync(fd) : fsync(fd);
    return status == 0 || errno == EINVAL || errno == EROFS;
}

static int open_path(const char *path)
{
    return open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

bool sync_file(const char *path, struct err *e)
{
    int fd = open_path(path);
    bool synced = fd >= 0 && sync_one(fd, true);
    if (!synced)
        fail_errno(e, 503, "%.200s cannot be synced", path);
    if (fd >= 0)
        close(fd);
    return synced;
}

static bool sync_change(struct change *change, struct err *e)
{
    int fd = open_path(change->path);
    bool synced = fd < 0 || sync_one(fd, true); /* gone: nothing is to be kept of it */
    if (!synced)
        fail_errno(e, 503, "the disk did not take %.150s", change->path);
    if (fd >= 0)
        close(fd);
    free(change->path);
    free(change);
    return synced;
}

/* passing is held. */
static bool pass(struct sync *y, bool *database, struct err *e)
{
    pthread_mutex_lock(&y->lock);
    struct change *changes = y->changes;
    *database = y->database;
    y->changes = NULL;
    y->database = false;
    atomic_fetch_add(&y->round, 1);
    pthread_mutex_unlock(&y->lock);
    bool good = true;
    while (changes) {
        struct change *next = changes->next;
        good = sync_change(changes, good ? e : NULL) && good;
        changes = next;
    }
    return good;
}

static void pass_all(struct sync *y)
{
    struct err e = {0};
    bool database;
    pthread_mutex_lock(&y->passing);
    bool good = pass(y, &database, &e);
    if (good && database && access(y->wal, F_OK) == 0)
        good = sync_file(y->wal, &e) && sync_file(y->dir, &e);
    pthread_mutex_unlock(&y->passing);
    if (!good)
        log_error("what was written may not survive a power cut", F_STR("why", e.text));
}

static void delay(struct sync *y)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += SYNC_DELAY_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    while (!y->ending && pthread_cond_timedwait(&y->changed, &y->lock, &until) == 0)
        ;
}

static bool act_file(int fd)
{
    return sync_one(fd, false);
}

static bool act_filesystem(int fd)
{
    return syncfs(fd) == 0;
}

static void sync_lane(struct lane *l, struct change *list)
{
    struct change *next;
    for (; list; list = next) {
        next = list->next;
        if (!l->act(list->fd))
            log_error("what was written may not survive a power cut",
                      F_STR("why", strerror(errno)));
        close(list->fd);
        free(list);
        pthread_mutex_lock(&l->sync->lock);
        l->open--;
        pthread_mutex_unlock(&l->sync->lock);
    }
}

static void *run_lane(void *argument)
{
    struct lane *l = argument;
    struct sync *y = l->sync;
    pthread_mutex_lock(&y->lock);
    for (;;) {
        while (!l->changes && !y->ending)
            pthread_cond_wait(&y->changed, &y->lock);
        if (!l->changes)
            break;
        delay(y);
        struct change *list = take(&l->changes);
        pthread_mutex_unlock(&y->lock);
        sync_lane(l, list);
        pthread_mutex_lock(&y->lock);
    }
    pthread_mutex_unlock(&y->lock);
    return NULL;
}

static void begin_lane(struct sync *y, struct lane *l, bool (*act)(int fd))
{
    *l = (struct lane){.sync = y, .act = act};
    pthread_create(&l->thread, NULL, run_lane, l);
}

static void *run(void *argument)
{
    struct sync *y = argument;
    pthread_mutex_lock(&y->lock);
    for (;;) {
        while (!y->changes && !y->database && !y->ending)
            pthread_cond_wait(&y->changed, &y->lock);
        if (!y->changes && !y->database)
            break;
        delay(y);
        pthread_mutex_unlock(&y->lock);
        pass_all(y);
        pthread_mutex_lock(&y->lock);
    }
    pthread_mutex_unlock(&y->lock);
    return NULL;
}

struct sync *sync_new(const char *state_dir, bool full)
{
    struct sync *y = xcalloc(1, sizeof *y);
    pthread_condattr_t monotonic;
    y->dir = xstrdup(state_dir);
    y->wal = xasprintf("%s/warmcell.db-wal", state_dir);
    y->full = full;
    y->round = 1;
    pthread_mutex_init(&y->lock, NULL);
    pthread_mutex_init(&y->passing, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&y->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_create(&y->thread, NULL, run, y);
    begin_lane(y, &y->files, act_file);
    begin_lane(y, &y->filesystems, act_filesystem);
    return y;
}

void sync_close(struct sync *y)
{
    if (!y)
        return;
    pthread_mutex_lock(&y->lock);
    y->ending = true;
    pthread_cond_broadcast(&y->changed);
    pthread_mutex_unlock(&y->lock);
    pthread_join(y->thread, NULL);
    pthread_join(y->files.thread, NULL);
    pthread_join(y->filesystems.thread, NULL);
    pthread_cond_destroy(&y->changed);
    pthread_mutex_destroy(&y->passing);
    pthread_mutex_destroy(&y->lock);
    free(y->wal);
    free(y->dir);
    free(y);
}

bool sync_is_full(const struct sync *y)
{
    return y && y->full;
}

/* lock is held. */
static bool is_said(const struct sync *y, const char *path)
{
    for (const struct change *change = y->changes; change; change = change->next)
        if (strcmp(change->path, path) == 0)
            return true;
    return false;
}

static void add(struct change **list, char *path, int fd)
{
    struct change *change = xmalloc(sizeof *change);
    *change = (struct change){*list, path, fd};
    *list = change;
}

uint64_t sync_path(struct sync *y, const char *path)
{
    if (!y)
        return 0;
    pthread_mutex_lock(&y->lock);
    if (!y->changes && !y->database)
        pthread_cond_broadcast(&y->changed);
    if (!is_said(y, path))
        add(&y->changes, xstrdup(path), -1);
    uint64_t round = y->round;
    pthread_mutex_unlock(&y->lock);
    return round;
}

/* fd: taken. lock is held. */
static void add_fd(struct lane *l, int fd)
{
    l->open++;
    if (!l->changes)
        pthread_cond_broadcast(&l->sync->changed);
    add(&l->changes, NULL, fd);
}

/* fd: taken, unless there are too many already. */
static bool add_file(struct sync *y, int fd)
{
    pthread_mutex_lock(&y->lock);
    bool fits = y->files.open < SYNC_OPEN_MOST;
    if (fits)
        add_fd(&y->files, fd);
    pthread_mutex_unlock(&y->lock);
    return fits;
}

/* lock is held. Is all of the file system to be synced already? */
static bool is_filesystem_said(const struct sync *y, int fd)
{
    struct stat st, other;
    if (fstat(fd, &st) != 0)
        return false;
    for (const struct change *change = y->filesystems.changes; change; change = change->next)
        if (fstat(change->fd, &other) == 0 && other.st_dev == st.st_dev)
            return true;
    return false;
}

void sync_filesystem(struct sync *y, int fd)
{
    pthread_mutex_lock(&y->lock);
    bool said = is_filesystem_said(y, fd);
    if (!said)
        add_fd(&y->filesystems, fd);
    pthread_mutex_unlock(&y->lock);
    if (said)
        close(fd);
}

void sync_database(struct sync *y)
{
    pthread_mutex_lock(&y->lock);
    if (!y->changes && !y->database)
        pthread_cond_broadcast(&y->changed);
    y->database = true;
    pthread_mutex_unlock(&y->lock);
}

uint64_t sync_round(const struct sync *y)
{
    return y ? atomic_load(&y->round) : 0;
}

bool sync_now(struct sync *y, struct err *e)
{
    bool database;
    pthread_mutex_lock(&y->passing);
    bool good = pass(y, &database, e);
    pthread_mutex_unlock(&y->passing);
    if (database)
        sync_database(y); /* not ours to do: the thread does it */
    return good;
}

/* fd: taken. */
static bool settled(bool good, int fd, struct err *e)
{
    if (!good)
        fail_errno(e, 503, "it is done, but not on the disk");
    if (fd >= 0)
        close(fd);
    return good;
}

bool sync_settle_fd(struct sync *y, int fd, struct err *e)
{
    if (fd >= 0 && !y->full && add_file(y, fd))
        return true;
    return settled(fd >= 0 && sync_one(fd, false), fd, e);
}

bool sync_settle_filesystem(struct sync *y, int fd, struct err *e)
{
    if (fd < 0 || y->full)
        return settled(fd >= 0 && syncfs(fd) == 0, fd, e);
    sync_filesystem(y, fd);
    return true;
}
