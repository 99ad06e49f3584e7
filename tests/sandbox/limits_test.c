/* Limits as JSON: what is read, what is refused and with which words, and that writing and reading
 * agree. */
#include "tests/unit.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/json.h"
#include "sandbox/confine.h"
#include "sandbox/limits.h"

static bool read_text(const char *text, struct limits *out, struct err *e)
{
    scoped(json) json_t *object = json_parse_object(bytes_of(text), "limits", 4096, e);
    assert_non_null(object);
    return limits_read(object, out, e);
}

static void test_reads_units(void **state)
{
    (void)state;
    struct limits l = {0};
    struct err e = {0};
    assert_true(read_text("{\"memory_bytes\": 67108864, \"cpus\": 0.5, \"processes\": 32,"
                          " \"open_files\": 64, \"workspace_bytes\": 20000000,"
                          " \"workspace_inodes\": 100, \"tmp_bytes\": 65536,"
                          " \"output_bytes\": 1024, \"execution_s\": 1.5, \"idle_s\": 60,"
                          " \"life_s\": 3600}",
                          &l, &e));
    assert_int_equal(l.memory_bytes, 67108864);
    assert_int_equal(l.cpu_millis, 500);
    assert_int_equal(l.processes, 32);
    assert_int_equal(l.open_files, 64);
    assert_int_equal(l.workspace_bytes, 20000000);
    assert_int_equal(l.workspace_inodes, 100);
    assert_int_equal(l.tmp_bytes, 65536);
    assert_int_equal(l.output_bytes, 1024);
    assert_int_equal(l.execution_ms, 1500);
    assert_int_equal(l.idle_ms, 60000);
    assert_int_equal(l.life_ms, 3600000);
}

static void test_absent_stays_and_zero_lifts(void **state)
{
    (void)state;
    struct limits l = limits_default;
    struct err e = {0};
    assert_true(read_text("{\"memory_bytes\": 0, \"cpus\": null}", &l, &e));
    assert_int_equal(l.memory_bytes, 0);
    assert_int_equal(l.cpu_millis, limits_default.cpu_millis);
    assert_int_equal(l.processes, limits_default.processes);
}

static void test_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } rows[] = {
        {"{\"memory\": 1}", "limits: there is no limit called \"memory\""},
        {"{\"memory_bytes\": \"1G\"}", "memory_bytes: must be a whole number"},
        {"{\"memory_bytes\": 1.5}", "memory_bytes: must be a whole number"},
        {"{\"memory_bytes\": 1}",
         "memory_bytes: must be 0 (no limit) or from 16777216 to 1125899906842624"},
        {"{\"memory_bytes\": -1}",
         "memory_bytes: must be 0 (no limit) or from 16777216 to 1125899906842624"},
        {"{\"memory_bytes\": 9223372036854775807}",
         "memory_bytes: must be 0 (no limit) or from 16777216 to 1125899906842624"},
        {"{\"cpus\": true}", "cpus: must be a number"},
        {"{\"cpus\": 0.001}", "cpus: must be 0 (no limit) or from 0.01 to 4096"},
        {"{\"cpus\": 1e-9}", "cpus: must be 0 (no limit) or from 0.01 to 4096"},
        {"{\"cpus\": -0.5}", "cpus: must be 0 (no limit) or from 0.01 to 4096"},
        {"{\"cpus\": 1e300}", "cpus: must be 0 (no limit) or from 0.01 to 4096"},
        {"{\"cpus\": 9223372036854775807}", "cpus: must be 0 (no limit) or from 0.01 to 4096"},
        {"{\"processes\": 3}", "processes: must be 0 (no limit) or from 4 to 4194304"},
        {"{\"execution_s\": 1e15}", "execution_s: must be 0 (no limit) or from 0.001 to 31622400"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct limits l = limits_default;
        struct err e = {0};
        assert_fails(read_text(rows[i].text, &l, &e), e, 400, rows[i].message);
        assert_memory_equal(&l, &limits_default, sizeof l);
    }
}

static void test_one_wrong_changes_nothing(void **state)
{
    (void)state;
    struct limits l = limits_default;
    struct err e = {0};
    assert_false(read_text("{\"processes\": 99, \"cpus\": -1}", &l, &e));
    assert_memory_equal(&l, &limits_default, sizeof l);
}

static void test_writes_what_it_reads(void **state)
{
    (void)state;
    struct limits l = limits_default, again = {0};
    struct err e = {0};
    l.cpu_millis = 1250;
    l.execution_ms = 100;
    l.idle_ms = 2000;
    scoped(json) json_t *object = limits_json(&l);
    scoped(string) char *text = json_dumps(object, JSON_SORT_KEYS | JSON_REAL_PRECISION(6));
    assert_true(limits_read(object, &again, &e));
    assert_memory_equal(&l, &again, sizeof l);
    assert_non_null(strstr(text, "\"cpus\": 1.25"));
    assert_non_null(strstr(text, "\"execution_s\": 0.1"));
    assert_non_null(strstr(text, "\"idle_s\": 2,"));
    assert_int_equal(json_object_size(object), 11);
}

/* In a process of its own: 0 when what it has afterwards is cur and max. */
static int lowered(struct rlimit has, struct rlimit wanted, rlim_t cur, rlim_t max)
{
    pid_t pid = fork();
    int status = -1;
    if (pid == 0) {
        struct rlimit now;
        bool good = setrlimit(RLIMIT_NOFILE, &has) == 0 && confine_rlimit(RLIMIT_NOFILE, wanted) &&
                    getrlimit(RLIMIT_NOFILE, &now) == 0;
        _exit(good && now.rlim_cur == cur && now.rlim_max == max ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* Of a process that waited to become a program, whoever it is, limits that came meanwhile stay. */
static void test_a_process_raises_no_limit(void **state)
{
    (void)state;
    struct rlimit small = {32, 64};
    assert_int_equal(lowered(small, (struct rlimit){128, 256}, 64, 64), 0);
    assert_int_equal(lowered(small, (struct rlimit){40, 256}, 40, 64), 0);
    assert_int_equal(lowered(small, (struct rlimit){16, 48}, 16, 48), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_units),
        cmocka_unit_test(test_absent_stays_and_zero_lifts),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_one_wrong_changes_nothing),
        cmocka_unit_test(test_writes_what_it_reads),
        cmocka_unit_test(test_a_process_raises_no_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
