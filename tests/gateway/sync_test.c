/* When what was changed comes to the disk, with a clock, a wait and syncs of our own: nothing here
 * depends on how fast the machine is. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "gateway/core/keepsake.h"
#include "gateway/store/sync.h"
#include "protocol/memory.h"

#include <cmocka.h>

#define LATEST_MS 50 /* docs/gateway.md; the other half of 100 ms is the disk's */
#define TIMES     4  /* others change something while it is waited */

int __wrap_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock,
                                  const struct timespec *until);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_syncfs(int fd);

static struct {
    struct sync *sync;
    const char *others; /* the file that they change meanwhile; NULL: they do not */
    int changes;        /* that they made since */
    _Atomic int64_t now_ms, latest_ms;
    _Atomic int with_all, bytes_alone, filesystems;
    _Atomic bool held;  /* what waits goes on when `go` says so */
    _Atomic bool stuck; /* as held, for what syncs all of a file, or a file system */
    sem_t synced;       /* of each sync */
    sem_t go;
} world;

static int64_t ms_of(const struct timespec *at)
{
    return at->tv_sec * 1000 + at->tv_nsec / 1000000;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
    (void)clock;
    *out = (struct timespec){world.now_ms / 1000, world.now_ms % 1000 * 1000000};
    return 0;
}

/* Others change something ten milliseconds later each time; then the time is over. */
int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock,
                                  const struct timespec *until)
{
    (void)cond;
    if (world.others && world.changes++ < TIMES) {
        world.now_ms += 10;
        pthread_mutex_unlock(lock);
        sync_path(world.sync, world.others);
        pthread_mutex_lock(lock);
        return 0;
    }
    world.latest_ms = ms_of(until);
    if (world.held) {
        pthread_mutex_unlock(lock);
        sem_wait(&world.go);
        pthread_mutex_lock(lock);
    }
    return ETIMEDOUT;
}

static int seen(_Atomic int *count)
{
    *count += 1;
    sem_post(&world.synced);
    return 0;
}

static void take_long(void)
{
    if (world.stuck)
        sem_wait(&world.go);
}

int __wrap_fsync(int fd)
{
    (void)fd;
    take_long();
    return seen(&world.with_all);
}

int __wrap_fdatasync(int fd)
{
    (void)fd;
    return seen(&world.bytes_alone);
}

int __wrap_syncfs(int fd)
{
    (void)fd;
    take_long();
    return seen(&world.filesystems);
}

struct place {
    char folder[64], *file, *other;
};

static void make_place(struct place *p)
{
    *p = (struct place){.folder = "/tmp/sync_test-XXXXXX"};
    assert_non_null(mkdtemp(p->folder));
    p->file = xasprintf("%s/file", p->folder);
    p->other = xasprintf("%s/other", p->folder);
    close(open(p->file, O_WRONLY | O_CREAT, 0600));
    close(open(p->other, O_WRONLY | O_CREAT, 0600));
    world.others = NULL;
    world.changes = 0;
    world.now_ms = 1000;
    world.latest_ms = 0;
    world.with_all = world.bytes_alone = world.filesystems = 0;
    world.held = world.stuck = false;
    sem_init(&world.synced, 0, 0);
    sem_init(&world.go, 0, 0);
}

static void clear_place(struct place *p)
{
    sync_close(world.sync);
    sem_destroy(&world.synced);
    sem_destroy(&world.go);
    unlink(p->file);
    unlink(p->other);
    rmdir(p->folder);
    free(p->file);
    free(p->other);
}

/* However much is changed meanwhile. */
static void a_change_is_not_put_off(void **state)
{
    (void)state;
    struct place p;
    make_place(&p);
    world.others = p.other;
    world.sync = sync_new(p.folder, false);
    sync_path(world.sync, p.file);
    sem_wait(&world.synced);
    sem_wait(&world.synced); /* both files */
    assert_in_range(world.latest_ms, 1001, 1000 + LATEST_MS);
    assert_int_equal(world.bytes_alone, 2);
    clear_place(&p);
}

static void an_open_file_is_synced_with_its_mode(void **state)
{
    (void)state;
    struct place p;
    struct err e;
    make_place(&p);
    world.sync = sync_new(p.folder, false);
    assert_true(sync_settle_fd(world.sync, open(p.file, O_RDONLY), &e));
    sem_wait(&world.synced);
    assert_in_range(world.latest_ms, 1001, 1000 + LATEST_MS);
    assert_int_equal(world.with_all, 1);
    assert_false(sync_settle_fd(world.sync, -1, &e));
    assert_int_equal(e.status, 503);
    clear_place(&p);
}

/* Who changes files faster than the disk takes them waits for it: descriptors are for all. */
static void so_many_are_held_open_and_no_more(void **state)
{
    (void)state;
    struct place p;
    struct err e;
    make_place(&p);
    world.held = true;
    world.sync = sync_new(p.folder, false);
    for (int i = 0; i < SYNC_OPEN_MOST; i++)
        assert_true(sync_settle_fd(world.sync, open(p.file, O_RDONLY), &e));
    assert_int_equal(world.with_all, 0);
    for (int i = 1; i <= 3; i++) {
        assert_true(sync_settle_fd(world.sync, open(p.file, O_RDONLY), &e));
        assert_int_equal(world.with_all, i);
    }
    world.held = false;
    sem_post(&world.go);
    for (int i = 0; i < SYNC_OPEN_MOST + 3; i++)
        sem_wait(&world.synced);
    assert_int_equal(world.with_all, SYNC_OPEN_MOST + 3);
    clear_place(&p);
}

static void a_file_system_is_synced_as_soon(void **state)
{
    (void)state;
    struct place p;
    struct err e;
    make_place(&p);
    world.sync = sync_new(p.folder, false);
    assert_true(sync_settle_filesystem(world.sync, open(p.folder, O_RDONLY), &e));
    sem_wait(&world.synced);
    assert_in_range(world.latest_ms, 1001, 1000 + LATEST_MS);
    assert_int_equal(world.filesystems, 1);
    clear_place(&p);
}

/* However long the disk takes for it. */
static void nobody_waits_for_the_file_of_another(void **state)
{
    (void)state;
    struct place p;
    struct err e;
    make_place(&p);
    world.stuck = true;
    world.sync = sync_new(p.folder, false);
    assert_true(sync_settle_fd(world.sync, open(p.file, O_RDONLY), &e));
    assert_true(sync_settle_filesystem(world.sync, open(p.folder, O_RDONLY), &e));
    sync_path(world.sync, p.other);
    sem_wait(&world.synced);
    assert_int_equal(world.bytes_alone, 1);
    assert_int_equal(world.with_all + world.filesystems, 0);
    world.stuck = false;
    sem_post(&world.go);
    sem_post(&world.go);
    sem_wait(&world.synced);
    sem_wait(&world.synced);
    assert_int_equal(world.with_all, 1);
    assert_int_equal(world.filesystems, 1);
    clear_place(&p);
}

static void in_full_nothing_is_put_off(void **state)
{
    (void)state;
    struct place p;
    struct err e;
    make_place(&p);
    world.sync = sync_new(p.folder, true);
    assert_true(sync_settle_fd(world.sync, open(p.file, O_RDONLY), &e));
    assert_int_equal(world.with_all, 1);
    assert_true(sync_settle_filesystem(world.sync, open(p.folder, O_RDONLY), &e));
    assert_int_equal(world.filesystems, 1);
    sync_path(world.sync, p.file);
    assert_true(sync_now(world.sync, &e));
    assert_int_equal(world.bytes_alone, 1);
    clear_place(&p);
}

/* It is written and synced then, by nobody's thread. */
static void keepsakes_are_written_as_soon(void **state)
{
    (void)state;
    assert_in_range(KEEPSAKE_DELAY_MS, 1, LATEST_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_is_not_put_off),
        cmocka_unit_test(an_open_file_is_synced_with_its_mode),
        cmocka_unit_test(so_many_are_held_open_and_no_more),
        cmocka_unit_test(a_file_system_is_synced_as_soon),
        cmocka_unit_test(nobody_waits_for_the_file_of_another),
        cmocka_unit_test(in_full_nothing_is_put_off),
        cmocka_unit_test(keepsakes_are_written_as_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
