/* What is not acknowledged: in memory, then in a file without a name, read back as it was. */
#include "tests/unit.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>

#include "kernel/host/spill.h"
#include "kernel/host/unacked.h"

static char *folder(void)
{
    char *path = xstrdup("/tmp/unacked-XXXXXX");
    assert_non_null(mkdtemp(path));
    return path;
}

static void add(struct unacked *u, uint64_t number, size_t len)
{
    struct buffer frame = {0};
    buffer_printf(&frame, "%llu:", (unsigned long long)number);
    while (frame.len < len)
        buffer_add(&frame, &(char){(char)('a' + (frame.len + number) % 26)}, 1);
    unacked_add(u, &frame);
    assert_int_equal(frame.len, 0);
    assert_int_equal(unacked_last(u), number);
}

static void is_as_added(struct unacked *u, uint64_t number, size_t len)
{
    char head[24];
    struct bytes got = unacked_get(u, number);
    int digits = snprintf(head, sizeof head, "%llu:", (unsigned long long)number);
    assert_int_equal(got.len, len);
    assert_int_equal(unacked_size(u, number), len);
    assert_memory_equal(got.data, head, digits);
    for (size_t i = (size_t)digits; i < len; i++)
        if (got.data[i] != (char)('a' + (i + number) % 26))
            stop_test("message %llu differs at %zu", (unsigned long long)number, i);
}

static void counts_from_one_and_forgets(void **state)
{
    (void)state;
    struct unacked *u = unacked_new("/nonexistent", 1 << 20);
    assert_int_equal(unacked_last(u), 0);
    assert_int_equal(unacked_first(u), 1);
    unacked_ack(u, 100);
    assert_int_equal(unacked_first(u), 1);
    for (uint64_t n = 1; n <= 200; n++)
        add(u, n, 100);
    unacked_ack(u, 150);
    unacked_ack(u, 20);
    assert_int_equal(unacked_first(u), 151);
    assert_int_equal(unacked_bytes(u), 50 * 100);
    for (uint64_t n = 151; n <= 200; n++)
        is_as_added(u, n, 100);
    unacked_ack(u, UINT64_MAX);
    assert_int_equal(unacked_first(u), 201);
    assert_int_equal(unacked_bytes(u), 0);
    add(u, 201, 10);
    is_as_added(u, 201, 10);
    unacked_free(u);
    unacked_free(NULL);
}

static size_t names_in(const char *path)
{
    size_t count = 0;
    DIR *entries = opendir(path);
    while (readdir(entries))
        count++;
    closedir(entries);
    return count - 2;
}

static void goes_to_a_file_beyond_the_bound(void **state)
{
    (void)state;
    scoped(string) char *path = folder();
    struct unacked *u = unacked_new(path, 10 * 1000);
    for (uint64_t n = 1; n <= 100; n++)
        add(u, n, 1000 + n);
    assert_true(unacked_in_memory(u, 1));
    assert_false(unacked_in_memory(u, 100));
    assert_int_equal(names_in(path), 0);
    for (uint64_t n = 100; n >= 1; n--)
        is_as_added(u, n, 1000 + n);
    unacked_ack(u, 95);
    add(u, 101, 1000); /* there is room in memory again */
    assert_true(unacked_in_memory(u, 101));
    assert_false(unacked_in_memory(u, 96));
    for (uint64_t n = 96; n <= 100; n++)
        is_as_added(u, n, 1000 + n);
    is_as_added(u, 101, 1000);
    unacked_ack(u, 101);
    for (uint64_t n = 102; n <= 130; n++)
        add(u, n, 2000);
    for (uint64_t n = 102; n <= 130; n++)
        is_as_added(u, n, 2000);
    unacked_free(u);
    rmdir(path);
}

static void keeps_it_in_memory_when_there_is_no_disk(void **state)
{
    (void)state;
    struct unacked *u = unacked_new("/nonexistent/folder", 100);
    for (uint64_t n = 1; n <= 20; n++)
        add(u, n, 1000);
    for (uint64_t n = 1; n <= 20; n++)
        is_as_added(u, n, 1000);
    unacked_free(u);
}

static void gives_disk_space_back(void **state)
{
    (void)state;
    scoped(string) char *path = folder();
    struct spill *spill = spill_new(path);
    struct err e;
    int64_t offset;
    char *data = xcalloc(1, 1 << 20), *back = xmalloc(1 << 20);
    for (int i = 0; i < 16; i++) {
        memset(data, i, 1 << 20);
        assert_true(spill_write(spill, (struct bytes){data, 1 << 20}, &offset, &e));
        assert_int_equal(offset, (int64_t)i << 20);
    }
    spill_forget(spill, 8 << 20);
    assert_int_equal(spill_end(spill), 16 << 20);
    assert_true(spill_read(spill, 9 << 20, back, 1 << 20, &e));
    memset(data, 9, 1 << 20);
    assert_memory_equal(back, data, 1 << 20);
    assert_false(spill_read(spill, 16 << 20, back, 1, &e));
    assert_int_equal(e.status, 500);
    spill_forget(spill, 16 << 20);
    assert_int_equal(spill_end(spill), 0);
    assert_true(spill_write(spill, bytes_of("again"), &offset, &e));
    assert_int_equal(offset, 0);
    free(data);
    free(back);
    spill_free(spill);
    spill_free(NULL);
    rmdir(path);
}

static void says_that_the_disk_is_full(void **state)
{
    (void)state;
    scoped(string) char *path = folder();
    struct spill *spill = spill_new(path);
    struct err e;
    int64_t offset;
    struct rlimit before, small = {4096, 4096};
    getrlimit(RLIMIT_FSIZE, &before);
    small.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    char data[3000] = "first";
    assert_true(spill_write(spill, (struct bytes){data, sizeof data}, &offset, &e));
    assert_false(spill_write(spill, (struct bytes){data, sizeof data}, &offset, &e));
    assert_int_equal(e.status, 503);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_true(spill_write(spill, (struct bytes){data, sizeof data}, &offset, &e));
    char back[5];
    assert_true(spill_read(spill, offset, back, 5, &e));
    assert_memory_equal(back, "first", 5);
    spill_free(spill);
    rmdir(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_from_one_and_forgets),
        cmocka_unit_test(goes_to_a_file_beyond_the_bound),
        cmocka_unit_test(keeps_it_in_memory_when_there_is_no_disk),
        cmocka_unit_test(gives_disk_space_back),
        cmocka_unit_test(says_that_the_disk_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
