/* Environments in sealed memories: what is passed on is what was given, and nothing else is read.
 */
#include "tests/unit.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sandbox/environment.h"

static int memory_of(struct bytes content, bool sealed)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content.data, content.len), content.len);
    if (sealed)
        assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_WRITE), 0);
    return fd;
}

static void comes_back_as_it_was(void **state)
{
    char *strings[] = {"A=1", "EMPTY=", "WITH=a=b c\n", NULL};
    struct err e;
    (void)state;
    int fd = environment_seal(strings, &e);
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(fd, "x", 1), -1);
    char **back = environment_open(fd, &e);
    assert_non_null(back);
    for (size_t n = 0; n < countof(strings) - 1; n++)
        assert_text(back[n], strings[n]);
    assert_null(back[countof(strings) - 1]);
    environment_free(back);
    close(fd);
    environment_free(NULL);
}

static void adds_what_is_not_there(void **state)
{
    static const char *const added[] = {"A=2", "AB=3", NULL};
    char *strings[] = {"A=1", "ABC=9", NULL};
    struct err e;
    (void)state;
    int fd = environment_seal(strings, &e);
    assert_true(environment_extend(&fd, added, &e));
    char **back = environment_open(fd, &e);
    assert_non_null(back);
    assert_text(back[0], "A=1");
    assert_text(back[1], "ABC=9");
    assert_text(back[2], "AB=3");
    assert_null(back[3]);
    environment_free(back);
    close(fd);
}

static void refuses_what_is_none(void **state)
{
    static const char shape[] =
        "environment: must be NAME=VALUE strings with a NUL behind each, 65536 at most";
    static const struct {
        struct bytes content;
        bool sealed;
        const char *text; /* NULL: none */
    } rows[] = {
        {LITERAL(""), true, NULL},
        {LITERAL("A=1\0"), true, NULL},
        {LITERAL("A=1\0"), false, "environment: must be a sealed memory"},
        {LITERAL("A=1"), true, shape},
        {LITERAL("A=1\0B\0"), true, shape},
        {LITERAL("A=1\0=2\0"), true, shape},
        {LITERAL("\0"), true, shape},
    };
    (void)state;
    for (size_t i = 0; i < countof(rows); i++) {
        struct err e = {0};
        int fd = memory_of(rows[i].content, rows[i].sealed);
        char **back = environment_open(fd, &e);
        assert_text(e.text, rows[i].text ? rows[i].text : "");
        assert_int_equal(back != NULL, rows[i].text == NULL);
        environment_free(back);
        close(fd);
    }
}

static void refuses_what_is_too_long(void **state)
{
    struct err e;
    (void)state;
    char *text = xmalloc(ENVIRONMENT_LIMIT_BYTES + 1);
    memset(text, 'x', ENVIRONMENT_LIMIT_BYTES);
    memcpy(text, "A=", 2);
    text[ENVIRONMENT_LIMIT_BYTES] = '\0';
    char *strings[] = {text, NULL};
    assert_int_equal(environment_seal(strings, &e), -1);
    assert_int_equal(e.status, 413);
    int fd = memory_of((struct bytes){text, ENVIRONMENT_LIMIT_BYTES + 1}, true);
    assert_null(environment_open(fd, &e));
    assert_int_equal(e.status, 413);
    close(fd);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back_as_it_was),
        cmocka_unit_test(adds_what_is_not_there),
        cmocka_unit_test(refuses_what_is_none),
        cmocka_unit_test(refuses_what_is_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
