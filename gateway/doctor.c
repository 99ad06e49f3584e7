/* The subcommand `warmcell doctor`. It tries what sandboxes need (sandbox/probe.h), and looks which
 * control groups they would get; it changes nothing. */
#include "gateway/doctor.h"

#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "gateway/options.h"
#include "gateway/place.h"
#include "gateway/probe.h"
#include "protocol/json.h"
#include "protocol/memory.h"
#include "sandbox/limits.h"
#include "sandbox/pasta.h"
#include "sandbox/probe.h"

static json_t *check(const char *name, const char *status, const char *why, const char *remedy)
{
    return json_pack("{s:s, s:s, s:s?, s:s?}", "name", name, "status", status, "why", why, "remedy",
                     remedy);
}

static json_t *check_part(const struct probe_finding *f)
{
    const char *status = f->ok ? "ok" : f->needed ? "missing" : "degraded";
    return check(f->name, status, f->ok ? NULL : f->why, f->remedy);
}

/* Landlock grew: what an older one cannot fence, the mounts alone do. */
static json_t *check_landlock(const struct probe *p)
{
    static const char remedy[] = "use a newer Linux: 6.2 fences truncation, 6.10 ioctl on devices, "
                                 "6.12 abstract Unix sockets";
    char why[80];
    const struct probe_finding *f = &p->findings[PROBE_LANDLOCK];
    if (!f->ok || p->landlock_abi >= 6)
        return check_part(f);
    snprintf(why, sizeof why, "the kernel has ABI %d, of 6 that are used", p->landlock_abi);
    return check(f->name, "degraded", why, remedy);
}

/* Limits hold without control groups too, but for that of CPU time. */
static void check_groups(json_t *checks)
{
    static const struct {
        const char *member, *name, *why;
    } rows[] = {
        {"memory", "control groups for memory", "the keeper counts memory itself, each 100 ms"},
        {"cpus", "control groups for CPU time", "the CPU time of sandboxes is not limited"},
        {"processes", "control groups for processes", "RLIMIT_NPROC limits them instead"},
    };
    scoped(json) json_t *lent = governor_prospect();
    for (size_t i = 0; i < countof(rows); i++) {
        bool ok = json_is_true(json_object_get(lent, rows[i].member));
        json_array_append_new(
            checks, check(rows[i].name, ok ? "ok" : "degraded", ok ? NULL : rows[i].why,
                          ok ? NULL
                             : "start warmcell as root, as the unit warmcell.service, or with "
                               "systemd-run --user --scope -p Delegate=yes"));
    }
}

static json_t *check_root(const struct probe *p)
{
    if (p->privileged)
        return check("a host uid for each sandbox", "ok", NULL, NULL);
    return check(
        "a host uid for each sandbox", "degraded",
        "an ordinary user's sandboxes share one uid and are kept apart by namespaces alone",
        "start warmcell as root, or live with it");
}

/* What the network "full" takes; every other sandbox does without. */
static json_t *check_pasta(void)
{
    static const char name[] = "the network \"full\"";
    char program[PATH_MAX];
    const char *why = NULL, *remedy = NULL;
    bool found = pasta_find(program, &why, &remedy);
    return check(name, found ? "ok" : "degraded", why, remedy);
}

/* Whether warmcell-python can be the Python that kernels are to run. Its answer is one line. */
static json_t *check_python(void)
{
    static const char name[] = "the Python of sandboxes";
    scoped(string) char *python = options_find_python();
    scoped(string) char *program = place_python();
    scoped(buffer) struct buffer answer = {0};
    char *argv[] = {program, "--python", python, "--check", NULL};
    if (!*python)
        return check(name, "missing", "there is no python3 on PATH", "install python3");
    if (!program || !probe_run(argv, &answer, NULL) || answer.len == 0)
        return check(name, "missing", "warmcell-python does not run",
                     "install libpython3.11, or set WARMCELL_PYTHON to the program's path");
    scoped(string) char *why = buffer_take(&answer, NULL);
    why[strcspn(why, "\n")] = '\0';
    if (strcmp(why, "ok") == 0)
        return check(name, "ok", NULL, NULL);
    char *remedy = strstr(why, "; ");
    if (remedy)
        *remedy = '\0';
    return check(name, "missing", why, remedy ? remedy + 2 : "name another with --python");
}

static json_t *examine(void)
{
    struct probe p;
    probe_machine(&p);
    json_t *checks = json_array();
    for (size_t i = 0; i < PROBE_PARTS; i++)
        json_array_append_new(checks, i == PROBE_LANDLOCK ? check_landlock(&p)
                                                          : check_part(&p.findings[i]));
    json_array_append_new(checks, check_root(&p));
    check_groups(checks);
    json_array_append_new(checks, check_pasta());
    json_array_append_new(checks, check_python());
    return json_pack("{s:b, s:b, s:i, s:o}", "required", probe_holds(&p), "root", p.privileged,
                     "landlock", p.landlock_abi, "checks", checks);
}

static void print_lines(const json_t *report)
{
    const json_t *row;
    size_t i;
    json_array_foreach(json_object_get(report, "checks"), i, row)
    {
        const char *why = json_string_value(json_object_get(row, "why"));
        printf("%-9s %s", json_string_value(json_object_get(row, "status")),
               json_string_value(json_object_get(row, "name")));
        if (why)
            printf(": %s; %s", why, json_string_value(json_object_get(row, "remedy")));
        putchar('\n');
    }
    puts(json_is_true(json_object_get(report, "required"))
             ? "sandboxes can be had with the policy \"required\""
             : "sandboxes cannot be had with the policy \"required\" on this machine");
}

/* The last row says it. */
static bool python_fits(const json_t *report)
{
    const json_t *checks = json_object_get(report, "checks");
    const json_t *last = json_array_get(checks, json_array_size(checks) - 1);
    return strcmp(json_string_value(json_object_get(last, "status")), "ok") == 0;
}

int doctor_main(char *const *args, size_t count)
{
    bool as_json = count == 1 && strcmp(args[0], "--json") == 0;
    if (count > 0 && !as_json) {
        fprintf(stderr, "warmcell: doctor takes --json and nothing else\n");
        return 2;
    }
    scoped(json) json_t *report = examine();
    if (as_json)
        json_dumpf(report, stdout, JSON_INDENT(2));
    else
        print_lines(report);
    if (as_json)
        putchar('\n');
    if (fflush(stdout) != 0)
        return 1;
    return json_is_true(json_object_get(report, "required")) && python_fits(report) ? 0 : 1;
}
