/* The place of a user's keeper: one for all names of one Python, another for another. */
#include "tests/unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "sandbox/warm_place.h"

static char folder[] = "/tmp/wck-XXXXXX";

static void make_program(const char *name)
{
    scoped(string) char *path = xasprintf("%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(chmod(path, 0755), 0);
}

static void make_folder(const char *name)
{
    scoped(string) char *path = xasprintf("%s/%s", folder, name);
    assert_int_equal(mkdir(path, 0755), 0);
}

static void make_link(const char *target, const char *name)
{
    scoped(string) char *from = xasprintf("%s/%s", folder, target);
    scoped(string) char *path = xasprintf("%s/%s", folder, name);
    assert_int_equal(symlink(from, path), 0);
}

static int make_tree(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    make_program("python3.11");
    make_program("python3.12");
    make_link("python3.11", "python3");
    make_folder("env");
    make_folder("env/bin");
    make_program("env/pyvenv.cfg");
    make_link("python3.11", "env/bin/python");
    make_link("python3.11", "env/bin/python3");
    make_folder("run");
    return setenv("XDG_RUNTIME_DIR", folder, 1);
}

static int remove_tree(void **state)
{
    (void)state;
    scoped(string) char *command = xasprintf("rm -r %s", folder);
    return system(command);
}

static char *place(const char *name)
{
    struct err e;
    scoped(string) char *path = xasprintf("%s/%s", folder, name);
    char *found = warm_place(path, &e);
    if (!found)
        stop_test("%s: %s", name, e.text);
    return found;
}

static void tells_pythons_apart(void **state)
{
    static const struct {
        const char *one, *other;
        bool same;
    } rows[] = {
        {"python3", "python3.11", true},
        {"python3", "python3.12", false},
        {"env/bin/python", "env/bin/python3", true},
        {"env/bin/../bin/python", "env/bin/python", true},
        {"env/bin/python", "python3.11", false}, /* the same program, another environment */
    };
    (void)state;
    for (size_t i = 0; i < countof(rows); i++) {
        scoped(string) char *one = place(rows[i].one);
        scoped(string) char *other = place(rows[i].other);
        if ((strcmp(one, other) == 0) != rows[i].same)
            stop_test("row %zu: %s and %s", i, one, other);
    }
}

static void lies_in_the_runtime_folder(void **state)
{
    (void)state;
    scoped(string) char *found = place("python3");
    scoped(string) char *start = xasprintf("%s/warmcell/warm-", folder);
    assert_int_equal(strncmp(found, start, strlen(start)), 0);
    assert_int_equal(strspn(found + strlen(start), "0123456789abcdef"), 16);
    assert_text(found + strlen(start) + 16, ".sock");
}

static void refuses_what_is_no_program(void **state)
{
    struct err e;
    (void)state;
    assert_null(warm_place("/does/not/exist", &e));
    assert_int_equal(e.status, 400);
    assert_text(e.text, "/does/not/exist is no program");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_pythons_apart),
        cmocka_unit_test(lies_in_the_runtime_folder),
        cmocka_unit_test(refuses_what_is_no_program),
    };
    return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
