/* Kernelspecs: parsing, the search order, and that changes on disk are seen. */
#include "tests/unit.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/launch/kernelspec.h"
#include "protocol/memory.h"

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text, *result; /* result: as JSON, or the error */
    } rows[] = {
        {"{\"argv\":[\"x\"]}",
         "{\"argv\":[\"x\"],\"env\":{},\"display_name\":\"\",\"language\":\"\","
         "\"interrupt_mode\":\"signal\",\"metadata\":{}}"},
        {"{\"argv\":[\"x\",\"{connection_file}\"],\"display_name\":\"D\",\"interrupt_mode\":"
         "\"message\","
         "\"metadata\":{\"a\":1},\"kernel_protocol_version\":\"5.5\",\"other\":1}",
         "{\"argv\":[\"x\",\"{connection_file}\"],\"env\":{},\"display_name\":\"D\",\"language\":"
         "\"\","
         "\"interrupt_mode\":\"message\",\"metadata\":{\"a\":1},\"kernel_protocol_version\":\"5."
         "5\"}"},
        {"{}", "kernel.json: argv: must be a list of 1 to 1000 strings"},
        {"{\"argv\":[]}", "kernel.json: argv: must be a list of 1 to 1000 strings"},
        {"{\"argv\":\"x\"}", "kernel.json: argv: must be a list of 1 to 1000 strings"},
        {"{\"argv\":[1]}", "kernel.json: argv: must be a list of strings"},
        {"{\"argv\":[\"a\\u0000b\"]}", "kernel.json: argv: must be a list of strings"},
        {"{\"argv\":[\"x\"],\"env\":[]}", "env: must be an object"},
        {"{\"argv\":[\"x\"],\"interrupt_mode\":\"shout\"}",
         "kernel.json: interrupt_mode: must be signal or message"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct err e = {0};
        json_t *spec = kernelspec_parse(rows[i].text, strlen(rows[i].text), &e);
        scoped(string) char *text = spec ? json_dumps(spec, JSON_COMPACT) : NULL;
        assert_text(text ? text : e.text, rows[i].result);
        assert_int_equal(e.status, spec ? 0 : 400);
        json_decref(spec);
    }
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool valid;
    } rows[] = {{"python3", true}, {"a.b_c-D9", true}, {"", false},    {".hidden", false},
                {"../x", false},   {"a/b", false},     {"a b", false}, {"é", false}};
    for (size_t i = 0; i < countof(rows); i++)
        if (kernelspec_name_valid(rows[i].name) != rows[i].valid)
            stop_test("%s", rows[i].name);
}

static void write_spec(const char *dir, const char *name, const char *display)
{
    scoped(string) char *folder = xasprintf("%s/%s", dir, name);
    scoped(string) char *path = xasprintf("%s/kernel.json", folder);
    mkdir(folder, 0700);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "{\"argv\":[\"x\"],\"display_name\":\"%s\"}", display);
    fclose(file);
}

static const char *display_of(struct kernelspecs *specs, const char *name)
{
    const struct kernelspec *spec = kernelspecs_find(specs, name, NULL);
    return spec ? json_string_value(json_object_get(spec->spec, "display_name")) : "none";
}

static void test_first_found_wins_and_changes_are_seen(void **state)
{
    (void)state;
    char first[] = "/tmp/specs-XXXXXX", second[] = "/tmp/specs-XXXXXX";
    assert_non_null(mkdtemp(first));
    assert_non_null(mkdtemp(second));
    char *dirs[] = {first, second, NULL};
    struct settings_core settings = {.kernel_dirs = {dirs, 2}, .default_kernel_name = "b"};
    struct kernelspecs *specs = kernelspecs_new(&settings);
    write_spec(second, "a", "second");
    assert_string_equal(display_of(specs, "a"), "second");
    assert_string_equal(kernelspecs_default(specs), KERNELSPEC_BUILT_IN);
    write_spec(first, "a", "first");
    write_spec(first, "B", "other");
    assert_string_equal(display_of(specs, "a"), "first");
    assert_string_equal(display_of(specs, "b"), "other");
    assert_string_equal(kernelspecs_default(specs), "b");
    struct err e = {0};
    assert_fails(kernelspecs_find(specs, "no such", &e) != NULL, e, 404,
                 "no such kernel: no such; GET /api/kernelspecs lists what is installed");
    const struct kernelspec *spec = kernelspecs_find(specs, "a", NULL);
    assert_fails(kernelspec_file(spec, "../../etc/passwd", &e) != NULL, e, 404,
                 "kernelspec a has no file ../../etc/passwd");
    scoped(string) char *file = kernelspec_file(spec, "kernel.json", &e);
    assert_non_null(file);
    kernelspecs_free(specs);
    scoped(string) char *remove = xasprintf("rm -r %s %s", first, second);
    assert_int_equal(system(remove), 0);
}

/* A folder may be there before its kernel.json can be read, and what is no file never hangs. */
static void test_a_spec_that_comes_late(void **state)
{
    (void)state;
    char dir[] = "/tmp/specs-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char *dirs[] = {dir, NULL};
    struct settings_core settings = {.kernel_dirs = {dirs, 1}};
    struct kernelspecs *specs = kernelspecs_new(&settings);
    scoped(string) char *folder = xasprintf("%s/late", dir);
    scoped(string) char *path = xasprintf("%s/kernel.json", folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_string_equal(display_of(specs, "late"), "none");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_string_equal(display_of(specs, "late"), "none");
    assert_int_equal(unlink(path), 0);
    write_spec(dir, "late", "here");
    assert_string_equal(display_of(specs, "late"), "here");
    kernelspecs_free(specs);
    scoped(string) char *remove = xasprintf("rm -r %s", dir);
    assert_int_equal(system(remove), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_first_found_wins_and_changes_are_seen),
        cmocka_unit_test(test_a_spec_that_comes_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
