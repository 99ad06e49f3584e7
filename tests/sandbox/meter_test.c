/* Counting processes through /proc: the texts that hide a trap, and a real family. */
#include "tests/unit.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/meter.h"

#define MIB (1024 * 1024)

static void test_fields(void **state)
{
    (void)state;
    static const char text[] = "Name:\tRssAnon:\nVmSwap:\t       0 kB\nRssAnon:\t    1234 kB\n";
    assert_int_equal(meter_field(text, "RssAnon:"), 1234 * 1024);
    assert_int_equal(meter_field(text, "VmSwap:"), 0);
    assert_int_equal(meter_field(text, "RssShmem:"), -1);
    assert_int_equal(meter_field("", "RssShmem:"), -1);
}

static void test_ticks(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ticks;
    } rows[] = {
        {"7 (a) S 1 2 3 4 5 6 7 8 9 10 100 20 3 4 20 0 1 0\n", 127},
        {"7 (a) S 1 (b) R 1 2 3 4 5 6 7 8 9 10 100 20 3 4 20 0 1 0\n", 127},
        {"7 (a b\n) S 1 -1 3 4 5 6 7 8 9 10 1 1 1 1 20\n", 4},
        {"7 (a) S 1 2 3", -1},
        {"", -1},
    };
    for (size_t i = 0; i < countof(rows); i++)
        assert_int_equal(meter_ticks(rows[i].text), rows[i].ticks);
}

/* A child with so much memory of its own and a grandchild; says 'r' when it stands. */
static pid_t family(int *ready, size_t own)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        volatile char *memory = malloc(own);
        for (size_t i = 0; memory && i < own; i += 4096)
            memory[i] = 1;
        if (fork() == 0) {
            char word = write(ends[1], "r", 1) == 1 ? 'r' : 'w';
            (void)word;
            pause();
        }
        pause();
        _exit(0);
    }
    close(ends[1]);
    *ready = ends[0];
    return child;
}

static void test_a_family_and_what_it_shares(void **state)
{
    (void)state;
    /* stands for a fork server's libraries: all share it with this process */
    size_t shared = 64 * MIB;
    volatile char *libraries = malloc(shared);
    assert_non_null(libraries);
    for (size_t i = 0; i < shared; i += 4096)
        libraries[i] = 1;
    int ready;
    char word;
    pid_t child = family(&ready, 32 * MIB);
    assert_int_equal(read(ready, &word, 1), 1);

    struct meter m = {0};
    struct meter_reading got;
    meter_read(&m, &child, 1, 0, &got);
    assert_int_equal(got.processes, 2);
    assert_int_equal(got.threads, 2);
    /* shared by three: two thirds of it and the 32 MiB of both, once */
    assert_in_range(got.memory_bytes, 64 * MIB, 96 * MIB);
    assert_int_equal(m.peak_bytes, got.memory_bytes);
    int64_t first = got.memory_bytes;

    pid_t grandchild = m.pids[1];
    pid_t twice[] = {child, grandchild, child};
    meter_read(&m, twice, 3, first - 1, &got); /* above the limit: read exactly again */
    assert_int_equal(got.processes, 2);
    assert_in_range(got.memory_bytes, first - MIB, first + MIB);

    kill(grandchild, SIGKILL);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    meter_read(&m, &child, 1, 1, &got);
    assert_int_equal(got.processes, 0);
    assert_int_equal(got.memory_bytes, 0);
    meter_free(&m);
    close(ready);
    free((void *)libraries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_ticks),
        cmocka_unit_test(test_a_family_and_what_it_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
