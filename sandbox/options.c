/* Options from one table. */
#include "sandbox/options.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/memory.h"

#define SECONDS_MOST (30 * 24 * 3600)
#define FORKS_MOST   1000000
#define STOCK_MOST   256

#define RECYCLE_FORKS 5000
#define RECYCLE_AGE_S (12 * 3600)

enum kind { TEXT, NUMBER, FLAG, PROFILE, POLICY, PATHS, UIDS };

#define PLACE(member) offsetof(struct keeper_options, member)

static const struct option_row {
    const char *name;
    const char *value;
    enum kind kind;
    size_t place;
    int64_t most;
    const char *help;
} rows[] = {
    {"--socket", "PATH", TEXT, PLACE(socket), 0,
     "listen on this Unix socket (made with mode 0600)"},
    {"--log", "FILE", TEXT, PLACE(log), 0, "append to this file instead of stderr"},
    {"--foreground", NULL, FLAG, PLACE(foreground), 0,
     "stay the caller's child; otherwise the program returns when the keeper listens"},
    {"--idle", "SECONDS", NUMBER, PLACE(idle_s), SECONDS_MOST,
     "end when nobody was connected and nothing ran for so long (default: never)"},
    {"--recycle-forks", "N", NUMBER, PLACE(recycle_forks), FORKS_MOST,
     "replace the fork server after so many forks (default: 5000)"},
    {"--recycle-age", "SECONDS", NUMBER, PLACE(recycle_age_s), SECONDS_MOST,
     "and when it is so old (default: 12 hours)"},
    {"--profile", "NAME", PROFILE, PLACE(sandboxes), 0,
     "owner (default): the caller's rights; sandbox: everything is confined"},
    {"--state-dir", "DIR", TEXT, PLACE(state_dir), 0, "sandbox: workspaces are DIR/ID/workspace"},
    {"--read-only", "PATH", PATHS, PLACE(read_only), 0,
     "sandbox: a further path that is seen inside; may be given again"},
    {"--policy", "NAME", POLICY, PLACE(best_effort), 0,
     "sandbox: required (default), or best-effort: do without what this machine lacks"},
    {"--uids", "FIRST-LAST", UIDS, PLACE(first_uid), 0,
     "sandbox, as root: the host's uids that are ours (default: 700000-765535)"},
    {"--cgroup", "DIR", TEXT, PLACE(cgroup), 0,
     "sandbox: a cgroup v2 folder that is delegated to us (default: below our own)"},
    {"--stock", "N", NUMBER, PLACE(stock), STOCK_MOST,
     "sandbox: keep so many made ahead (default: none)"},
    {"--audit", "FILE", TEXT, PLACE(audit), 0,
     "sandbox: append a line for each request to the network (default: none are kept)"},
    {"--help", NULL, FLAG, PLACE(help), 0, "print this and exit"},
    {"--version", NULL, FLAG, PLACE(version), 0, "print the version and exit"},
};

static const struct option_row *row_of(const char *argument, const char **attached)
{
    size_t len = strcspn(argument, "=");
    *attached = argument[len] ? argument + len + 1 : NULL;
    for (size_t i = 0; i < countof(rows); i++)
        if (strlen(rows[i].name) == len && strncmp(rows[i].name, argument, len) == 0)
            return &rows[i];
    return NULL;
}

/* A whole number that ends at `stop`; false: it does not, or is out of range. */
static bool number_of(const char *text, char stop, int64_t most, int64_t *out, const char **end)
{
    char *after;
    errno = 0;
    long long number = strtoll(text, &after, 10);
    if (errno || after == text || *after != stop || number < 1 || number > most)
        return false;
    *out = number;
    *end = after;
    return true;
}

static bool set_number(const struct option_row *row, const char *text, void *place, struct err *e)
{
    const char *end;
    return number_of(text, '\0', row->most, place, &end) ||
           fail(e, 400, "%s: must be a number from 1 to %lld", row->name, (long long)row->most);
}

static bool set_word(const struct option_row *row, const char *text, bool *place, struct err *e)
{
    static const char *const words[][2] = {
        [PROFILE] = {"owner", "sandbox"}, [POLICY] = {"required", "best-effort"}};
    for (int n = 0; n < 2; n++) {
        if (strcmp(text, words[row->kind][n]) == 0) {
            *place = n == 1;
            return true;
        }
    }
    return fail(e, 400, "%s: must be %s or %s", row->name, words[row->kind][0],
                words[row->kind][1]);
}

static bool set_path(const struct option_row *row, const char *text, const char **places,
                     struct err *e)
{
    size_t count = 0;
    while (places[count])
        count++;
    if (text[0] != '/' || count == READ_ONLY_MOST)
        return fail(e, 400, "%s: must be an absolute path, given %d times at most", row->name,
                    READ_ONLY_MOST);
    places[count] = text;
    return true;
}

static bool set_uids(const struct option_row *row, const char *text, struct keeper_options *out,
                     struct err *e)
{
    int64_t first, last;
    const char *end;
    if (!number_of(text, '-', INT32_MAX, &first, &end) ||
        !number_of(end + 1, '\0', INT32_MAX, &last, &end) || last <= first)
        return fail(e, 400, "%s: must be two uids, FIRST-LAST", row->name);
    out->first_uid = (uid_t)first;
    out->last_uid = (uid_t)last;
    return true;
}

static bool set_value(const struct option_row *row, const char *text, struct keeper_options *out,
                      struct err *e)
{
    void *place = (char *)out + row->place;
    switch (row->kind) {
    case NUMBER:
        return set_number(row, text, place, e);
    case PROFILE:
    case POLICY:
        return set_word(row, text, place, e);
    case PATHS:
        return set_path(row, text, place, e);
    case UIDS:
        return set_uids(row, text, out, e);
    default:
        *(const char **)place = text;
        return true;
    }
}

static bool check(const struct keeper_options *o, struct err *e)
{
    if (o->help || o->version)
        return true;
    if (!o->socket || o->socket[0] != '/')
        return fail(e, 400, "--socket: an absolute path is needed (see --help)");
    if (o->log && o->log[0] != '/')
        return fail(e, 400, "--log: must be an absolute path");
    if (o->sandboxes && (!o->state_dir || o->state_dir[0] != '/'))
        return fail(e, 400, "--state-dir: an absolute path is needed with --profile sandbox");
    if (!o->sandboxes &&
        (o->state_dir || o->read_only[0] || o->best_effort || o->cgroup || o->stock))
        return fail(e, 400,
                    "--state-dir, --read-only, --policy, --cgroup and --stock: need --profile "
                    "sandbox");
    if (o->fork_server && !o->fork_server[0])
        return fail(e, 400, "--: the fork server's command must follow");
    return true;
}

bool keeper_options_parse(int argc, char **argv, struct keeper_options *out, struct err *e)
{
    *out = (struct keeper_options){.recycle_forks = RECYCLE_FORKS,
                                   .recycle_age_s = RECYCLE_AGE_S,
                                   .first_uid = 700000,
                                   .last_uid = 765535};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            out->fork_server = argv + i + 1;
            break;
        }
        const char *value;
        const struct option_row *row = row_of(argv[i], &value);
        if (!row || (row->kind == FLAG && value))
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

void keeper_options_print_help(void)
{
    puts("Usage: warmcell-keeper --socket PATH [OPTION]... [-- FORK-SERVER-COMMAND...]\n\n"
         "Starts interpreters for the hosts of kernels: forked from a warm one, or confined.\n"
         "\"--fork-server\" is appended to the command. docs/keeper.md says what is spoken.\n");
    for (size_t i = 0; i < countof(rows); i++) {
        char left[40];
        snprintf(left, sizeof left, "%s%s%s", rows[i].name, rows[i].value ? " " : "",
                 rows[i].value ? rows[i].value : "");
        printf("  %-24s %s\n", left, rows[i].help);
    }
}
