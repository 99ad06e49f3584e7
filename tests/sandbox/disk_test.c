/* Counting a workspace: what counts, what does not, and that a walk can be broken into steps while
 * the tree changes. */
#include "tests/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/disk.h"

static char root[64];

static int on_remove(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static int setup(void **state)
{
    snprintf(root, sizeof root, "/tmp/disk-test-XXXXXX");
    *state = mkdtemp(root) ? disk_open(root) : NULL;
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    disk_free(*state);
    return nftw(root, on_remove, 32, FTW_DEPTH | FTW_PHYS);
}

static char *below(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

/* Open when it returns: the caller closes it. */
static int file_of(const char *name, size_t size)
{
    int fd = open(below(name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    char block[4096] = {1};
    assert_true(fd >= 0);
    for (size_t done = 0; done < size; done += sizeof block)
        assert_int_equal(write(fd, block, sizeof block), sizeof block);
    return fd;
}

static int64_t blocks(int fd)
{
    struct stat st;
    assert_int_equal(fsync(fd), 0); /* file systems that put off the choice of blocks choose now */
    assert_int_equal(fstat(fd, &st), 0);
    return (int64_t)st.st_blocks * 512;
}

static void folder_of(const char *name)
{
    assert_int_equal(mkdir(below(name), 0700), 0);
}

static struct disk_use whole(struct disk *d)
{
    struct disk_use use;
    disk_begin(d, 0, 0);
    while (disk_walking(d))
        disk_step(d, 100);
    assert_true(disk_now(d, &use));
    return use;
}

static int64_t folder_blocks(const char *name)
{
    struct stat st;
    assert_int_equal(stat(below(name), &st), 0);
    return (int64_t)st.st_blocks * 512;
}

static void test_counts_files_and_folders(void **state)
{
    folder_of("a");
    folder_of("a/b");
    int one = file_of("one", 40960), two = file_of("a/b/two", 8192);
    int64_t expected = blocks(one) + blocks(two) + folder_blocks("a") + folder_blocks("a/b");
    close(one);
    close(two);
    struct disk_use use = whole(*state);
    assert_int_equal(use.inodes, 4);
    assert_int_equal(use.bytes, expected);
    assert_false(use.too_deep);
}

static void test_a_file_with_two_names_counts_once(void **state)
{
    int fd = file_of("one", 40960);
    int64_t expected = blocks(fd);
    close(fd);
    char first[4096];
    snprintf(first, sizeof first, "%s", below("one"));
    assert_int_equal(link(first, below("two")), 0);
    struct disk_use use = whole(*state);
    assert_int_equal(use.inodes, 1);
    assert_int_equal(use.bytes, expected);
}

static void test_links_are_not_followed(void **state)
{
    assert_int_equal(symlink("/usr", below("out")), 0);
    assert_int_equal(symlink(".", below("in")), 0);
    assert_int_equal(whole(*state).inodes, 2);
}

static void test_a_sparse_file_counts_what_it_holds(void **state)
{
    int fd = file_of("sparse", 4096);
    assert_int_equal(ftruncate(fd, 1 << 30), 0);
    close(fd);
    assert_true(whole(*state).bytes < 1 << 20);
}

static void test_deeper_than_can_be_walked(void **state)
{
    char path[3 * DISK_DEPTH_MOST + 8] = "d";
    for (int i = 0; i < DISK_DEPTH_MOST + 2; i++) {
        folder_of(path);
        strcat(path, "/d");
    }
    assert_true(whole(*state).too_deep);
}

static void test_goes_in_steps_while_the_tree_moves(void **state)
{
    struct disk_use use;
    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof name, "d%d", i);
        folder_of(name);
        snprintf(name, sizeof name, "d%d/f", i);
        close(file_of(name, 4096));
    }
    disk_begin(*state, 0, 0);
    disk_step(*state, 1); /* one folder is entered now */
    assert_false(disk_now(*state, &use));
    assert_int_equal(use.inodes, 1);
    for (int i = 0; i < 20; i++) {
        char from[16], path[4096];
        snprintf(from, sizeof from, "d%d", i);
        snprintf(path, sizeof path, "%s", below(from));
        snprintf(from, sizeof from, "e%d", i);
        assert_int_equal(rename(path, below(from)), 0);
    }
    while (disk_walking(*state))
        disk_step(*state, 1);
    /* the entered folder went on under its new name; what is walked under both names counts twice
     * at worst and is right again in the next walk, but nothing is lost */
    assert_true(disk_now(*state, &use));
    assert_in_range(use.inodes, 2, 80);
}

static void test_removed_but_open(void **state)
{
    pid_t self = getpid();
    struct disk_use before = whole(*state);
    int fd = file_of("ghost", 81920), again = dup(fd);
    int64_t expected = blocks(fd);
    assert_int_equal(disk_open_bytes(*state, &self, 1, 10000), 0);
    assert_int_equal(unlink(below("ghost")), 0);
    assert_int_equal(disk_open_bytes(*state, &self, 1, 10000), expected);
    assert_int_equal(disk_open_bytes(*state, &self, 1, 0), 0);
    close(fd);
    close(again);
    assert_int_equal(disk_open_bytes(*state, &self, 1, 10000), 0);
    assert_int_equal(before.inodes, 0);
}

static void test_no_folder(void **state)
{
    (void)state;
    assert_null(disk_open("/nonexistent/folder"));
    assert_int_equal(errno, ENOENT);
    assert_int_equal(symlink("/tmp", below("link")), 0);
    assert_null(disk_open(below("link")));
}

int main(void)
{
#define ROW(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        ROW(test_counts_files_and_folders),  ROW(test_a_file_with_two_names_counts_once),
        ROW(test_links_are_not_followed),    ROW(test_a_sparse_file_counts_what_it_holds),
        ROW(test_deeper_than_can_be_walked), ROW(test_goes_in_steps_while_the_tree_moves),
        ROW(test_removed_but_open),          ROW(test_no_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
