/* The command line of the host. */
#include "tests/unit.h"

#include <unistd.h>

#include "kernel/host/options.h"

#define WORDS 8

static const struct {
    const char *words[WORDS];
    const char *text; /* of the error; NULL: none */
} rows[] = {
    {{"-f", "c.json"}, NULL},
    {{"--connection-file", "c.json", "--history", "none"}, NULL},
    {{"--connection-file=c.json", "--history=none"}, NULL},
    {{"--uplink", "/s", "--lease", "60", "--driver", "--", "node", "--flag"}, NULL},
    {{"--uplink", "/s", "--relay", "/c", "--", "ipykernel"}, NULL},
    {{"--help"}, NULL},
    {{"--version"}, NULL},
    {{NULL}, "-f FILE or --uplink PATH is needed (see --help)"},
    {{"-f"}, "--connection-file: needs a value"},
    {{"-f", "c", "-x"}, "-x: is not an option (see --help)"},
    {{"-f", "c", "file"}, "file: is not an option (see --help)"},
    {{"-f", "c", "--lease", "5"}, "--lease: needs --uplink"},
    {{"--uplink", "s", "--lease", "0"}, "--lease: must be a number of seconds from 1 to 2592000"},
    {{"--uplink", "s", "--lease", "1h"}, "--lease: must be a number of seconds from 1 to 2592000"},
    {{"--uplink", "s", "--lease="}, "--lease: must be a number of seconds from 1 to 2592000"},
    {{"--uplink", "s", "--uplink-fd", "3"}, NULL},
    {{"-f", "c", "--uplink-fd", "3"}, "--uplink-fd: needs --uplink"},
    {{"--uplink", "s", "--uplink-fd", "2"}, "--uplink-fd: must be a descriptor from 3 to 65535"},
    {{"--uplink", "s", "--uplink-fd", "x"}, "--uplink-fd: must be a descriptor from 3 to 65535"},
    {{"-f", "c", "--driver"}, "--driver and --relay: need a command after --"},
    {{"-f", "c", "--driver", "--"}, "--driver and --relay: need a command after --"},
    {{"-f", "c", "--", "x"}, "a command after --: needs --driver or --relay"},
    {{"-f", "c", "--relay", "r", "--", "x"}, "--relay: needs --uplink and takes no -f"},
    {{"-f", "c", "--execution-limit", "2.5", "--output-limit=1", "--idle-limit", "1"}, NULL},
    {{"-f", "c", "--execution-limit", "0"},
     "--execution-limit: must be a number of seconds from 0.001 to 2592000"},
    {{"-f", "c", "--dump-grace", "1 s"},
     "--dump-grace: must be a number of seconds from 0.001 to 2592000"},
    {{"-f", "c", "--output-limit", "1.5"},
     "--output-limit: must be a number of bytes from 1 to 1125899906842624"},
    {{"--uplink", "s", "--relay", "r", "--life-limit", "5", "--", "x"},
     "--relay: takes no limits; such a kernel is not watched"},
    {{"--uplink", "s", "--relay", "r", "--await-branch", "b", "--", "x"},
     "--await-branch: does not go with --relay"},
    {{"--uplink", "s", "--interrupt-mode", "shout"}, "--interrupt-mode: must be signal or message"},
};

static void reads_and_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(rows); i++) {
        char *argv[WORDS + 2] = {"warmcell-kernel"};
        int argc = 1;
        for (size_t n = 0; n < WORDS && rows[i].words[n]; n++)
            argv[argc++] = (char *)rows[i].words[n];
        struct options options;
        struct err e = {0};
        bool good = options_parse(argc, argv, &options, &e);
        if (good && rows[i].text)
            stop_test("row %zu was taken", i);
        if (!good)
            assert_text(e.text, rows[i].text ? rows[i].text : "no error");
    }
}

static void gives_the_values(void **state)
{
    (void)state;
    char *argv[] = {"warmcell-kernel", "--uplink=/s", "--lease", "60",     "--python", "py",
                    "--driver",        "--",          "a",       "--help", NULL};
    struct options o;
    struct err e;
    assert_true(options_parse(10, argv, &o, &e));
    assert_text(o.uplink, "/s");
    assert_int_equal(o.lease_s, 60);
    assert_text(o.python, "py");
    assert_text(o.interrupt_mode, "signal");
    assert_true(o.driver);
    assert_false(o.help); /* what follows -- is not ours */
    assert_text(o.argv[0], "a");
    assert_text(o.argv[1], "--help");
    assert_null(o.argv[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_refuses),
        cmocka_unit_test(gives_the_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
