/* Options from their sources, on a table of the test's own. */
#include "tests/unit.h"

#include <unistd.h>

#include "gateway/option.h"
#include "gateway/options.h"
#include "gateway/settings.h"

struct chosen {
    char *text;
    int64_t number;
    bool yes;
    struct string_list list;
    enum log_level level;
};

static const struct option rows[] = {
    {"a-text", OPTION_TEXT, offsetof(struct chosen, text), "fallback", .help = "h",
     .also_env = "OLD_TEXT", .also = {"App.text", "Other.text"}},
    {"number", OPTION_INT, offsetof(struct chosen, number), "7", .low = -1, .high = 9, .help = "h"},
    {"yes", OPTION_BOOL, offsetof(struct chosen, yes), "true", .help = "h"},
    {"list", OPTION_LIST, offsetof(struct chosen, list), NULL, .help = "h"},
    {"level", OPTION_LEVEL, offsetof(struct chosen, level), "info", .help = "h"},
    {"old", OPTION_IGNORED, 0, NULL, .help = "h", .also = {"App.old"}},
};
static const struct option_table table = {rows, countof(rows)};

static bool parse(const char *line, const char *ini, struct chosen *out, struct err *e)
{
    scoped(string) char *copy = xstrdup(line);
    char *args[16], *rest = NULL;
    size_t count = 0, words;
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        args[count++] = word;
    char path[] = "/tmp/option_test_XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, ini, strlen(ini)), strlen(ini));
    close(fd);
    struct option_sources sources = {true, path, true};
    *out = (struct chosen){0};
    bool ok = option_parse(&table, args, count, &sources, out, NULL, 0, &words, e);
    unlink(path);
    return ok;
}

static void flags(void **state)
{
    (void)state;
    static const struct {
        const char *line, *text;
        int64_t number;
        bool yes;
        size_t list_count;
        const char *error; /* NULL: accepted */
    } cases[] = {
        {"", "fallback", 7, true, 0, NULL},
        {"--a-text x", "x", 7, true, 0, NULL},
        {"--a_text=x --number=-1", "x", -1, true, 0, NULL},
        {"--App.text=x --Other.text=y", "y", 7, true, 0, NULL},
        {"--no-yes --old --App.old=3", "fallback", 7, false, 0, NULL},
        {"--yes=OFF", "fallback", 7, false, 0, NULL},
        {"--yes --number 9", "fallback", 9, true, 0, NULL},
        {"--list=a,b --list c", "fallback", 7, true, 3, NULL},
        {"--list=['a','b',]", "fallback", 7, true, 2, NULL},
        {"--a-text=", "", 7, true, 0, NULL},
        {"--number=10", NULL, 0, false, 0, "--number: 10 is out of range (-1 to 9)"},
        {"--number=1x", NULL, 0, false, 0, "--number: 1x is not a whole number"},
        {"--number=", NULL, 0, false, 0, "--number:  is not a whole number"},
        {"--number=99999999999999999999", NULL, 0, false, 0,
         "--number: 99999999999999999999 is not a whole number"},
        {"--number", NULL, 0, false, 0, "--number: needs a value"},
        {"--yes=2", NULL, 0, false, 0, "--yes: 2 is neither true nor false"},
        {"--level=x", NULL, 0, false, 0, "--level: x is not one of error, warn, info, debug"},
        {"--nothing", NULL, 0, false, 0, "unknown option --nothing"},
        {"--no-a-text", NULL, 0, false, 0, "unknown option --no-a-text"},
        {"--no-yes=1", NULL, 0, false, 0, "unknown option --no-yes"},
        {"--App.number=1", NULL, 0, false, 0, "unknown option --App.number"},
        {"-x", NULL, 0, false, 0, "unknown option -x"},
        {"word", NULL, 0, false, 0, "word: not expected here"},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct chosen c;
        struct err e = {0};
        bool ok = parse(cases[i].line, "", &c, &e);
        if (cases[i].error) {
            assert_text(ok ? "(accepted)" : e.text, cases[i].error);
        } else {
            assert_text(ok ? "" : e.text, "");
            assert_text(c.text, cases[i].text);
            assert_int_equal(c.number, cases[i].number);
            assert_int_equal(c.yes, cases[i].yes);
            assert_int_equal(c.list.count, cases[i].list_count);
            assert_null(c.list.item[c.list.count]);
        }
        option_free(&table, &c);
    }
}

static void precedence(void **state)
{
    (void)state;
    struct chosen c;
    struct err e = {0};
    assert_true(parse("", "a_text = ini\nnumber=3", &c, &e));
    assert_text(c.text, "ini");
    assert_int_equal(c.number, 3);
    option_free(&table, &c);
    setenv("OLD_TEXT", "old", 1);
    assert_true(parse("", "a-text = ini", &c, &e));
    assert_text(c.text, "old");
    option_free(&table, &c);
    setenv("WARMCELL_A_TEXT", "env", 1);
    assert_true(parse("", "a-text = ini", &c, &e));
    assert_text(c.text, "env");
    option_free(&table, &c);
    assert_true(parse("--a-text flag", "a-text = ini", &c, &e));
    assert_text(c.text, "flag");
    option_free(&table, &c);
    option_unset_environment(&rows[0]);
    assert_null(getenv("OLD_TEXT"));
    assert_null(getenv("WARMCELL_A_TEXT"));
    /* a bad value that a stronger source replaces does no harm */
    assert_true(parse("--number 1", "number = x", &c, &e));
    option_free(&table, &c);
    assert_false(parse("", "number = x", &c, &e));
    assert_non_null(strstr(e.text, "number (line 1 of /tmp/option_test_"));
    option_free(&table, &c);
    assert_false(parse("", "\n\nwhat", &c, &e));
    assert_text(e.text, "line 3: must be key = value");
    option_free(&table, &c);
}

/* Two rows that answer to one name would make one of them deaf. */
static void names_are_unique(void **state)
{
    (void)state;
    const struct option_table *t = &serve_options;
    for (size_t i = 0; i < t->count; i++) {
        assert_true(*t->rows[i].help != '\0');
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(t->rows[i].name, t->rows[j].name);
            for (size_t a = 0; a < 4 && t->rows[i].also[a]; a++)
                for (size_t b = 0; b < 4 && t->rows[j].also[b]; b++)
                    assert_string_not_equal(t->rows[i].also[a], t->rows[j].also[b]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags),
        cmocka_unit_test(precedence),
        cmocka_unit_test(names_are_unique),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
