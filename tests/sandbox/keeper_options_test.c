/* The command line of the keeper. */
#include "tests/unit.h"

#include "sandbox/options.h"

#define WORDS   10
#define SANDBOX "--profile", "sandbox", "--state-dir", "/d"

static const struct {
    const char *words[WORDS];
    const char *text; /* of the error; NULL: none */
} rows[] = {
    {{"--socket", "/s"}, NULL},
    {{"--socket=/s", "--idle=5", "--log=/l", "--", "python"}, NULL},
    {{"--socket", "/s", SANDBOX, "--read-only", "/a", "--read-only=/b"}, NULL},
    {{"--help"}, NULL},
    {{NULL}, "--socket: an absolute path is needed (see --help)"},
    {{"--socket", "s"}, "--socket: an absolute path is needed (see --help)"},
    {{"--socket"}, "--socket: needs a value"},
    {{"--socket", "/s", "more"}, "more: is not an option (see --help)"},
    {{"--socket", "/s", "--foreground=1"}, "--foreground=1: is not an option (see --help)"},
    {{"--socket", "/s", "--log", "l"}, "--log: must be an absolute path"},
    {{"--socket", "/s", "--"}, "--: the fork server's command must follow"},
    {{"--socket", "/s", "--idle", "0"}, "--idle: must be a number from 1 to 2592000"},
    {{"--socket", "/s", "--idle", "2s"}, "--idle: must be a number from 1 to 2592000"},
    {{"--socket", "/s", "--profile", "x"}, "--profile: must be owner or sandbox"},
    {{"--socket", "/s", "--profile", "sandbox"},
     "--state-dir: an absolute path is needed with --profile sandbox"},
    {{"--socket", "/s", SANDBOX, "--policy", "none"}, "--policy: must be required or best-effort"},
    {{"--socket", "/s", SANDBOX, "--uids", "5"}, "--uids: must be two uids, FIRST-LAST"},
    {{"--socket", "/s", SANDBOX, "--uids", "5-5"}, "--uids: must be two uids, FIRST-LAST"},
    {{"--socket", "/s", SANDBOX, "--uids", "5-9x"}, "--uids: must be two uids, FIRST-LAST"},
    {{"--socket", "/s", SANDBOX, "--read-only", "a"},
     "--read-only: must be an absolute path, given 64 times at most"},
};

static void reads_and_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(rows); i++) {
        char *argv[WORDS + 2] = {"warmcell-keeper"};
        int argc = 1;
        for (size_t n = 0; n < WORDS && rows[i].words[n]; n++)
            argv[argc++] = (char *)rows[i].words[n];
        struct keeper_options options;
        struct err e = {0};
        bool good = keeper_options_parse(argc, argv, &options, &e);
        if (good && rows[i].text)
            stop_test("row %zu was taken", i);
        if (!good)
            assert_text(e.text, rows[i].text ? rows[i].text : "no error");
    }
}

static void gives_the_values(void **state)
{
    char *argv[] = {"warmcell-keeper",
                    "--socket=/s",
                    "--profile=sandbox",
                    "--state-dir=/d",
                    "--policy",
                    "best-effort",
                    "--uids",
                    "100-200",
                    "--read-only",
                    "/a",
                    "--read-only",
                    "/b",
                    "--",
                    "python",
                    "--help",
                    NULL};
    struct keeper_options o;
    struct err e;
    (void)state;
    assert_true(keeper_options_parse(15, argv, &o, &e));
    assert_true(o.sandboxes);
    assert_true(o.best_effort);
    assert_int_equal(o.first_uid, 100);
    assert_int_equal(o.last_uid, 200);
    assert_text(o.read_only[0], "/a");
    assert_text(o.read_only[1], "/b");
    assert_null(o.read_only[2]);
    assert_text(o.fork_server[0], "python");
    assert_text(o.fork_server[1], "--help");
    assert_false(o.help);
    assert_int_equal(o.idle_s, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_refuses),
        cmocka_unit_test(gives_the_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
