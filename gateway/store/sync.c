/* The list of what was changed, and its thread.
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
    int fd;
};

struct sync {
    char *wal;
    char *dir;
    bool full;
    pthread_t thread;
    pthread_mutex_t lock;    /* of what follows */
    pthread_mutex_t passing; /* held through a pass */
    pthread_cond_t changed;
    struct change *changes;
    _Atomic uint64_t round;
    bool database, ending;
};

static bool is_folder(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool sync_open(int fd)
{
    return (is_folder(fd) ? fsync(fd) : fdatasync(fd)) == 0 || errno == EINVAL || errno == EROFS;
}

static int open_path(const char *path)
{
    return open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

bool sync_file(const char *path, struct err *e)
{
    int fd = open_path(path);
    bool synced = fd >= 0 && sync_open(fd);
    if (!synced)
        fail_errno(e, 503, "%.200s cannot be synced", path);
    if (fd >= 0)
        close(fd);
    return synced;
}

static bool sync_change(struct change *change, struct err *e)
{
    int fd = change->path ? open_path(change->path) : change->fd;
    bool synced = fd < 0 || sync_open(fd); /* gone: nothing is to be kept of it */
    if (!synced)
        fail_errno(e, 503, "the disk did not take %.150s", change->path ? change->path : "a file");
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
    return y;
}

void sync_close(struct sync *y)
{
    if (!y)
        return;
    pthread_mutex_lock(&y->lock);
    y->ending = true;
    pthread_cond_signal(&y->changed);
    pthread_mutex_unlock(&y->lock);
    pthread_join(y->thread, NULL);
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
        if (change->path && strcmp(change->path, path) == 0)
            return true;
    return false;
}

static void add(struct sync *y, char *path, int fd)
{
    struct change *change = xmalloc(sizeof *change);
    *change = (struct change){y->changes, path, fd};
    if (!y->changes && !y->database)
        pthread_cond_signal(&y->changed);
    y->changes = change;
}

uint64_t sync_path(struct sync *y, const char *path)
{
    if (!y)
        return 0;
    pthread_mutex_lock(&y->lock);
    if (!is_said(y, path))
        add(y, xstrdup(path), -1);
    uint64_t round = y->round;
    pthread_mutex_unlock(&y->lock);
    return round;
}

void sync_fd(struct sync *y, int fd)
{
    pthread_mutex_lock(&y->lock);
    add(y, NULL, fd);
    pthread_mutex_unlock(&y->lock);
}

void sync_database(struct sync *y)
{
    pthread_mutex_lock(&y->lock);
    if (!y->changes && !y->database)
        pthread_cond_signal(&y->changed);
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
