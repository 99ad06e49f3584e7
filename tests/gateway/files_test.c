/* Paths, tags and conditions of files, before anything is looked up. */
#include "tests/unit.h"

#include "gateway/files/condition.h"
#include "gateway/files/entry.h"
#include "gateway/files/path.h"

static const struct stat file = {
    .st_mode = S_IFREG | 0644,
    .st_ino = 0xab,
    .st_size = 0x10,
    .st_mtim = {0x1234, 0x56},
};
#define TAG "\"ab-10-123400000056\""

static void tags(void **state)
{
    (void)state;
    char tag[ETAG_TEXT];
    entry_etag(&file, tag);
    assert_text(tag, TAG);
}

static void conditions(void **state)
{
    (void)state;
    static const struct stat folder = {.st_mode = S_IFDIR | 0755};
    static const struct {
        bool absent;
        const char *match;
        const struct stat *there;
        bool holds;
    } cases[] = {
        {false, NULL, NULL, true},
        {false, NULL, &file, true},
        {true, NULL, NULL, true},
        {true, NULL, &file, false},
        {true, NULL, &folder, false},
        {false, "*", NULL, false},
        {false, "*", &file, true},
        {false, "*", &folder, true},
        {false, TAG, NULL, false},
        {false, TAG, &file, true},
        {false, TAG, &folder, false},
        {false, "\"a\", " TAG " ,\"b\"", &file, true},
        {false, "W/" TAG, &file, false},
        {false, "W/" TAG ", " TAG, &file, true},
        {false, "\"ab-10-12340000005\"", &file, false},
        {false, "ab-10-123400000056", &file, false},
        {false, "", &file, false},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct err e = {0};
        struct condition c = {cases[i].absent, (char *)cases[i].match};
        if (condition_holds(&c, cases[i].there, &e) != cases[i].holds)
            stop_test("case %zu: it %s", i, cases[i].holds ? "does not hold" : "holds");
        assert_int_equal(e.status, cases[i].holds ? 0 : 412);
    }
}

static void paths(void **state)
{
    (void)state;
    static const struct {
        const char *text, *clean; /* NULL: 400 */
    } cases[] = {
        {"", ""},
        {"/", ""},
        {"a", "a"},
        {"/a//b/", "a/b"},
        {"...", "..."},
        {"..a/b", "..a/b"},
        {"\xff/\n", "\xff/\n"},
        {"..", NULL},
        {"a/../b", NULL},
        {"a/.", NULL},
        {"./a", NULL},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct err e = {0};
        scoped(string) char *clean = path_clean(cases[i].text, &e);
        assert_text(clean ? clean : "(refused)", cases[i].clean ? cases[i].clean : "(refused)");
        assert_int_equal(e.status, cases[i].clean ? 0 : 400);
    }
}

static void long_paths(void **state)
{
    (void)state;
    char text[5000];
    struct err e;
    for (size_t len = 254; len < 258; len++) {
        memset(text, 'n', len);
        text[len] = '\0';
        scoped(string) char *clean = path_clean(text, &e);
        assert_int_equal(clean != NULL, len < 256);
    }
    for (size_t len = 4090; len < 4100; len++) {
        for (size_t i = 0; i < len; i++)
            text[i] = i % 100 == 99 ? '/' : 'n';
        text[len] = '\0';
        scoped(string) char *clean = path_clean(text, &e);
        assert_int_equal(clean != NULL, len < 4096);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags),
        cmocka_unit_test(conditions),
        cmocka_unit_test(paths),
        cmocka_unit_test(long_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
