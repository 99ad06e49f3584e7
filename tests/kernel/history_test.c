/* The history below the host: what is asked, what the tables answer, and the journal that holds
 * rows until then. */
#include "tests/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "kernel/host/history_query.h"
#include "kernel/host/history_store.h"
#include "kernel/host/journal.h"

static const struct {
    const char *content;
    const char *text; /* of the error; NULL: none */
} queries[] = {
    {"{}", NULL},
    {"{\"hist_access_type\":\"range\",\"session\":-3,\"start\":-5,\"stop\":0}", NULL},
    {"{\"hist_access_type\":\"search\",\"pattern\":null,\"n\":null,\"unknown\":[]}", NULL},
    {"{\"hist_access_type\":\"head\"}", "hist_access_type: must be range, tail or search"},
    {"{\"hist_access_type\":1}", "hist_access_type: must be a string"},
    {"{\"output\":1}", "output: must be true or false"},
    {"[]", "content: must be an object"},
};

static void checks_what_is_asked(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(queries); i++) {
        struct history_query query = {0};
        struct err e = {0};
        bool good = history_query_parse(bytes_of(queries[i].content), &query, &e);
        if (good != !queries[i].text)
            stop_test("%s: %s", queries[i].content, e.text);
        if (queries[i].text && !strstr(e.text, strchr(queries[i].text, ':')))
            stop_test("%s: got \"%s\"", queries[i].content, e.text);
        if (good)
            assert_non_null(query.pattern);
        history_query_free(&query);
    }
}

static sqlite3 *filled(void)
{
    struct err e;
    sqlite3 *db = history_store_open(":memory:", true, &e);
    assert_non_null(db);
    for (int64_t session = 1; session <= 2; session++) {
        int64_t number;
        assert_true(history_store_begin(db, &number, &e));
        assert_int_equal(number, session);
        struct history_row rows[] = {
            {session, 1, LITERAL("a"), LITERAL("%a \"q\"\n")},
            {session, 2, LITERAL("b\0c"), LITERAL("b\0c")},
            {session, 2, LITERAL("twice"), LITERAL("twice")},
            {session, 3, {0}, {0}},
        };
        assert_true(history_store_rows(db, rows, countof(rows), &e));
    }
    return db;
}

static const struct {
    struct history_query query;
    const char *rows;
} answers[] = {
    {{.access = HISTORY_TAIL, .n = 1}, "[2,3,\"\"]"},
    {{.access = HISTORY_TAIL, .n = 2}, "[2,2,\"b\\u0000c\"],[2,3,\"\"]"},
    {{.access = HISTORY_TAIL, .n = 4, .raw = true},
     "[1,3,\"\"],[2,1,\"%a \\\"q\\\"\\n\"],[2,2,\"b\\u0000c\"],[2,3,\"\"]"},
    {{.access = HISTORY_RANGE, .session = 0, .start = 1, .stop = 2}, "[0,1,\"a\"]"},
    {{.access = HISTORY_RANGE, .session = -1, .start = 1, .stop = 2, .output = true},
     "[1,1,[\"a\",null]]"},
    {{.access = HISTORY_RANGE, .session = -7, .start = 1}, ""},
    {{.access = HISTORY_SEARCH, .n = -1, .pattern = "a"}, "[1,1,\"a\"],[2,1,\"a\"]"},
    {{.access = HISTORY_SEARCH, .n = 1, .pattern = "a"}, "[2,1,\"a\"]"},
    {{.access = HISTORY_SEARCH, .n = -1, .pattern = "%*", .raw = true, .unique = true},
     "[1,1,\"%a \\\"q\\\"\\n\"]"},
};

static void answers_from_the_tables(void **state)
{
    (void)state;
    sqlite3 *db = filled();
    for (size_t i = 0; i < countof(answers); i++) {
        struct buffer out = {0};
        struct err e;
        assert_true(history_query_answer(db, &answers[i].query, 2, &out, &e));
        scoped(string) char *expected =
            xasprintf("{\"status\":\"ok\",\"history\":[%s]}", answers[i].rows);
        assert_bytes(buffer_view(&out), bytes_of(expected));
        buffer_free(&out);
    }
    sqlite3_close(db);
}

/* A host that was killed has left rows of a session that nobody wrote down. */
static void a_number_of_a_session_is_given_once(void **state)
{
    (void)state;
    struct err e;
    sqlite3 *db = filled();
    struct history_row row = {7, 1, LITERAL("c"), LITERAL("c")};
    int64_t number;
    assert_true(history_store_rows(db, &row, 1, &e));
    assert_true(history_store_sessions(db, &e));
    assert_true(history_store_sessions(db, &e));
    assert_true(history_store_begin(db, &number, &e));
    assert_int_equal(number, 8);
    sqlite3_close(db);
}

static void says_that_a_file_is_none(void **state)
{
    (void)state;
    struct err e;
    assert_null(history_store_open("/proc/nothing/here.sqlite", true, &e));
    assert_int_equal(e.status, 503);
    assert_null(history_store_open("/proc/self/status", true, &e));
    assert_int_equal(e.status, 503);
}

static char *folder(void)
{
    char *path = xstrdup("/tmp/journal-XXXXXX");
    assert_non_null(mkdtemp(path));
    return path;
}

static void note(void *data, const struct history_row *row)
{
    buffer_printf(data, "%lld/%lld=%.*s|%.*s;", (long long)row->session, (long long)row->line,
                  (int)row->source.len, row->source.data, (int)row->source_raw.len,
                  row->source_raw.data);
}

struct imported {
    struct buffer rows;
    bool stored;
};

static bool take_file(void *data, struct bytes text)
{
    struct imported *imported = data;
    assert_true(journal_parse(text, "/db", note, &imported->rows));
    return imported->stored;
}

static size_t files_in(const char *path)
{
    size_t count = 0;
    DIR *entries = opendir(path);
    while (readdir(entries))
        count++;
    closedir(entries);
    return count - 2;
}

static void append(struct journal *j, int64_t line, const char *source)
{
    struct err e;
    struct history_row row = {7, line, bytes_of(source), bytes_of("raw")};
    assert_true(journal_append(j, &row, &e));
}

static void an_orphan_is_imported_once(void **state)
{
    (void)state;
    scoped(string) char *path = folder();
    struct err e;
    struct imported imported = {0};
    assert_false(journal_any(path));
    struct journal *j = journal_open(path, "/db", &e);
    assert_non_null(j);
    assert_true(journal_any(path));
    append(j, 1, "one");
    append(j, 2, "");
    journal_import(path, "/db", take_file, &imported);
    assert_int_equal(imported.rows.len, 0); /* its host is alive: it holds the lock */
    journal_close(j);                       /* as when it is killed: rows are left */
    assert_int_equal(files_in(path), 1);
    journal_import(path, "/other", take_file, &imported);
    assert_int_equal(imported.rows.len, 0);
    journal_import(path, "/db", take_file, &imported);
    assert_bytes(buffer_view(&imported.rows), bytes_of("7/1=one|raw;7/2=|raw;"));
    assert_int_equal(files_in(path), 1); /* they were not stored */
    imported.stored = true;
    journal_import(path, "/db", take_file, &imported);
    assert_int_equal(files_in(path), 0);
    buffer_free(&imported.rows);
    rmdir(path);
}

static void an_emptied_journal_leaves_nothing(void **state)
{
    (void)state;
    scoped(string) char *path = folder();
    struct err e;
    struct journal *j = journal_open(path, "/db", &e);
    append(j, 1, "one");
    uint64_t first = journal_bytes(j);
    append(j, 2, "two");
    journal_emptied(j, first); /* not all: both rows stay */
    struct imported imported = {0};
    journal_close(j);
    journal_import(path, "/db", take_file, &imported);
    assert_bytes(buffer_view(&imported.rows), bytes_of("7/1=one|raw;7/2=two|raw;"));
    buffer_free(&imported.rows);
    imported.stored = true;
    journal_import(path, "/db", take_file, &imported);
    buffer_free(&imported.rows);
    j = journal_open(path, "/db", &e);
    append(j, 1, "one");
    journal_emptied(j, journal_bytes(j));
    append(j, 2, "two");
    journal_emptied(j, journal_bytes(j));
    journal_close(j);
    assert_int_equal(files_in(path), 0);
    rmdir(path);
}

static void a_torn_row_is_passed_over(void **state)
{
    (void)state;
    scoped(string) char *path = folder();
    struct err e;
    struct journal *j = journal_open(path, "/db", &e);
    append(j, 1, "one");
    append(j, 2, "two");
    journal_close(j);
    char text[4096];
    DIR *entries = opendir(path);
    struct dirent *entry = readdir(entries);
    while (entry->d_name[0] == '.')
        entry = readdir(entries);
    scoped(string) char *file = xasprintf("%s/%s", path, entry->d_name);
    closedir(entries);
    int fd = open(file, O_RDONLY);
    ssize_t len = read(fd, text, sizeof text);
    close(fd);
    size_t whole = 0;
    for (ssize_t cut = 0; cut <= len; cut++) {
        struct buffer rows = {0};
        char *exact = xmemdup(text, (size_t)cut);
        journal_parse((struct bytes){exact, (size_t)cut}, "/db", note, &rows);
        whole += rows.len == strlen("7/1=one|raw;");
        free(exact);
        buffer_free(&rows);
    }
    assert_true(whole > 10); /* the cuts within the second row */
    unlink(file);
    rmdir(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checks_what_is_asked),
        cmocka_unit_test(answers_from_the_tables),
        cmocka_unit_test(a_number_of_a_session_is_given_once),
        cmocka_unit_test(says_that_a_file_is_none),
        cmocka_unit_test(an_orphan_is_imported_once),
        cmocka_unit_test(an_emptied_journal_leaves_nothing),
        cmocka_unit_test(a_torn_row_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
