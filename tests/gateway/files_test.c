/* Paths, tags and conditions of files, before anything is looked up. */
#include "tests/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/files/clone.h"
#include "gateway/files/condition.h"
#include "gateway/files/entry.h"
#include "gateway/files/glob.h"
#include "gateway/files/pack.h"
#include "gateway/files/path.h"
#include "gateway/files/upload.h"

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

static void globs(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *path;
        bool matches, below;
    } cases[] = {
        {"*", "a", true, false},
        {"*", "a/b", false, false},
        {"a*c", "abcbc", true, false},
        {"a*c", "abcbd", false, false},
        {"*a*b*", "xxaxxbxx", true, false},
        {"?", "\xc3\xa9", true, false},
        {"??", "\xc3\xa9", false, false},
        {"?", "\xff", true, false},
        {"[\xc3\xa0-\xc3\xaf]", "\xc3\xa9", true, false},
        {"[!a]", "b", true, false},
        {"[!a]", "a", false, false},
        {"[]]", "]", true, false},
        {"[a-]", "-", true, false},
        {"[\\]]", "]", true, false},
        {"\\*", "*", true, false},
        {"\\*", "a", false, false},
        {"*", ".a", false, false},
        {".*", ".a", true, false},
        {"[.]a", ".a", false, false},
        {"**", "a", true, true},
        {"**", ".a", false, false},
        {"**/x", "x", true, true},
        {"**/x", "a/b/x", true, true},
        {"**/x", "a/b", false, true},
        {"a/**/x", "b", false, false},
        {"a/**/x", "a", false, true},
        {"a/**/x/**/y", "a/x/b/x/y", true, true},
        {"src/*.c", "src", false, true},
        {"src/*.c", "other", false, false},
        {"/a//b/", "a/b", true, false},
        {"a", "", false, true},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct err e = {0};
        struct glob *g = glob_new(cases[i].pattern, &e);
        assert_non_null(g);
        struct glob_answer answer = glob_look(g, cases[i].path);
        if (answer.matches != cases[i].matches || answer.below != cases[i].below)
            stop_test("case %zu: %d %d", i, answer.matches, answer.below);
        glob_free(g);
    }
}

static void globs_that_are_none(void **state)
{
    (void)state;
    static const char *const cases[] = {"", "/", "..", "a/./b", "[", "a[b", "[]", "[!]", "[a\\]"};
    for (size_t i = 0; i < countof(cases); i++) {
        struct err e = {0};
        assert_null(glob_new(cases[i], &e));
        assert_int_equal(e.status, 400);
    }
}

/* A pattern that makes a matcher that tries everything try for years. */
static void globs_end_soon(void **state)
{
    (void)state;
    struct err e = {0};
    char name[256];
    memset(name, 'a', 255);
    name[255] = '\0';
    struct glob *g = glob_new("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", &e);
    assert_false(glob_look(g, name).matches);
    glob_free(g);
    g = glob_new("**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/a/**/b", &e);
    assert_false(glob_look(g, "a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/c").matches);
    glob_free(g);
}

/* One that compresses to next to nothing. */
static void holes_are_packed_step_by_step(void **state)
{
    (void)state;
    struct err e = {0};
    char folder[] = "/tmp/warmcell-pack-XXXXXX";
    assert_non_null(mkdtemp(folder));
    int root = open(folder, O_RDONLY | O_DIRECTORY);
    int holes = openat(root, "holes", O_WRONLY | O_CREAT, 0600);
    assert_int_equal(ftruncate(holes, 4 * PACK_PLAIN_BYTES), 0);
    struct pack *p = pack_open(root, "", true, &e);
    size_t steps = 0;
    for (bool last = false; !last; steps++) {
        scoped(buffer) struct buffer piece = {0};
        assert_true(pack_read(p, &piece, 1024 * 1024, &last, &e));
    }
    assert_in_range(steps, 4, 6);
    pack_free(p);
    unlinkat(root, "holes", 0);
    close(holes);
    close(root);
    rmdir(folder);
}

/* Empties it. */
static bool has(struct touched *t, ino_t inode)
{
    struct stat st;
    bool found = false;
    for (int fd; (fd = touched_take(t)) >= 0; close(fd))
        found = found || (fstat(fd, &st) == 0 && st.st_ino == inode);
    return found;
}

/* What is synced is looked for below the workspace: a folder that was put elsewhere meanwhile has
 * others above it. */
static void an_upload_whose_folder_is_moved(void **state)
{
    (void)state;
    char place[] = "/tmp/files_test-XXXXXX";
    struct err e = {0};
    struct stat st;
    struct upload_result result;
    assert_non_null(mkdtemp(place));
    scoped(string) char *workspace = xasprintf("%s/workspace", place);
    assert_int_equal(mkdir(workspace, 0700), 0);
    int root = path_root(workspace, &e);
    assert_true(root >= 0 && stat(place, &st) == 0);
    for (int moved = 0; moved < 2; moved++) {
        struct touched touched = {0};
        const struct upload_plan plan = {.path = (char *)(moved ? "x/y/file" : "a/b/file"),
                                         .mode = -1};
        size_t made = 0;
        struct upload *u = upload_open(root, &plan, &made, &e);
        assert_non_null(u);
        assert_int_equal(made, 2);
        if (moved)
            assert_int_equal(renameat(root, "x/y", root, "z"), 0);
        assert_true(upload_commit(u, &result, &e));
        upload_touched(u, root, made, &touched);
        upload_free(u);
        assert_false(touched.all);
        assert_int_equal(touched.count, 4); /* the file, its folder, the one above, the workspace */
        assert_false(has(&touched, st.st_ino));
    }
    close(root);
    scoped(string) char *clear = xasprintf("rm -r %s", place);
    assert_int_equal(system(clear), 0);
}

static void a_copy_for_which_descriptors_are_short(void **state)
{
    (void)state;
    char place[] = "/tmp/files_test-XXXXXX";
    struct err e = {0};
    struct clone_result copied = {0};
    struct room room = {.bytes = INT64_MAX, .names = INT64_MAX};
    struct rlimit before;
    assert_non_null(mkdtemp(place));
    int root = open(place, O_RDONLY | O_DIRECTORY);
    assert_true(mkdirat(root, "from", 0700) == 0 && mkdirat(root, "to", 0700) == 0);
    int from = openat(root, "from", O_PATH), to = openat(root, "to", O_PATH);
    close(openat(from, "file", O_WRONLY | O_CREAT, 0600));
    int next = dup(from);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit one_more = before;
    one_more.rlim_cur = (rlim_t)next + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &one_more), 0);
    bool good = clone_workspace(from, to, -1, &room, &copied, &e);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_false(good); /* else a whole file would be missing in the copy */
    assert_int_equal(e.status, 503);
    assert_int_equal(copied.not_copied.count, 0);
    clone_result_clear(&copied);
    unlinkat(from, "file", 0);
    unlinkat(root, "from", AT_REMOVEDIR);
    unlinkat(root, "to", AT_REMOVEDIR);
    close(from);
    close(to);
    close(root);
    rmdir(place);
}

/* --- folders of which no more can be read */

static int names_left = -1; /* before readdir() fails; -1: it never does */
static int why_no_more;     /* its errno then */

struct dirent *__real_readdir64(DIR *folder);
struct dirent *__wrap_readdir64(DIR *folder);

struct dirent *__wrap_readdir64(DIR *folder)
{
    if (names_left > 0)
        names_left--;
    if (names_left != 0)
        return __real_readdir64(folder);
    errno = why_no_more;
    return NULL;
}

/* A folder with two files in it, and one that is empty. */
struct two_folders {
    char place[32];
    int root, from, to;
};

static void make_folders(struct two_folders *f)
{
    strcpy(f->place, "/tmp/files_test-XXXXXX");
    assert_non_null(mkdtemp(f->place));
    f->root = open(f->place, O_RDONLY | O_DIRECTORY);
    assert_true(mkdirat(f->root, "from", 0700) == 0 && mkdirat(f->root, "to", 0700) == 0);
    f->from = openat(f->root, "from", O_RDONLY | O_DIRECTORY);
    f->to = openat(f->root, "to", O_RDONLY | O_DIRECTORY);
    close(openat(f->from, "one", O_WRONLY | O_CREAT, 0600));
    close(openat(f->from, "two", O_WRONLY | O_CREAT, 0600));
}

static void remove_folders(struct two_folders *f)
{
    close(f->from);
    close(f->to);
    close(f->root);
    scoped(string) char *clear = xasprintf("rm -r %s", f->place);
    assert_int_equal(system(clear), 0);
}

/* What is there of it is copied, and the rest is told of; if it is us who cannot, there is none. */
static void a_copy_of_a_folder_that_cannot_be_read(void **state)
{
    (void)state;
    static const struct {
        int why;
        int64_t names; /* read before, those of itself and above it among them */
        int status;
        size_t told;
    } cases[] = {{EIO, 0, 0, 1}, {EIO, 3, 0, 1}, {EMFILE, 3, 503, 0}, {ENOMEM, 0, 503, 0}};
    for (size_t i = 0; i < countof(cases); i++) {
        struct two_folders f;
        struct err e = {0};
        struct clone_result copied = {0};
        struct room room = {.bytes = INT64_MAX, .names = INT64_MAX};
        make_folders(&f);
        why_no_more = cases[i].why;
        names_left = (int)cases[i].names + 1;
        bool good = clone_workspace(f.from, f.to, -1, &room, &copied, &e);
        names_left = -1;
        assert_int_equal(good, cases[i].status == 0);
        assert_int_equal(e.status, cases[i].status);
        assert_int_equal(copied.not_copied.count, cases[i].told);
        if (cases[i].told)
            assert_text(copied.not_copied.list[0].reason, "it cannot be read");
        assert_true(copied.files + 2 >= cases[i].names);
        clone_result_clear(&copied);
        remove_folders(&f);
    }
}

/* A tar that lacks some of it is never taken for a whole one. */
static void a_tar_of_a_folder_that_cannot_be_read(void **state)
{
    (void)state;
    struct two_folders f;
    struct err e = {0};
    bool last = false;
    scoped(buffer) struct buffer tar = {0};
    make_folders(&f);
    struct pack *p = pack_open(f.from, "", false, &e);
    assert_non_null(p);
    why_no_more = EIO;
    names_left = 3;
    assert_false(pack_read(p, &tar, 1024 * 1024, &last, &e));
    names_left = -1;
    assert_false(last);
    assert_true(e.status >= 500);
    pack_free(p);
    remove_folders(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags),
        cmocka_unit_test(conditions),
        cmocka_unit_test(paths),
        cmocka_unit_test(long_paths),
        cmocka_unit_test(globs),
        cmocka_unit_test(globs_that_are_none),
        cmocka_unit_test(globs_end_soon),
        cmocka_unit_test(holes_are_packed_step_by_step),
        cmocka_unit_test(an_upload_whose_folder_is_moved),
        cmocka_unit_test(a_copy_for_which_descriptors_are_short),
        cmocka_unit_test(a_copy_of_a_folder_that_cannot_be_read),
        cmocka_unit_test(a_tar_of_a_folder_that_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
