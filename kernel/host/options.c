/* Options from one table. */
#include "kernel/host/options.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/memory.h"

#define LEASE_MOST_S (30 * 24 * 3600)
#define BYTES_MOST   (INT64_C(1) << 50)

#define DESCRIPTOR_MOST 65535

enum kind { TEXT, SECONDS, DURATION, BYTES, NUMBER, DESCRIPTOR, FLAG };

static const struct option_row {
    const char *name;
    const char *short_name;
    const char *value;
    enum kind kind;
    size_t place;
    const char *help;
} rows[] = {
    {"--connection-file", "-f", "FILE", TEXT, offsetof(struct options, connection_file),
     "serve the ZeroMQ sockets that this connection file names; ports of 0 are picked"},
    {"--uplink", NULL, "PATH", TEXT, offsetof(struct options, uplink),
     "serve a gateway on this Unix socket"},
    {"--uplink-fd", NULL, "N", DESCRIPTOR, offsetof(struct options, uplink_fd),
     "with --uplink: descriptor N listens there already"},
    {"--lease", NULL, "SECONDS", SECONDS, offsetof(struct options, lease_s),
     "end when no gateway has been attached for so long"},
    {"--await-branch", NULL, "PATH", TEXT, offsetof(struct options, await_branch),
     "do not start an interpreter: another kernel's is forked into this one (see BRANCH_KERNEL)"},
    {"--renew", NULL, NULL, FLAG, offsetof(struct options, renew),
     "when code asks for the end of its interpreter, start another one (default: end)"},
    {"--generation", NULL, "N", NUMBER, offsetof(struct options, generation),
     "how many interpreters this kernel has had before: they are counted on from there"},
    {"--execution-limit", NULL, "SECONDS", DURATION, offsetof(struct options, limits.execution_ms),
     "end an execution that runs longer: an interrupt, its stacks, then a kill"},
    {"--interrupt-grace", NULL, "SECONDS", DURATION,
     offsetof(struct options, limits.interrupt_grace_ms),
     "from the interrupt to the stacks (default: 2)"},
    {"--dump-grace", NULL, "SECONDS", DURATION, offsetof(struct options, limits.dump_grace_ms),
     "from the stacks to the kill (default: 3)"},
    {"--output-limit", NULL, "BYTES", BYTES, offsetof(struct options, limits.output_bytes),
     "end an execution that puts out more"},
    {"--idle-limit", NULL, "SECONDS", DURATION, offsetof(struct options, limits.idle_ms),
     "end when nothing was run for so long"},
    {"--life-limit", NULL, "SECONDS", DURATION, offsetof(struct options, limits.life_ms),
     "end after so long, whatever runs"},
    {"--python", NULL, "EXE", TEXT, offsetof(struct options, python),
     "the Python whose environment is served (default: that of VIRTUAL_ENV or PATH)"},
    {"--keeper", NULL, "PATH", TEXT, offsetof(struct options, keeper),
     "have the keeper that listens on this Unix socket start the interpreter (with -f: the user's "
     "own, where one runs: warmcell warm)"},
    {"--sandbox", NULL, "ID", TEXT, offsetof(struct options, sandbox),
     "with --keeper: confined in this sandbox, which is made where there is none"},
    {"--sandbox-plan", NULL, "FILE", TEXT, offsetof(struct options, sandbox_plan),
     "with --sandbox: JSON, its uid, network, limits, env and cwd; removed once it is read"},
    {"--cold", NULL, NULL, FLAG, offsetof(struct options, cold),
     "start the interpreter by exec, never by a fork (also WARMCELL_COLD=1)"},
    {"--driver", NULL, NULL, FLAG, offsetof(struct options, driver),
     "run the command after -- as the interpreter; --link-fd N is appended to it"},
    {"--relay", NULL, "FILE", TEXT, offsetof(struct options, relay),
     "run the command after -- as a kernel of its own with this connection file (written here)"},
    {"--relay-transport", NULL, "MODE", TEXT, offsetof(struct options, relay_transport),
     "with --relay: tcp (default), or ipc: sockets beside FILE, where the kernel knows ipc"},
    {"--interrupt-mode", NULL, "MODE", TEXT, offsetof(struct options, interrupt_mode),
     "with --relay: signal (default) or message"},
    {"--history", NULL, "FILE", TEXT, offsetof(struct options, history),
     "the history file, or none (default: IPython's)"},
    {"--help", "-h", NULL, FLAG, offsetof(struct options, help), "print this and exit"},
    {"--version", NULL, NULL, FLAG, offsetof(struct options, version),
     "print the version and exit"},
};

static const struct option_row *row_of(const char *argument, const char **attached)
{
    size_t len = strcspn(argument, "=");
    *attached = strncmp(argument, "--", 2) == 0 && argument[len] ? argument + len + 1 : NULL;
    if (!*attached)
        len = strlen(argument);
    for (size_t i = 0; i < countof(rows); i++) {
        bool is_long = strlen(rows[i].name) == len && strncmp(rows[i].name, argument, len) == 0;
        if (is_long || (rows[i].short_name && strcmp(rows[i].short_name, argument) == 0))
            return &rows[i];
    }
    return NULL;
}

static bool set_number(const struct option_row *row, const char *text, int64_t most, int64_t *out,
                       struct err *e)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || *end || end == text || number < 1 || number > most)
        return fail(e, 400, "%s: must be a number of %s from 1 to %lld", row->name,
                    row->kind == BYTES    ? "bytes"
                    : row->kind == NUMBER ? "interpreters"
                                          : "seconds",
                    (long long)most);
    *out = number;
    return true;
}

static bool set_duration(const struct option_row *row, const char *text, int64_t *out_ms,
                         struct err *e)
{
    if (seconds_read(bytes_of(text), out_ms))
        return true;
    return fail(e, 400, "%s: must be a number of seconds from 0.001 to %lld", row->name,
                (long long)DEADLINE_MOST_MS / 1000);
}

static bool set_descriptor(const struct option_row *row, const char *text, int *out, struct err *e)
{
    char *end;
    long number = strtol(text, &end, 10);
    if (*end || end == text || number <= STDERR_FILENO || number > DESCRIPTOR_MOST)
        return fail(e, 400, "%s: must be a descriptor from 3 to %d", row->name, DESCRIPTOR_MOST);
    *out = (int)number;
    return true;
}

static bool set_value(const struct option_row *row, const char *text, struct options *out,
                      struct err *e)
{
    char *place = (char *)out + row->place;
    if (row->kind == SECONDS)
        return set_number(row, text, LEASE_MOST_S, (int64_t *)place, e);
    if (row->kind == NUMBER)
        return set_number(row, text, INT32_MAX, (int64_t *)place, e);
    if (row->kind == BYTES)
        return set_number(row, text, BYTES_MOST, (int64_t *)place, e);
    if (row->kind == DESCRIPTOR)
        return set_descriptor(row, text, (int *)place, e);
    if (row->kind == DURATION)
        return set_duration(row, text, (int64_t *)place, e);
    *(const char **)place = text;
    return true;
}

static bool has_limits(const struct options *o)
{
    const struct run_limits *l = &o->limits;
    return l->execution_ms || l->output_bytes || l->idle_ms || l->life_ms;
}

static bool check(const struct options *o, struct err *e)
{
    if (o->help || o->version)
        return true;
    if (!o->connection_file && !o->uplink)
        return fail(e, 400, "-f FILE or --uplink PATH is needed (see --help)");
    if (o->lease_s && !o->uplink)
        return fail(e, 400, "--lease: needs --uplink");
    if (o->uplink_fd && !o->uplink)
        return fail(e, 400, "--uplink-fd: needs --uplink");
    if (o->relay && (!o->uplink || o->connection_file))
        return fail(e, 400, "--relay: needs --uplink and takes no -f");
    if (o->relay && has_limits(o))
        return fail(e, 400, "--relay: takes no limits; such a kernel is not watched");
    if (o->relay && (o->keeper || o->cold || o->renew))
        return fail(e, 400, "--relay: does not go with --keeper, --cold and --renew");
    if (o->sandbox && !o->keeper)
        return fail(e, 400, "--sandbox: needs --keeper");
    if (o->sandbox_plan && !o->sandbox)
        return fail(e, 400, "--sandbox-plan: needs --sandbox");
    if (o->relay && o->await_branch)
        return fail(e, 400, "--await-branch: does not go with --relay");
    if ((o->driver || o->relay) && !(o->argv && o->argv[0]))
        return fail(e, 400, "--driver and --relay: need a command after --");
    if (o->driver && o->relay)
        return fail(e, 400, "--driver: does not go with --relay");
    if (o->argv && !o->driver && !o->relay)
        return fail(e, 400, "a command after --: needs --driver or --relay");
    if (strcmp(o->interrupt_mode, "signal") != 0 && strcmp(o->interrupt_mode, "message") != 0)
        return fail(e, 400, "--interrupt-mode: must be signal or message");
    if (strcmp(o->relay_transport, "tcp") != 0 && strcmp(o->relay_transport, "ipc") != 0)
        return fail(e, 400, "--relay-transport: must be tcp or ipc");
    return true;
}

bool options_parse(int argc, char **argv, struct options *out, struct err *e)
{
    *out = (struct options){
        .interrupt_mode = "signal",
        .relay_transport = "tcp",
        .limits = {.interrupt_grace_ms = INTERRUPT_GRACE_MS, .dump_grace_ms = DUMP_GRACE_MS}};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            out->argv = argv + i + 1;
            break;
        }
        const char *value;
        const struct option_row *row = row_of(argv[i], &value);
        if (!row)
            return fail(e, 400, "%s: is not an option (see --help)", argv[i]);
        if (row->kind == FLAG) {
            *(bool *)((char *)out + row->place) = true;
            continue;
        }
        if (!value && i + 1 < argc)
            value = argv[++i];
        if (!value)
            return fail(e, 400, "%s: needs a value", row->name);
        if (!set_value(row, value, out, e))
            return false;
    }
    return check(out, e);
}

void options_print_help(void)
{
    printf(
        "usage: warmcell-kernel -f FILE [options]\n"
        "       warmcell-kernel --uplink PATH [options] [-- COMMAND...]\n\n"
        "Serves one kernel: the Jupyter messaging protocol in front, an interpreter behind.\n\n");
    for (size_t i = 0; i < countof(rows); i++) {
        char left[64];
        snprintf(left, sizeof left, "%s%s%s%s%s", rows[i].short_name ? rows[i].short_name : "",
                 rows[i].short_name ? ", " : "", rows[i].name, rows[i].value ? " " : "",
                 rows[i].value ? rows[i].value : "");
        printf("  %-28s %s\n", left, rows[i].help);
    }
}
