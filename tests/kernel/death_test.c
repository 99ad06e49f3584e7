/* Why something ended: words and sentences. */
#include "tests/unit.h"

#include <signal.h>

#include "kernel/host/death.h"

#define EXITED(status) ((status) << 8)

static const struct {
    struct interpreter_end end;
    enum cause cause;
    const char *word, *error_name, *text;
} rows[] = {
    {{.wait_status = EXITED(0)},
     CAUSE_EXIT_STATUS,
     "exit_status",
     "KernelDied",
     "the interpreter ended with status 0"},
    {{.wait_status = EXITED(7)},
     CAUSE_EXIT_STATUS,
     "exit_status",
     "KernelDied",
     "the interpreter ended with status 7"},
    {{.wait_status = SIGSEGV},
     CAUSE_SIGNAL,
     "signal",
     "KernelDied",
     "the interpreter was killed by signal 11 (SIGSEGV)"},
    {{.wait_status = SIGKILL, .oom = true, .limit_bytes = 268435456, .peak_bytes = 268435456},
     CAUSE_OOM,
     "oom",
     "OutOfMemory",
     "the kernel used more than its 256 MiB of memory (peak 256 MiB)"},
    {{.wait_status = SIGKILL, .oom = true, .limit_bytes = 1572864, .peak_bytes = 1000},
     CAUSE_OOM,
     "oom",
     "OutOfMemory",
     "the kernel used more than its 1.5 MiB of memory (peak 1000 bytes)"},
    {{.wait_status = EXITED(1), .oom = true, .limit_bytes = 1048576, .peak_bytes = -1},
     CAUSE_OOM,
     "oom",
     "OutOfMemory",
     "the kernel used more than its 1 MiB of memory"},
    {{.wait_status = SIGKILL, .oom = true, .limit_bytes = -1, .peak_bytes = -1},
     CAUSE_OOM,
     "oom",
     "OutOfMemory",
     "the kernel was ended because memory ran out"},
    {{.wait_status = SIGKILL, .keeper_lost = true},
     CAUSE_KEEPER,
     "keeper",
     "KernelDied",
     "the keeper of its sandbox ended, and with it everything inside"},
    {{.wait_status = SIGKILL, .breach = "The sandbox has too many files."},
     CAUSE_LIMIT,
     "limit",
     "LimitExceeded",
     "The sandbox has too many files."},
    {{.wait_status = SIGKILL, .oom = true, .limit_bytes = 1048576, .peak_bytes = -1, .breach = "x"},
     CAUSE_OOM,
     "oom",
     "OutOfMemory",
     "the kernel used more than its 1 MiB of memory"},
};

static void says_how_it_ended(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(rows); i++) {
        scoped(string) char *text = death_text(&rows[i].end);
        assert_text(text, rows[i].text);
        assert_int_equal(death_cause(&rows[i].end), rows[i].cause);
        assert_text(cause_word(rows[i].cause), rows[i].word);
        assert_text(cause_error_name(rows[i].cause), rows[i].error_name);
    }
}

static void writes_times(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } times[] = {{1, "0.001 s"}, {1500, "1.5 s"}, {60000, "60 s"}, {10, "0.01 s"}, {0, "0 s"}};
    char text[SECONDS_TEXT];
    (void)state;
    for (size_t i = 0; i < countof(times); i++) {
        seconds_text(times[i].ms, text);
        assert_text(text, times[i].text);
    }
}

static void every_cause_has_its_word(void **state)
{
    (void)state;
    for (enum cause cause = CAUSE_ASKED; cause <= CAUSE_RESTART; cause++) {
        assert_non_null(cause_word(cause));
        assert_non_null(cause_error_name(cause));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_how_it_ended),
        cmocka_unit_test(writes_times),
        cmocka_unit_test(every_cause_has_its_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
